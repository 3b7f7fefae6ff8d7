"""The configuration of a shard: read once from TOML, validated, frozen, printable.

Invariant: a `Config` that exists is usable; whatever can be wrong in a file is refused by `load` with the place named.
It does not know the command line (`--data`, `--port`, `--host`, `--clock`) nor what the values do.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, field

from rtp_monolith.config_heads import Head, HeadName
from rtp_monolith.config_surfaces import (
    DEFAULT_VALUE,
    Count,
    Duration,
    Positive,
    Rules,
    Section,
    Share,
    Surface,
    default_surfaces,
)
from rtp_monolith.errors import ConfigError

PropKind = Literal["number", "text", "flag"]
ValueKind = Literal["number", "text", "flag", "texts"]
Scope = Literal["events", "lists", "items", "users", "admin"]

EVENT_TYPES: tuple[str, ...] = (
    "impression",
    "click",
    "scroll",
    "dwell",
    "add_to_cart",
    "remove_from_cart",
    "purchase",
    "refund",
    "search",
    "view",
    "skip",
    "like",
    "dislike",
    "identify",
)

NO_RULES = msgspec.to_builtins(Rules())
UNSAID_OF_SURFACES: tuple[tuple[str, object], ...] = (
    ("rules", NO_RULES),
    ("diversify", "mmr"),
    ("stability", None),
    ("about", "request"),
    ("negative", None),
    ("send", None),
)
"""What a surface says by saying nothing, as it was before these keys were there."""
EventTypeName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]


class Events(Section, frozen=True):
    """`props` and `attributes` say what a team's own props of events and attributes of items hold, for its features."""

    custom: Annotated[list[EventTypeName], Meta(max_length=64)] = field(default_factory=list)
    props: dict[str, PropKind] = field(default_factory=dict)
    attributes: dict[str, ValueKind] = field(default_factory=dict)
    purchase_requires_server_key: bool = False


class FeatureTable(Section, frozen=True):
    """One feature of a team as it is written, `[features.<scope>.<name>]`; `features/declared.py` says what fits."""

    meaning: str
    version: Count = 1
    owner: str = ""
    default: float = 0.0
    ttl: str | None = None
    aggregate: str | None = None
    where: str | None = None
    of: str | None = None
    hits: str | None = None
    trials: str | None = None
    window: str | None = None
    half_life: str | None = None
    prior_rate: float | None = None
    prior_strength: float | None = None
    words: list[str] | None = None
    dimension: str | None = None
    field: str | None = None
    clock: str | None = None
    utc_offset: str | None = None
    interacted: str | None = None
    event: str | None = None
    refunds: Literal["take_back"] | None = None
    size: str | None = None
    matches: str | None = None
    published: str | None = None
    length: int | None = None
    with_: str | None = msgspec.field(default=None, name="with")


class Limits(Section, frozen=True):
    """Units are in the names; `requests_per_s` is per key, or per client address where no key is asked for."""

    body_bytes_max: Count = 1 << 20
    batch_events_max: Count = 1000
    rank_items_max: Annotated[int, Meta(ge=1, le=1000)] = 1000
    k_max: Annotated[int, Meta(ge=1, le=200)] = 200
    props_max: Count = 64
    rank_timeout_ms: Positive = 100.0
    ingest_timeout_ms: Positive = 5000.0
    queue_max: Count = 1024
    turn_budget_ms: Positive = 1.0
    ingest_share: Annotated[float, Meta(ge=0.05, le=0.95)] = 0.5
    body_bytes_in_flight_max: Count = 256 << 20
    requests_per_s: Positive | None = None
    request_burst: Count | None = None


class Bots(Section, frozen=True):
    """What one user may add to counters shared by all."""

    contributions_per_item_per_hour_max: Count = 5
    contributions_per_hour_max: Count = 600


class Log(Section, frozen=True):
    segment_bytes: Annotated[int, Meta(ge=1 << 16)] = 256 << 20
    retain_bytes: Count | None = None
    retain_ms: Count | None = None


class State(Section, frozen=True):
    flush_records_max: Count = 50_000
    flush_interval_ms: Count = 250
    users_cached_max: Count = 1_000_000


class Users(Section, frozen=True):
    """`static` is how many numbers the vector of a user's past has, as many as the bundle's item vectors; 0: none is
    read. One older than `static_ttl` is not read."""

    static: Annotated[int, Meta(ge=0, le=1024)] = 0
    static_ttl: Duration = "7d"


class Recall(Section, frozen=True):
    """Session-kNN as in Serenade (Kersbergen et al., SIGMOD 2022), with its published parameters."""

    m_most_recent_sessions: Count = 500
    neighborhood_size_k: Count = 50
    max_items_in_session: Count = 2
    idf_weighting: Annotated[float, Meta(ge=0)] = 1.0


class Audit(Section, frozen=True):
    """`share` of the requests whose decisions carry the feature vectors of what they showed; with `watch` a process
    beside the shard makes them again from the log, a round every `interval_ms`."""

    share: Share = 0.0625
    watch: bool = True
    interval_ms: Annotated[int, Meta(ge=100)] = 60_000


class Canary(Section, frozen=True):
    """What ends the trial of a bundle by itself, once both sides have made `lists_min` lists: a share of lists that
    lack a stage `failed_max` above the other side's, a P95 above `latency_ratio_max` times the other side's, clicks per
    shown item more than `click_drop_max` below it, shown at `z_min` standard errors."""

    lists_min: Count = 500
    failed_max: Share = 0.02
    latency_ratio_max: Positive = 2.0
    click_drop_max: Share = 0.1
    z_min: Positive = 3.5


class Decisions(Section, frozen=True):
    """`vectors_share` of the lists that a bundle ranked carry the rows of what they showed, columns of that bundle."""

    vectors_share: Share = 1.0


class Lake(Section, frozen=True):
    """The offline store; without a `path` a shard writes none. Windows count from the moment a list was made."""

    path: Annotated[str, Meta(min_length=1)] | None = None
    interval_ms: Annotated[int, Meta(ge=100)] = 30_000
    file_rows_max: Annotated[int, Meta(ge=1_000)] = 250_000
    retain_days: Count | None = None
    click_window_ms: Count = 30 * 60_000
    conversion_window_ms: Count = 60 * 60_000
    refund_window_ms: Count = 14 * 24 * 3_600_000
    duplicate_window_bytes: Count = 256 << 20
    rows: bool = False
    catalog: Annotated[str, Meta(pattern="^sqlite:///.+")] | None = None


class Online(Section, frozen=True):
    """Tables of published features. `timeout_ms` is what a list waits for its user's row at most; a row that was read
    stays for `cache_ttl_ms`. Every `refresh_ms` a shard looks for what was published since."""

    store: Literal["embedded", "redis"] = "embedded"
    url: Annotated[str, Meta(pattern="^(redis|rediss|unix)://.+")] | None = None
    prefix: Annotated[str, Meta(pattern="^[!-~]{1,64}$")] = "rtp"
    timeout_ms: Positive = 20.0
    load_timeout_ms: Positive = 2000.0
    refresh_ms: Annotated[int, Meta(ge=10)] = 1000
    users_cached_max: Count = 100_000
    cache_ttl_ms: Count = 60_000
    item_rows_max: Count = 2_000_000
    breaker_failures: Count = 3
    breaker_cooldown_ms: Positive = 1000.0


class ApiKey(Section, frozen=True):
    """`server` marks a key that no browser holds: what it sends is trusted."""

    key: Annotated[str, Meta(min_length=16, max_length=256, pattern="^[!-~]+$")]
    scopes: Annotated[list[Scope], Meta(min_length=1)]
    server: bool = False
    name: str = ""


class Http(Section, frozen=True):
    """`allowed_origins` are the pages of other origins that may call from a browser; `["*"]` allows all."""

    allowed_origins: list[str] = field(default_factory=list)
    keep_alive_s: Count = 75
    shutdown_s: Count = 10


class Cascade(Section, frozen=True):
    """Sizes of the stages, what each may cost, and when a stage that failed or overran is left out for a while."""

    candidates_max: Annotated[int, Meta(ge=1, le=1000)] = 1000
    ranked_max: Annotated[int, Meta(ge=1, le=1000)] = 200
    encode_budget_ms: Positive = 5.0
    ann_budget_ms: Positive = 5.0
    recall_budget_ms: Positive = 12.0
    prerank_budget_ms: Positive = 6.0
    rank_budget_ms: Positive = 15.0
    rerank_budget_ms: Positive = 6.0
    explore_budget_ms: Positive = 4.0
    log_budget_ms: Positive = 4.0
    breaker_failures: Count = 3
    breaker_cooldown_ms: Positive = 1000.0
    encodings_cached_max: Count = 20_000
    pages_max: Count = 50_000
    pages_keep_ms: Positive = 1_800_000.0


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a shard is told. `Config()` is the shard without `--config`."""

    partitions: Annotated[int, Meta(ge=1, le=65536)] = 256
    embedding_length: Annotated[int, Meta(ge=1, le=4096)] | None = None
    events: Events = field(default_factory=Events)
    limits: Limits = field(default_factory=Limits)
    bots: Bots = field(default_factory=Bots)
    log: Log = field(default_factory=Log)
    state: State = field(default_factory=State)
    recall: Recall = field(default_factory=Recall)
    users: Users = field(default_factory=Users)
    audit: Audit = field(default_factory=Audit)
    canary: Canary = field(default_factory=Canary)
    decisions: Decisions = field(default_factory=Decisions)
    cascade: Cascade = field(default_factory=Cascade)
    http: Http = field(default_factory=Http)
    lake: Lake = field(default_factory=Lake)
    online: Online = field(default_factory=Online)
    keys: list[ApiKey] = []
    surfaces: dict[str, Surface] = field(default_factory=default_surfaces)
    heads: dict[HeadName, Head] = {}
    features: dict[str, dict[str, FeatureTable]] = {}
    features_file: str | None = None

    def __post_init__(self) -> None:
        """Rules between values; a value's own rules are in its type."""
        if not self.surfaces:
            raise ValueError("surfaces: at least one is needed")
        if self.features_file is not None and self.features:
            raise ValueError("features_file: the features are in the configuration already")
        if (self.online.store == "redis") != (self.online.url is not None):
            raise ValueError("online: a url is needed for `redis` and means nothing to `embedded`")
        known = [name for name in self.events.custom if name in EVENT_TYPES]
        if known:
            raise ValueError(f"events.custom: {known[0]!r} exists already")
        kinds = (*EVENT_TYPES, *self.events.custom)
        for name, head in self.heads.items():
            if unknown := [kind for kind in head.events if kind not in kinds]:
                raise ValueError(f"heads.{name}.events: {unknown[0]!r} is no event type{_hint(unknown[0], [*kinds])}")
        if len({each.key for each in self.keys}) < len(self.keys):
            raise ValueError("keys: one key is there twice")
        if self.events.purchase_requires_server_key and not any(each.server for each in self.keys):
            raise ValueError(
                "events.purchase_requires_server_key: no key has server = true, every purchase would be refused"
            )

    def value_of(self, surface: str) -> str:
        """The value expression of a surface; one that names none counts the declared heads by their worth."""
        said = self.surfaces[surface].value
        if said != DEFAULT_VALUE or not self.heads:
            return said
        return " + ".join(f"{head.worth!r}*{name}" for name, head in self.heads.items())

    def printable(self) -> str:
        """The whole configuration as indented JSON, keys masked: fit for a log or a bug report."""
        plain = msgspec.to_builtins(self)
        for each in plain["keys"]:
            each["key"] = each["key"][:4] + "…"
        if plain["online"]["url"] is not None:
            plain["online"]["url"] = re.sub(r"//[^/@]*@", "//…@", plain["online"]["url"])
        return msgspec.json.format(msgspec.json.encode(plain), indent=2).decode()

    def digest(self) -> str:
        """16 hex digits that change with any value that a list can depend on; decisions carry it."""
        plain = msgspec.to_builtins(self)
        del plain["keys"], plain["lake"], plain["canary"], plain["audit"]["watch"], plain["audit"]["interval_ms"]
        # What was published stands in the decisions themselves.
        del plain["online"]
        if self.users == Users():
            del plain["users"]
        for table in (each for tables in plain["features"].values() for each in tables.values()):
            for name in ("published", "length"):
                if table[name] is None:
                    del table[name]
        # Left out when empty: decisions logged before a team declared anything stay comparable.
        del plain["cascade"]["pages_max"], plain["cascade"]["pages_keep_ms"]
        for surface in plain["surfaces"].values():
            for name, unsaid in UNSAID_OF_SURFACES:
                if surface[name] == unsaid:
                    del surface[name]
        for table, names in (
            (plain, ("features", "features_file", "heads")),
            (plain["events"], ("props", "attributes")),
        ):
            for name in names:
                if not table[name]:
                    del table[name]
        return hashlib.sha256(msgspec.json.encode(plain, order="sorted")).hexdigest()[:16]


def parse(text: str, source: str = "config") -> Config:
    """The configuration written in TOML `text`; `source` names it in errors. Raises ConfigError."""
    return _parse(text, source, Config)


_SectionT = TypeVar("_SectionT", bound=msgspec.Struct)


def _parse(text: str, source: str, kind: type[_SectionT]) -> _SectionT:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: not TOML: {error}") from None
    _refuse_unknown(data, msgspec.inspect.type_info(kind), "", source)
    _check_entries(data, msgspec.inspect.type_info(kind), "", source)
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {str(error).replace('`$.', '`')}") from None


def _check_entries(value: object, kind: msgspec.inspect.Type, at: str, source: str) -> None:
    """msgspec does not say in which entry of a table it found what it refuses."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            _check_entries(value, each, at, source)
    elif isinstance(kind, msgspec.inspect.StructType) and isinstance(value, dict):
        for one in kind.fields:
            if one.encode_name in value:
                _check_entries(value[one.encode_name], one.type, f"{at}.{one.encode_name}".lstrip("."), source)
    elif isinstance(kind, msgspec.inspect.DictType) and isinstance(value, dict):
        for key, inner in value.items():
            place = f"{at}.{key}"
            _check_entries(inner, kind.value_type, place, source)
            if isinstance(kind.value_type, msgspec.inspect.StructType):
                _check_entry(inner, kind.value_type.cls, place, source)


def _check_entry(value: object, kind: type, place: str, source: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        said, _, key = str(error).partition(" - at `$")
        raise ConfigError(f"{source}: `{place}{key.rstrip('`')}`: {said}") from None


def load(path: Path | None) -> Config:
    """The configuration of a file, or the default without one. Raises ConfigError."""
    if path is None:
        return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    config = parse(text, str(path))
    if config.features_file is None:
        return config
    return _with_features(config, path.parent / config.features_file)


class FeaturesFile(Section, frozen=True):
    """A file of features alone; what `events` says there is added to the configuration."""

    events: Events = field(default_factory=Events)
    features: dict[str, dict[str, FeatureTable]] = field(default_factory=dict)


def parse_features(text: str, source: str) -> FeaturesFile:
    """The features written in TOML `text`. Raises ConfigError."""
    return _parse(text, source, FeaturesFile)


def _with_features(config: Config, path: Path) -> Config:
    """The configuration with the features of a file, as if they stood in it: its digest changes with them."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return merged(config, parse_features(text, str(path)))


def merged(config: Config, added: FeaturesFile) -> Config:
    """A configuration with what a file of features adds. Raises ConfigError when the two disagree on a name."""
    for name, mine, theirs in (
        ("props", config.events.props, added.events.props),
        ("attributes", config.events.attributes, added.events.attributes),
    ):
        if other := [key for key in theirs if mine.get(key, theirs[key]) != theirs[key]]:
            raise ConfigError(f"events.{name}.{other[0]} is declared twice and differs")
    events = msgspec.structs.replace(
        config.events,
        custom=list(dict.fromkeys([*config.events.custom, *added.events.custom])),
        props=config.events.props | added.events.props,
        attributes=config.events.attributes | added.events.attributes,
    )
    return msgspec.structs.replace(config, events=events, features=added.features, features_file=None)


def _refuse_unknown(value: object, kind: msgspec.inspect.Type, at: str, source: str) -> None:
    """msgspec refuses unknown keys too, but cannot say which known one was meant."""
    if isinstance(kind, msgspec.inspect.UnionType):
        for each in kind.types:
            _refuse_unknown(value, each, at, source)
    elif isinstance(kind, msgspec.inspect.StructType) and isinstance(value, dict):
        fields = {each.encode_name: each.type for each in kind.fields}
        for key, inner in value.items():
            place = f"{at}.{key}" if at else key
            if key not in fields:
                raise ConfigError(f"{source}: unknown key `{place}`{_hint(key, list(fields))}")
            _refuse_unknown(inner, fields[key], place, source)
    elif isinstance(kind, msgspec.inspect.DictType) and isinstance(value, dict):
        names = _literals(kind.key_type)
        for key, inner in value.items():
            if names and key not in names:
                raise ConfigError(f"{source}: unknown key `{at}.{key}`{_hint(key, names)}")
            _refuse_unknown(inner, kind.value_type, f"{at}.{key}", source)
    elif isinstance(kind, msgspec.inspect.ListType) and isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_unknown(inner, kind.item_type, f"{at}[{index}]", source)


def _literals(kind: msgspec.inspect.Type) -> list[str]:
    return [str(each) for each in kind.values] if isinstance(kind, msgspec.inspect.LiteralType) else []


def _hint(key: str, known: list[str]) -> str:
    near: list[Any] = difflib.get_close_matches(key, known, n=1)
    return f", did you mean `{near[0]}`?" if near else f"; known are {', '.join(known)}"
