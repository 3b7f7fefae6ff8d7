"""Columns of files mapped to fields of the contract, with a report of what was taken from each.

Invariant: every column of every row is in the report: taken into a field, put among the open ones (props of events,
attributes of items and users), or ignored because that was asked. A refused cell refuses its row. It does not know
files, nor which fields the shard requires: the shard says that.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from rtp_monolith.ingest import coerce
from rtp_monolith.ingest.coerce import CellRefused, Coerce
from rtp_monolith.ingest.files import FileError, Record, RowRefused

Kind = Literal["events", "items", "users"]

COLUMNS_MAX = 1_000
SHAPES_MAX = 1_000
MS_PER_DAY = 86_400_000
EMPTY_TEXTS = ("", "NULL", "null", "NaN", "nan", "\\N")

PROPS = frozenset(
    (
        *("dwell_ms", "depth_pct", "query", "price", "quantity", "order_id", "items", "value", "currency"),
        *("surface", "device", "channel", "country", "app_version", "referrer", "campaign"),
    )
)


class Field(msgspec.Struct, frozen=True):
    """How a field is made and the other names under which files have it, the likeliest first."""

    coerce: Coerce
    aliases: tuple[str, ...] = ()


FIELDS: dict[Kind, dict[str, Field]] = {
    "events": {
        "event_id": Field(coerce.identifier, ("message_id", "insert_id", "uuid")),
        "user_id": Field(coerce.identifier, ("userid", "user", "customer_id", "visitor_id", "visitorid", "uid")),
        "session_id": Field(
            coerce.identifier, ("sessionid", "session", "user_session", "visit_id", "anonymous_id", "client_id")
        ),
        "event_type": Field(coerce.text, ("event", "action", "type", "event_name", "behavior", "behavior_type")),
        "item_id": Field(coerce.identifier, ("itemid", "item", "product_id", "productid", "sku", "product", "asin")),
        "ts_ms": Field(
            coerce.milliseconds, ("timestamp", "ts", "time", "event_time", "datetime", "date", "created_at")
        ),
        "request_id": Field(coerce.identifier),
        "position": Field(coerce.whole),
        "schema_version": Field(coerce.whole),
        "props": Field(coerce.mapping, ("properties",)),
    },
    "items": {
        "id": Field(
            coerce.identifier, ("item_id", "itemid", "product_id", "productid", "sku", "asin", "article_id", "item")
        ),
        "title": Field(coerce.text, ("name", "product_name", "item_name", "product_title")),
        "description": Field(coerce.text, ("desc", "summary", "product_description")),
        "categories": Field(
            coerce.texts, ("category", "category_path", "product_type", "category_code", "category_id")
        ),
        "brand": Field(coerce.text, ("manufacturer", "brand_name")),
        "seller": Field(coerce.text, ("vendor", "merchant", "shop")),
        "price": Field(coerce.number, ("unit_price", "sale_price")),
        "currency": Field(coerce.text),
        "available": Field(coerce.boolean, ("availability", "in_stock", "is_available", "stock")),
        "created_at": Field(coerce.moment, ("created", "published_at", "release_date", "timestamp")),
        "attributes": Field(coerce.mapping),
        "image_url": Field(coerce.text, ("image", "image_link", "img", "picture")),
        "embedding": Field(coerce.floats, ("vector",)),
    },
    "users": {
        "id": Field(coerce.identifier, ("user_id", "userid", "customer_id", "user", "uid")),
        "attributes": Field(coerce.mapping, ("traits",)),
        "features": Field(coerce.mapping),
        "as_of": Field(coerce.moment, ("updated_at", "timestamp")),
    },
}
OPEN: dict[Kind, str] = {"events": "props", "items": "attributes", "users": "attributes"}
MAPS = frozenset(("props", "attributes", "features"))


class ColumnReport(msgspec.Struct, frozen=True):
    """What became of one column; `field` is empty for an ignored one, `example` is the first refused cell."""

    column: str
    field: str
    types: list[str]
    taken: int
    empty: int
    refused: dict[str, int]
    example: str | None


class _Tally:
    """The counts of one column."""

    def __init__(self, column: str, field: str) -> None:
        self.column = column
        self.field = field
        self.types: set[type] = set()
        self.taken = 0
        self.empty = 0
        self.refused: dict[str, int] = {}
        self.example: str | None = None


class _Step(msgspec.Struct, frozen=True):
    """One column's way: into `field`, or under `key` of the map `field`; an empty field means ignored."""

    column: str
    field: str
    key: str
    coerce: Coerce
    tally: _Tally


class Columns:
    """The mapping of one file.

    `typed` says that cells carry their own types (JSON, Parquet), so text is never taken for a number.
    `mapping` is column → field (`title`, `props.price`, empty to ignore), `constants` field → text for rows without
    one, `event_types` what a file calls an event → what the contract calls it. Raises FileError `unknown_field`.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        typed: bool,
        mapping: Mapping[str, str] | None = None,
        constants: Mapping[str, str] | None = None,
        event_types: Mapping[str, str] | None = None,
        empty: Sequence[str] = (),
    ) -> None:
        self._kind: Kind = kind
        self._typed = typed
        self._fields = FIELDS[kind]
        self._open = OPEN[kind]
        self._mapping = dict(mapping or {})
        self._event_types = dict(event_types or {})
        self._empty = frozenset(("", *empty)) if typed else frozenset((*EMPTY_TEXTS, *empty))
        self._tallies: dict[str, _Tally] = {}
        self._shapes: dict[tuple[str, ...], list[_Step]] = {}
        self.made: dict[str, int] = {}
        for target in (*self._mapping.values(), *(constants or {})):
            self._check_target(target)
        self._constants = [
            (self._step(f"--set {target}", *_split(target)), value) for target, value in (constants or {}).items()
        ]

    def record(self, number: int, row: Record) -> dict[str, object] | RowRefused:
        """The row as an event, item or user record; the first refused cell refuses the row, all are counted."""
        columns = tuple(row)
        steps = self._shapes.get(columns)
        if steps is None:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            steps = self._shapes[columns] = self._plan(columns)
        made: dict[str, object] = {}
        refused: RowRefused | None = None
        for step in steps:
            cell = row[step.column]
            if cell is None or (type(cell) is str and cell in self._empty) or cell != cell:
                step.tally.empty += 1
            elif step.field:
                refused = self._take(made, step, cell, number) or refused
            else:
                step.tally.taken += 1
        for step, value in self._constants:
            inner = made.get(step.field)
            there = step.field in made and (not step.key or (isinstance(inner, dict) and step.key in inner))
            if not there:
                refused = self._take(made, step, value, number) or refused
        if refused is not None:
            return refused
        if self._kind == "events":
            self._complete_event(made, number)
        return made

    def reports(self) -> list[ColumnReport]:
        """One report per column, in the order in which the columns were met."""
        return [
            ColumnReport(
                t.column, t.field, sorted(_TYPES.get(k, k.__name__) for k in t.types), t.taken, t.empty, t.refused,
                t.example,
            )
            for t in self._tallies.values()
        ]  # fmt: skip

    def _take(self, made: dict[str, object], step: _Step, cell: object, number: int) -> RowRefused | None:
        tally = step.tally
        try:
            value = step.coerce(cell)
            if step.field in MAPS and not step.key:
                value = self._open_map(step.field, value)
        except CellRefused as refused:
            tally.refused[refused.code] = tally.refused.get(refused.code, 0) + 1
            if tally.example is None:
                tally.example = f"row {number}: {refused.message}"
            return RowRefused(refused.code, f"{step.column}: {refused.message}")
        tally.taken += 1
        tally.types.add(type(value))
        if step.field == "event_type":
            value = self._event_types.get(str(value), value)
        if step.key:
            inner = made.setdefault(step.field, {})
            assert isinstance(inner, dict)
            inner[step.key] = value
        elif isinstance(value, dict):
            made[step.field] = value | dict(made.get(step.field, {}))  # type: ignore[call-overload]
        else:
            made[step.field] = value
        return None

    def _complete_event(self, made: dict[str, object], number: int) -> None:
        if "session_id" not in made and "user_id" in made and isinstance(made.get("ts_ms"), int):
            day = int(str(made["ts_ms"])) // MS_PER_DAY
            digest = hashlib.blake2b(str(made["user_id"]).encode(), digest_size=8).hexdigest()
            made["session_id"] = f"{digest}-{day}"
            self.made["session_id"] = self.made.get("session_id", 0) + 1
        if "event_id" not in made:
            digest = hashlib.blake2b(msgspec.json.encode(made, order="sorted"), digest_size=8).hexdigest()
            made["event_id"] = f"{number}-{digest}"
            self.made["event_id"] = self.made.get("event_id", 0) + 1

    def _open_map(self, field: str, value: object) -> dict[str, object]:
        assert isinstance(value, dict)
        convert = self._value_coerce(field)
        return {name: convert(inner) for name, inner in value.items() if inner != ""}

    def _plan(self, columns: Sequence[str]) -> list[_Step]:
        """Where each column goes: as asked, else by the field's own name, else by the best alias still free."""
        chosen: dict[str, str] = {}
        taken: set[str] = set()
        for column in columns:
            if column in self._mapping:
                chosen[column] = self._mapping[column]
                taken.add(self._mapping[column])
        by_name: dict[str, str] = {}
        for column in columns:
            if column not in chosen:
                by_name.setdefault(_normal(column), column)
        for name, field in self._fields.items():
            candidates = (by_name[alias] for alias in (name, *field.aliases) if alias in by_name)
            best = next((candidate for candidate in candidates if candidate not in chosen), None)
            if best is not None and name not in taken:
                chosen[best] = name
                taken.add(name)
        steps = []
        for column in columns:
            field_name, key = _split(chosen.get(column, self._open_target(column)))
            steps.append(self._step(column, field_name, key))
        return steps

    def _open_target(self, column: str) -> str:
        head, dot, rest = column.strip().partition(".")
        if dot and rest and head in MAPS and head in self._fields:
            return f"{head}.{rest}"
        normal = _normal(column)
        name = normal if self._open == "props" and normal in PROPS else column.strip()
        return f"{self._open}.{name}"

    def _step(self, column: str, field: str, key: str) -> _Step:
        target = f"{field}.{key}" if key else field
        if key:
            convert = self._value_coerce(field)
        elif not field:
            convert = coerce.text
        else:
            convert = self._fields[field].coerce
            if field == "ts_ms" and _normal(column) != "ts_ms":
                convert = coerce.moment
        return _Step(column, field, key, convert, self._tally(column, target))

    def _value_coerce(self, field: str) -> Coerce:
        if field == "props":
            return _prop
        return _typed_attribute if self._typed else coerce.attribute

    def _tally(self, column: str, target: str) -> _Tally:
        if column not in self._tallies and len(self._tallies) >= COLUMNS_MAX:
            column, target = "(further columns)", f"{self._open}.*"
        return self._tallies.setdefault(column, _Tally(column, target))

    def _check_target(self, target: str) -> None:
        field, key = _split(target)
        if field and (field not in self._fields or (key and field not in MAPS)):
            names = ", ".join(self._fields)
            raise FileError("unknown_field", f"{target!r} is not a field of {self._kind}: {names}, {self._open}.NAME")


_TYPES: dict[type, str] = {
    str: "text", bool: "boolean", int: "integer", float: "number", list: "list", dict: "object"
}  # fmt: skip


def _split(target: str) -> tuple[str, str]:
    field, _, key = target.partition(".")
    return field, key


def _normal(name: str) -> str:
    """`Product ID`, `productId` and `product-id` are all `product_id`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^0-9a-z]+", "_", parted.lower()).strip("_")


def _prop(cell: object) -> object:
    """A prop as the contract takes it: text, number or boolean; anything nested is its JSON text."""
    if isinstance(cell, float) and not math.isfinite(cell):
        raise CellRefused("wrong_type", "not a finite number")
    return cell if isinstance(cell, str | bool | int | float) else coerce.text(cell)


def _typed_attribute(cell: object) -> object:
    return cell if isinstance(cell, str) else coerce.attribute(cell)
