"""Features whose values a batch job computes elsewhere and publishes: what they are, and rows of them as numbers.

A published feature is one column of a row, or `length` of them for a vector; NaN is "nobody said". Invariant: `key`
changes with everything that decides what a value means, so a value is read only by the definition that it was
published for. It does not know where values are kept, nor when they are too old.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Core
from rtp_monolith.errors import TableError
from rtp_monolith.features.condition import hint
from rtp_monolith.features.spec import Feature

Scope = Literal["user", "item"]
Kind = Literal["number", "text", "vector"]
SCOPES: tuple[Scope, ...] = ("user", "item")
KINDS: tuple[Kind, ...] = ("number", "text", "vector")
LENGTH_MAX = 1024
COLUMNS_MAX = 2048
ID_KEYS: dict[Scope, tuple[str, ...]] = {"user": ("id", "user_id"), "item": ("id", "item_id")}
ID_CHARS_MAX = 128
FLOAT_MAX = float(np.finfo(np.float32).max)

Values = NDArray[np.float32]


class Source(msgspec.Struct, frozen=True):
    """One published feature. `name` is the feature's (`user_tier`), `column` what files call it (`tier`)."""

    name: str
    scope: Scope
    column: str
    kind: Kind
    length: int
    """Numbers of a vector; 0 for a single number."""
    words: tuple[str, ...]
    version: int
    default: float
    ttl_ms: int

    @property
    def width(self) -> int:
        return self.length or 1

    @property
    def columns(self) -> list[str]:
        """The names of its columns in a row."""
        return [f"{self.name}_{at}" for at in range(self.length)] if self.length else [self.name]

    @property
    def key(self) -> str:
        """16 hex digits over what decides the meaning of a value; a default and a TTL are of the reader."""
        meaning = [self.name, self.version, self.kind, self.length, self.words]
        return hashlib.sha256(msgspec.json.encode(meaning)).hexdigest()[:16]

    def features(self, plain: Feature) -> list[Feature]:
        """The columns as features of the catalogue; `plain` says what they have in common."""
        said = msgspec.structs.replace(plain, op=f"{self.scope}_published", words=list(self.words) or None)
        if not self.length:
            return [said]
        return [
            msgspec.structs.replace(
                said,
                name=name,
                value=f"{at}/{self.length}",
                meaning=f"{plain.meaning} ({at} of {self.length})",
            )
            for at, name in enumerate(self.columns)
        ]

    def numbers(self, value: object) -> list[float]:
        """A value of a file as it is kept. Raises ValueError with what is wrong."""
        if self.kind == "text":
            if not isinstance(value, str):
                raise ValueError(f"is {_kind(value)}, not a text")
            if value not in self.words:
                raise ValueError(f"{value[:40]!r} is none of its words{hint(value, self.words)}")
            return [self.words.index(value) + 1.0]
        if self.kind == "number":
            return [_number(value)]
        if not isinstance(value, list | tuple):
            raise ValueError(f"is {_kind(value)}, not a list of {self.length} numbers")
        if len(value) != self.length:
            raise ValueError(f"has {len(value)} numbers, a vector of it has {self.length}")
        return [_number(each) for each in value]

    def from_text(self, text: str) -> object:
        """A cell of CSV as the value that JSON would have; an empty one is none. Raises ValueError."""
        if text == "":
            return None
        if self.kind == "text":
            return text
        try:
            return float(text) if self.kind == "number" else msgspec.json.decode(text)
        except (ValueError, msgspec.DecodeError):
            raise ValueError(f"{text[:40]!r} is no {self.kind}") from None


class Published(msgspec.Struct, frozen=True):
    """All published features of a shard, by scope in the order of their names."""

    user: tuple[Source, ...] = ()
    item: tuple[Source, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.user or self.item)

    def of(self, scope: Scope) -> tuple[Source, ...]:
        return self.user if scope == "user" else self.item

    def width(self, scope: Scope) -> int:
        return sum(source.width for source in self.of(scope))

    @property
    def definitions(self) -> bytes | None:
        """As the native core reads them; None without any."""
        if not self:
            return None
        return msgspec.json.encode(
            {
                scope: [{"name": each.name, "width": each.length, "key": each.key} for each in self.of(scope)]
                for scope in SCOPES
            }
        )


def columns_of(sources: Sequence[Source]) -> dict[str, slice]:
    """Where in a row the values of each feature stand."""
    places, at = {}, 0
    for source in sources:
        places[source.name] = slice(at, at + source.width)
        at += source.width
    return places


class RowReader:
    """Records of a file or a body to rows of one scope. Remembers which features were named at all."""

    def __init__(self, published: Published, scope: Scope) -> None:
        """Raises TableError `no_published_features`."""
        self._sources = {each.column: each for each in published.of(scope)}
        self._scope = scope
        if not self._sources:
            text = f"no feature of the scope `{scope}` is declared with `published`, as [features.{scope}.tier] is"
            raise TableError("no_published_features", text)
        self._places = columns_of(published.of(scope))
        self._empty = [math.nan] * published.width(scope)
        self.seen: set[str] = set()

    def check_columns(self, names: Sequence[str]) -> None:
        """Raises TableError `unknown_column` for one that is neither the key nor a feature, `missing_key`."""
        for name in names:
            if name not in self._sources and name not in ID_KEYS[self._scope]:
                known = [*ID_KEYS[self._scope], *self._sources]
                raise TableError("unknown_column", f"unknown column `{name}`{hint(name, known)}", field=name)
        keys = [name for name in names if name in ID_KEYS[self._scope]]
        if len(keys) != 1:
            said = " or ".join(f"`{key}`" for key in ID_KEYS[self._scope])
            raise TableError("missing_key", f"a row has one key, {said}; there is {' and '.join(keys) or 'none'}")

    def read(self, record: Mapping[str, Any], number: int, *, text: bool = False) -> tuple[str, bytes]:
        """Id and packed row, float32 little-endian; `text` says that cells are texts, as in CSV. Raises TableError."""
        row = self._empty.copy()
        key: object = None
        for name, value in record.items():
            source = self._sources.get(name)
            if source is None:
                if name not in ID_KEYS[self._scope] or key is not None:
                    self.check_columns(list(record))
                key = value
                continue
            self.seen.add(source.name)
            try:
                if text:
                    value = source.from_text(value)
                if value is not None:
                    row[self._places[source.name]] = source.numbers(value)
            except ValueError as error:
                raise TableError("bad_value", f"row {number}: `{name}` {error}", field=name) from None
        return self._key(key, record, number), np.array(row, "<f4").tobytes()

    def _key(self, key: object, record: Mapping[str, Any], number: int) -> str:
        if key is None:
            self.check_columns(list(record))
        if isinstance(key, int) and not isinstance(key, bool):
            key = str(key)
        if not isinstance(key, str) or not 0 < len(key) <= ID_CHARS_MAX:
            text = f"row {number}: the key is {_kind(key)}, not a text of 1 to {ID_CHARS_MAX} characters"
            raise TableError("missing_key" if key is None or key == "" else "bad_value", text, field="id")
        return key


class Told(msgspec.Struct, frozen=True):
    """One scope of what a decision carries: (feature, length, key), and rows with None for NaN."""

    columns: list[tuple[str, int, str]]
    values: list[list[float | None]]


class External(msgspec.Struct, frozen=True):
    """Published values as a decision carries them: a row of its user, a row for each of the first items it shows."""

    user: Told
    items: Told


class Restore:
    """From what a decision carries to rows of the present definitions; what meant something else then is nobody's."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._places: dict[Scope, dict[str, slice]] = {scope: columns_of(published.of(scope)) for scope in SCOPES}
        self._keys = {each.name: each.key for scope in SCOPES for each in published.of(scope)}

    def user(self, external: External | None) -> Values:
        """float32 [user columns]."""
        row: Values = self._rows("user", None if external is None else external.user, 1)[0]
        return row

    def items(self, external: External | None) -> Values:
        """float32 [items told of, item columns]."""
        told = None if external is None else external.items
        return self._rows("item", told, 0 if told is None else len(told.values))

    def give(self, core: Core, ask: Ask, external: External | None, shown: Sequence[str]) -> None:
        """Gives a request what was published when its decision was made; `shown` are the items that it shows."""
        if self._published:
            items = self.items(external)
            core.set_published(ask, self.user(external), list(shown[: len(items)]), items)

    def _rows(self, scope: Scope, told: Told | None, n: int) -> Values:
        rows = np.full((n, self._published.width(scope)), np.nan, np.float32)
        if told is None or not told.values:
            return rows
        values = np.array(told.values, np.float32)
        at = 0
        for name, length, key in told.columns:
            width = length or 1
            if self._keys.get(name) == key and name in self._places[scope]:
                rows[:, self._places[scope][name]] = values[:, at : at + width]
            at += width
        return rows


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"is {_kind(value)}, not a number")
    number = float(value) if abs(value) <= FLOAT_MAX else math.inf
    if not math.isfinite(number):
        raise ValueError(f"is {value}, not a finite number of 32 bits")
    return number


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "a text"),
    (bool, "true or false"),
    ((int, float), "a number"),
    ((list, tuple), "a list"),
    (dict, "an object"),
    (type(None), "nothing"),
)


def _kind(value: object) -> str:
    return next((word for kind, word in _KINDS if isinstance(value, kind)), type(value).__name__)
