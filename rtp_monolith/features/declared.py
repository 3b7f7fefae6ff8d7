"""A team's features: from the tables `[features.<scope>.<name>]` of the configuration to the catalogue's form.

One definition becomes one `Feature`, named `<scope>_<name>`, and for an aggregate the accumulators that the fold fills;
two features that count the same events share one. Invariant: what `declared` returns is accepted by the native core:
every word, kind and combination is checked here, with the place and the nearest valid word. It does not know where
lines are; `lint.py` does.
"""

from __future__ import annotations

import difflib
import hashlib
import math
import re
from collections.abc import Callable, Collection, Sequence

import msgspec

from rtp_monolith.config import Config, FeatureTable
from rtp_monolith.errors import FeatureError
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.condition import ConditionError, Kind, Tree, Vocabulary, as_refund, hint, parse
from rtp_monolith.features.published import COLUMNS_MAX, LENGTH_MAX, Published, Source
from rtp_monolith.features.published import KINDS as PUBLISHED_KINDS
from rtp_monolith.features.published import SCOPES as PUBLISHED_SCOPES
from rtp_monolith.features.spec import WINDOWS_MS, Feature
from rtp_monolith.features.taste import static_sources

FEATURES_MAX = 256
AGGREGATES_MAX = 64
WORDS_MAX = 256
WORD_CHARS_MAX = 256
DURATION_DAYS_MAX = 3650
DIMENSIONS = ("device", "country", "channel")
ARM_DIMENSIONS = ("surface", "bundle", "explored")
CONTEXT_FIELDS = (*DIMENSIONS, "app_version", "campaign")
SCOPES = ("user", "session", "item", "category", "seller", "context", "item_pair", "arm", "cross")
COUNTED_SCOPES = ("user", "session", "item", "category", "seller", "context", "item_pair", "arm")
REFUNDED_SCOPES = ("user", "session", "item", "category", "seller", "context")
NO_SCOPES = {
    "pair": "the scope of two items is called `item_pair`",
    "global": "nothing is kept of everything together; a context such as `device` is the widest scope",
}
NOT_REFUNDED = {
    "item_pair": "what was looked at before a refund is not what the purchase came after",
    "arm": "a refund comes when the lists before the purchase are long forgotten",
}
"""Why a refund cannot be counted back."""
KINDS = ("aggregate", "field", "clock", "interacted", "size", "matches", "published")
MATCHED = ("text", "title", "brand", "category", "description")
MATCHED_WITH = ("query", "last_query", "campaign")
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
_OFFSET = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_SHARED_KEYS = ("meaning", "version", "owner", "default", "ttl")

AGGREGATES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "count": ("count", ("window",), ("where", "refunds")),
    "decayed": ("count", ("half_life",), ("where", "refunds")),
    "minutes_since": ("count", (), ("where",)),
    "rate": ("count", ("hits", "trials", "window", "prior_rate", "prior_strength"), ()),
    "sum": ("sum", ("of", "window"), ("where", "refunds")),
    "mean": ("sum", ("of", "window"), ("where", "refunds")),
    "max": ("max", ("of", "window"), ("where",)),
    "min": ("min", ("of", "window"), ("where",)),
    "last": ("last", ("of",), ("where", "words")),
    "distinct": ("distinct", ("of", "window"), ("where",)),
}
"""By aggregator: what its accumulator keeps, the keys it needs, the keys it may have."""

_OF_KINDS: dict[str, tuple[Kind, ...]] = {
    "sum": ("number",),
    "mean": ("number",),
    "max": ("number",),
    "min": ("number",),
    "last": ("number", "text"),
    "distinct": ("number", "text", "texts"),
}


class Accumulator(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the fold keeps for one owner; `key` is a fingerprint of the rest. `back`: counts refunds, at the time of the
    purchase that each takes back."""

    key: str
    owner: str
    keeps: str
    where: Tree | None = None
    of: Tree | None = None
    dimension: str | None = None
    back: bool = False


class Declared(msgspec.Struct, frozen=True):
    """The features of a shard: the catalogue's, then the team's in the order of their names."""

    features: tuple[Feature, ...]
    custom: tuple[Feature, ...]
    accumulators: tuple[Accumulator, ...]
    published: Published = Published()

    @property
    def aggregates(self) -> bytes | None:
        """The accumulators as the native core reads them; None without any."""
        return msgspec.json.encode(self.accumulators) if self.accumulators else None

    def by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}


def declared(config: Config) -> Declared:
    """The features of a configuration. Raises FeatureError `bad_definition` with the place at fault."""
    reader = _Reader(Vocabulary.of(config))
    for scope, tables in config.features.items():
        _check_scope(scope)
        for name, table in tables.items():
            reader.read(scope, name, table)
    custom = tuple(sorted(reader.features, key=lambda feature: feature.name))
    keys = sorted(reader.accumulators.values(), key=lambda each: each.key)
    counted = len(custom) - sum(each.width for each in reader.sources) + len(reader.sources)
    if counted > FEATURES_MAX:
        raise FeatureError(f"{counted} features, at most {FEATURES_MAX}", field="features")
    if len(keys) > AGGREGATES_MAX:
        text = f"{len(keys)} different accumulators, at most {AGGREGATES_MAX}: every user may have one of each"
        raise FeatureError(text, field="features")
    names = [feature.name for feature in custom]
    if twice := [name for name in names if names.count(name) > 1]:
        raise FeatureError(f"`{twice[0]}` is the name of two features", field="features")
    own = static_sources(config.users.static, duration_ms(config.users.static_ttl))
    sources = sorted([*reader.sources, *own], key=lambda each: each.name)
    taken = {each.name for each in own} & {each.name for each in reader.sources}
    if taken:
        text = f"`{min(taken)}` is what `[users] static` reads; give the feature another name"
        raise FeatureError(text, field="features")
    if (width := sum(each.width for each in sources)) > COLUMNS_MAX:
        raise FeatureError(f"{width} columns of published features, at most {COLUMNS_MAX}", field="features")
    by_scope = (tuple(each for each in sources if each.scope == scope) for scope in PUBLISHED_SCOPES)
    return Declared((*FEATURES, *custom), custom, tuple(keys), Published(*by_scope))


def duration_ms(text: str) -> int:
    """`90s`, `30m`, `6h`, `7d` as ms. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    ms = int(found[1]) * _UNITS_MS[found[2]] if found else 0
    if not 0 < ms <= DURATION_DAYS_MAX * _UNITS_MS["d"]:
        raise ValueError(f"{text!r} is no time such as 90s, 30m, 6h or 7d, at most {DURATION_DAYS_MAX}d")
    return ms


def _check_scope(scope: str) -> None:
    if scope in NO_SCOPES:
        raise FeatureError(f"there is no scope `{scope}`: {NO_SCOPES[scope]}", field=f"features.{scope}")
    if scope not in SCOPES:
        raise FeatureError(f"unknown scope `{scope}`{hint(scope, SCOPES)}", field=f"features.{scope}")


_TAKEN = {feature.name for feature in (*FEATURES, *CASCADE)}


class _Reader:
    """Reads tables one by one; what they share is found again by its key."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.features: list[Feature] = []
        self.accumulators: dict[str, Accumulator] = {}
        self.sources: list[Source] = []
        self._vocabulary = vocabulary

    def read(self, scope: str, name: str, table: FeatureTable) -> None:
        place = f"features.{scope}.{name}"
        if not _NAME.fullmatch(name):
            raise FeatureError(f"`{name}` is no name: a–z, 0–9 and _, at most 64", field=place)
        full = f"{scope}_{name}"
        if full in _TAKEN:
            raise FeatureError(f"the catalogue has a feature `{full}` of its own", field=place)
        one = _Table(place, table)
        kinds = [key for key in KINDS if one.has(key)]
        if len(kinds) != 1:
            text = f"needs one of {', '.join(f'`{kind}`' for kind in KINDS)}"
            raise FeatureError(text + (f", has {' and '.join(kinds)}" if kinds else ""), field=place)
        if not math.isfinite(table.default):
            raise one.refuse("default", "is not a finite number")
        if not table.meaning.strip():
            raise one.refuse("meaning", "is empty: say what the number is")
        arguments: dict[str, Callable[[], dict[str, object]]] = {
            "aggregate": lambda: self._aggregate(scope, one),
            "field": lambda: self._field(scope, one),
            "clock": lambda: _clock(scope, one),
            "interacted": lambda: self._interacted(scope, one),
            "size": lambda: self._size(scope, one),
            "matches": lambda: _matches(scope, one),
        }
        said = {"op": ""} if kinds == ["published"] else arguments[kinds[0]]()
        plain = Feature(
            name=full,
            op=str(said.pop("op")),
            meaning=table.meaning,
            version=table.version,
            owner=table.owner or "team",
            default=table.default,
            ttl_ms=one.duration("ttl") if one.has("ttl") else 0,
        )
        if kinds == ["published"]:
            self._published(scope, name, one, plain)
            return
        self.features.append(msgspec.structs.replace(plain, **said))

    def _published(self, scope: str, name: str, one: _Table, plain: Feature) -> None:
        kind = one.word("published", PUBLISHED_KINDS)
        if scope not in PUBLISHED_SCOPES:
            text = f"nothing is published of the scope `{scope}`; scopes are {', '.join(PUBLISHED_SCOPES)}"
            raise one.refuse("published", text)
        needed = {"text": ("words",), "vector": ("length",)}.get(kind, ())
        one.only(("published", *_SHARED_KEYS, *needed), needed)
        source = Source(
            name=plain.name,
            scope="user" if scope == "user" else "item",
            column=name,
            kind="text" if kind == "text" else "vector" if kind == "vector" else "number",
            length=one.length() if kind == "vector" else 0,
            words=tuple(one.words()) if kind == "text" else (),
            version=plain.version,
            default=plain.default,
            ttl_ms=plain.ttl_ms,
        )
        self.sources.append(source)
        self.features += source.features(plain)

    def _aggregate(self, scope: str, one: _Table) -> dict[str, object]:
        name = one.word("aggregate", AGGREGATES)
        if scope not in COUNTED_SCOPES:
            text = f"nothing is counted in the scope `{scope}`; scopes of aggregates are {', '.join(COUNTED_SCOPES)}"
            raise one.refuse("aggregate", text)
        keeps, needed, optional = AGGREGATES[name]
        dimensions = {"context": DIMENSIONS, "arm": ARM_DIMENSIONS}.get(scope, ())
        dimension = ("dimension",) if dimensions else ()
        one.only(("aggregate", *_SHARED_KEYS, *needed, *optional, *dimension), (*needed, *dimension))
        said: dict[str, object] = {"op": f"{scope}_aggregate", "read": name}
        where = None if dimension == () else one.word("dimension", dimensions)
        if where is not None:
            said["dimension"] = where
        if name == "rate":
            said["key"] = self._accumulate(scope, keeps, one.condition("hits", self._vocabulary), None, where)
            said["trials_key"] = self._accumulate(scope, keeps, one.condition("trials", self._vocabulary), None, where)
            said["prior_rate"], said["prior_strength"] = one.prior()
        else:
            condition = one.condition("where", self._vocabulary) if one.has("where") else None
            of = one.field("of", self._vocabulary, _OF_KINDS[name], name) if "of" in needed else None
            if of is not None and one.has("words") != (name == "last" and of["kind"] == "text"):
                raise one.refuse("words", "are needed for a text and for nothing else: the value is a word's place")
            said["key"] = self._accumulate(scope, keeps, condition, of, where)
            if one.has("refunds"):
                if scope not in REFUNDED_SCOPES:
                    raise one.refuse("refunds", f"cannot be given to the scope `{scope}`: {NOT_REFUNDED[scope]}")
                refunded = as_refund(condition)
                if refunded is None:
                    raise one.refuse(
                        "refunds", "take back what purchases add: `where` must count purchases and no refunds"
                    )
                said["refunds_key"] = self._accumulate(scope, keeps, refunded, of, where, back=True)
        if "window" in needed:
            said["window"] = one.word("window", WINDOWS_MS)
        if "half_life" in needed:
            said["half_life_ms"] = one.duration("half_life")
        if one.has("words"):
            said["words"] = one.words()
        return said

    def _accumulate(
        self, owner: str, keeps: str, where: Tree | None, of: Tree | None, dimension: str | None, *, back: bool = False
    ) -> str:
        meaning: dict[str, object] = {"owner": owner, "keeps": keeps, "where": where, "of": of, "dimension": dimension}
        if back:
            meaning["back"] = True
        key = hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()[:16]
        self.accumulators[key] = Accumulator(key, owner, keeps, where, of, dimension, back)
        return key

    def _field(self, scope: str, one: _Table) -> dict[str, object]:
        one.only(("field", "words", *_SHARED_KEYS), ("field",))
        one.no_ttl()
        field = one.text("field")
        kind: Kind | None
        if scope == "item":
            prefix = "item."
            known: Sequence[str] = [name.removeprefix("item.") for name in self._vocabulary.fields if "item." in name]
            kind = self._vocabulary.fields.get(f"item.{field}") if field in known else None
        elif scope == "user":
            prefix = ""
            found = re.fullmatch(r"attributes\.[^.]+", field)
            known = ["attributes.<name>"]
            kind = ("texts" if one.has("words") else "number") if found else None
        elif scope == "context":
            prefix, known = "", CONTEXT_FIELDS
            kind = ("text" if one.has("words") else "number") if field in known else None
        else:
            raise one.refuse("field", f"the scope `{scope}` has no fields; `item`, `user` and `context` have")
        if kind is None:
            raise one.refuse("field", f"unknown field `{prefix}{field}`{hint(field, known)}")
        if one.has("words") != (kind in ("text", "texts")):
            raise one.refuse("words", f"are needed for a text and for nothing else; `{field}` is a {kind}")
        if one.has("words"):
            key = field.removeprefix("attributes.") if scope == "user" else field
            return {"op": f"{scope}_word", "key": key, "words": one.words()}
        if scope == "context":
            return {"op": "context_number", "key": field}
        if field in ("price", "available"):
            return {"op": f"item_{field}"}
        return {"op": f"{scope}_attribute", "key": field.removeprefix("attributes.")}

    def _size(self, scope: str, one: _Table) -> dict[str, object]:
        """Words of a text, elements of a list."""
        one.only(("size", *_SHARED_KEYS), ("size",))
        one.no_ttl()
        given = one.text("size")
        kinds = self._vocabulary.fields
        if scope == "item":
            sized = ("text", "texts")
            attributes = [n.removeprefix("item.") for n in kinds if "item.attributes." in n and kinds[n] in sized]
            return {"op": "item_size", "key": one.word("size", ("title", "description", "categories", *attributes))}
        if scope == "user":
            if not re.fullmatch(r"attributes\.[^.]+", given):
                raise one.refuse("size", f"unknown field `{given}`; known are attributes.<name>")
            return {"op": "user_size", "key": given.removeprefix("attributes.")}
        if scope == "context":
            return {"op": "context_size", "key": one.word("size", ("query", "campaign"))}
        raise one.refuse("size", f"the scope `{scope}` has no texts; `item`, `user` and `context` have")

    def _interacted(self, scope: str, one: _Table) -> dict[str, object]:
        if scope != "cross":
            raise one.refuse("interacted", "is of the scope `cross`: it is about a user and an item")
        one.only(("interacted", "event", "window", *_SHARED_KEYS), ("window",))
        one.no_ttl()
        attributes = [name.removeprefix("item.") for name in self._vocabulary.fields if "item.attributes." in name]
        said: dict[str, object] = {"op": "cross_interacted"}
        said["key"] = one.word("interacted", ("item", "category", "brand", "seller", *attributes))
        said["window"] = one.word("window", WINDOWS_MS)
        if one.has("event"):
            said["event"] = one.word("event", self._vocabulary.event_types)
            if said["event"] not in _ACTIONS:
                raise one.refuse("event", f"`{said['event']}` is not in the list of a user's last actions")
        return said


_ACTIONS = ("click", "view", "add_to_cart", "remove_from_cart", "purchase", "like", "dislike", "skip")


def _matches(scope: str, one: _Table) -> dict[str, object]:
    if scope != "cross":
        raise one.refuse("matches", "is of the scope `cross`: it is about a request and an item")
    one.only(("matches", "with", *_SHARED_KEYS), ("with",))
    one.no_ttl()
    return {"op": "cross_match", "key": one.word("with", MATCHED_WITH), "value": one.word("matches", MATCHED)}


def _clock(scope: str, one: _Table) -> dict[str, object]:
    if scope != "context":
        raise one.refuse("clock", "is of the scope `context`: it is the time of the request")
    one.only(("clock", "utc_offset", *_SHARED_KEYS), ("utc_offset",))
    one.no_ttl()
    offset = _OFFSET.fullmatch(one.text("utc_offset"))
    if offset is None:
        raise one.refuse("utc_offset", "is no offset such as +02:00")
    minutes = (60 * int(offset[2]) + int(offset[3])) * (-1 if offset[1] == "-" else 1)
    return {"op": "context_local", "key": one.word("clock", ("hour", "weekday")), "utc_offset_min": minutes}


class _Table:
    """One table with its place; every refusal names the key."""

    def __init__(self, place: str, table: FeatureTable) -> None:
        self._place = place
        given = {key.rstrip("_"): value for key, value in msgspec.structs.asdict(table).items()}
        self._values = {key: value for key, value in given.items() if value is not None}
        self._set = {key for key, value in self._values.items() if value != _UNSET[key]}

    def has(self, key: str) -> bool:
        return key in self._set

    def refuse(self, key: str, message: str) -> FeatureError:
        return FeatureError(f"{key}: {message}", field=self._at(key))

    def _at(self, key: str) -> str:
        return f"{self._place}.{key}"

    def only(self, known: Sequence[str], needed: Sequence[str]) -> None:
        for key in sorted(self._set - set(known)):
            kind = next(key for key in KINDS if self.has(key))
            what = f"{kind} `{self._values[kind]}`"
            text = f"`{key}` means nothing to the {what}, which takes {', '.join(k for k in known if k != kind)}"
            raise FeatureError(text, field=self._at(key))
        for key in needed:
            if not self.has(key):
                raise FeatureError(f"`{key}` is missing", field=self._place)

    def no_ttl(self) -> None:
        if self.has("ttl"):
            raise self.refuse("ttl", "is of aggregates: what is said of an item, a user or a request is read as it is")

    def text(self, key: str) -> str:
        return str(self._values[key])

    def word(self, key: str, known: Collection[str]) -> str:
        given = self.text(key)
        if given not in known:
            near = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
            raise self.refuse(key, f"unknown `{given}`" + (hint(near[0], near) if near else hint(given, known)))
        return given

    def duration(self, key: str) -> int:
        try:
            return duration_ms(self.text(key))
        except ValueError as error:
            raise self.refuse(key, str(error)) from None

    def condition(self, key: str, vocabulary: Vocabulary) -> Tree:
        try:
            return parse(self.text(key), vocabulary)
        except ConditionError as error:
            raise self.refuse(key, f"{error} (character {error.at + 1})") from None

    def field(self, key: str, vocabulary: Vocabulary, kinds: tuple[Kind, ...], name: str) -> Tree:
        given = self.text(key)
        try:
            field = vocabulary.field(given)
        except ConditionError as error:
            raise self.refuse(key, str(error)) from None
        if field["kind"] not in kinds:
            raise self.refuse(key, f"`{given}` is a {field['kind']}, {name} takes a {' or a '.join(kinds)}")
        return field

    def prior(self) -> tuple[float, float]:
        rate, strength = float(self._values["prior_rate"]), float(self._values["prior_strength"])
        if not 0.0 <= rate <= 1.0:
            raise self.refuse("prior_rate", f"is {rate:g}, from 0 to 1 is a rate")
        if not (0.0 < strength < 1e12):
            raise self.refuse("prior_strength", f"is {strength:g}, it counts as so many trials: above 0")
        return rate, strength

    def length(self) -> int:
        length = int(self._values["length"])
        if not 1 <= length <= LENGTH_MAX:
            raise self.refuse("length", f"is {length}, a vector has 1 to {LENGTH_MAX} numbers")
        return length

    def words(self) -> list[str]:
        words: list[str] = self._values["words"]
        if not words or len(words) > WORDS_MAX or len(set(words)) < len(words):
            raise self.refuse("words", f"are 1 to {WORDS_MAX} different texts")
        if bad := [word for word in words if not word or len(word) > WORD_CHARS_MAX]:
            raise self.refuse("words", f"are texts of 1 to {WORD_CHARS_MAX} characters, {bad[0][:20]!r} is not")
        return words


_UNSET = {key.rstrip("_"): value for key, value in msgspec.structs.asdict(FeatureTable(meaning="")).items()}
