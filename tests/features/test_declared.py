"""A team's tables: what they become, and what is refused with its place and the nearest valid word."""

from __future__ import annotations

import msgspec
import pytest

from rtp_monolith.config import Config, Events, FeatureTable
from rtp_monolith.errors import FeatureError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import AGGREGATES, AGGREGATES_MAX, Declared, declared, duration_ms
from rtp_monolith.features.spec import Feature

EVENTS = Events(
    custom=["rated"], props={"stars": "number", "genre": "text"}, attributes={"colour": "text", "kg": "number"}
)
COUNT = {"aggregate": "count", "window": "7d"}
RATE = {
    "aggregate": "rate",
    "hits": "event_type == 'like'",
    "trials": "event_type == 'view'",
    "window": "1d",
    "prior_rate": 0.1,
    "prior_strength": 10.0,
}


def of(scope: str = "user", name: str = "f", **keys: object) -> Declared:
    table = msgspec.convert({"meaning": "m", **keys}, FeatureTable)
    return declared(Config(events=EVENTS, features={scope: {name: table}}))


def feature(scope: str = "user", **keys: object) -> Feature:
    (found,) = of(scope, **keys).custom
    return found


def test_a_table_becomes_a_feature_behind_the_catalogue() -> None:
    found = of(
        name="likes_7d", **COUNT, where="event_type == 'like'", version=3, owner="search", ttl="2d", default=-1.0
    )
    (likes,) = found.custom
    assert found.features == (*FEATURES, likes)
    assert (likes.name, likes.scope, likes.version, likes.owner) == ("user_likes_7d", "user", 3, "search")
    assert (likes.default, likes.ttl_ms, likes.window, likes.read) == (-1.0, 172_800_000, "7d", "count")
    assert [each.key for each in found.accumulators] == [likes.key]
    assert compile_plan(found.features).names[-1] == "user_likes_7d"


def test_features_of_the_same_events_share_what_is_counted() -> None:
    tables = {
        name: msgspec.convert({"meaning": "m", "where": "event_type == 'like'", **keys}, FeatureTable)
        for name, keys in {
            "a": COUNT,
            "b": {**COUNT, "window": "1h"},
            "c": {"aggregate": "decayed", "half_life": "6h"},
            "d": {"aggregate": "minutes_since"},
            "e": {**COUNT, "where": "event_type == 'view'"},
        }.items()
    }
    found = declared(Config(features={"user": tables}))
    assert len(found.accumulators) == 2
    assert len({each.key for each in found.custom[:4]}) == 1 and found.custom[4].key != found.custom[0].key
    assert len({each.fingerprint() for each in found.custom}) == 5


@pytest.mark.parametrize(
    "change",
    [{"where": "event_type == 'view'"}, {"window": "1d"}, {"default": 1.0}, {"ttl": "1d"}, {"version": 2}],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_is_of_the_meaning(change: dict[str, object]) -> None:
    plain = feature(**COUNT, where="event_type == 'like'")
    assert feature(**{**COUNT, "where": "event_type == 'like'", **change}).fingerprint() != plain.fingerprint()
    assert (
        feature(**COUNT, where='(event_type   == "like")', meaning="w", owner="o").fingerprint() == plain.fingerprint()
    )


def test_other_scopes_mean_something_else() -> None:
    scopes = ("user", "session", "item", "category", "seller", "item_pair")
    found = [feature(scope, **COUNT) for scope in scopes] + [feature("context", **COUNT, dimension="device")]
    assert len({each.key for each in found}) == 7
    assert [each.scope for each in found] == [*scopes, "context"]


@pytest.mark.parametrize(
    ("scope", "keys", "place", "words"),
    [
        ("usr", COUNT, "features.usr", "unknown scope `usr`, did you mean `user`?"),
        ("arm", COUNT, "features.arm.f", "`dimension` is missing"),
        ("arm", {**COUNT, "dimension": "bundel"}, "features.arm.f.dimension", "did you mean `bundle`?"),
        (
            "arm",
            {**COUNT, "where": "event_type == 'purchase'", "refunds": "take_back", "dimension": "surface"},
            "features.arm.f.refunds",
            "cannot be given to the scope `arm`",
        ),
        ("pair", COUNT, "features.pair", "is called `item_pair`"),
        (
            "item_pair",
            {**COUNT, "where": "event_type == 'purchase'", "refunds": "take_back"},
            "features.item_pair.f.refunds",
            "cannot be given to the scope `item_pair`",
        ),
        ("item_pair", {"field": "price"}, "features.item_pair.f.field", "has no fields"),
        ("cross", COUNT, "features.cross.f.aggregate", "nothing is counted in the scope `cross`"),
        ("user", {}, "features.user.f", "needs one of `aggregate`"),
        ("user", {**COUNT, "clock": "hour"}, "features.user.f", "has aggregate and clock"),
        ("user", {"aggregate": "cuont", "window": "7d"}, "features.user.f.aggregate", "did you mean `count`?"),
        ("user", {"aggregate": "count", "window": "8d"}, "features.user.f.window", "unknown `8d`, did you mean"),
        ("user", {"aggregate": "count"}, "features.user.f", "`window` is missing"),
        (
            "user",
            {**COUNT, "half_life": "1d"},
            "features.user.f.half_life",
            "`half_life` means nothing to the aggregate",
        ),
        ("user", {"aggregate": "decayed", "half_life": "1x"}, "features.user.f.half_life", "no time such as 90s"),
        ("user", {**COUNT, "ttl": "0d"}, "features.user.f.ttl", "no time such as"),
        ("user", {**COUNT, "ttl": "99999d"}, "features.user.f.ttl", "at most 3650d"),
        (
            "user",
            {**COUNT, "where": "event_type == 'liek'"},
            "features.user.f.where",
            "did you mean `like`? (character 15)",
        ),
        ("user", {**COUNT, "of": "props.stars"}, "features.user.f.of", "`of` means nothing"),
        ("user", {**COUNT, "default": float("nan")}, "features.user.f.default", "not a finite number"),
        ("user", {**COUNT, "meaning": " "}, "features.user.f.meaning", "say what the number is"),
        ("user", {**COUNT, "dimension": "device"}, "features.user.f.dimension", "means nothing"),
        ("context", COUNT, "features.context.f", "`dimension` is missing"),
        ("context", {**COUNT, "dimension": "devise"}, "features.context.f.dimension", "did you mean `device`?"),
        ("user", {"aggregate": "sum", "window": "7d"}, "features.user.f", "`of` is missing"),
        ("user", {"aggregate": "sum", "window": "7d", "of": "props.strs"}, "features.user.f.of", "`props.stars`?"),
        (
            "user",
            {"aggregate": "mean", "window": "7d", "of": "props.genre"},
            "features.user.f.of",
            "is a text, mean takes",
        ),
        (
            "user",
            {"aggregate": "last", "of": "item.categories"},
            "features.user.f.of",
            "is a texts, last takes a number or",
        ),
        ("user", {"aggregate": "last", "of": "props.genre"}, "features.user.f.words", "needed for a text"),
        (
            "user",
            {"aggregate": "last", "of": "props.stars", "words": ["a"]},
            "features.user.f.words",
            "for nothing else",
        ),
        (
            "user",
            {"aggregate": "last", "of": "props.genre", "words": []},
            "features.user.f.words",
            "1 to 256 different",
        ),
        (
            "user",
            {"aggregate": "last", "of": "props.genre", "words": [""]},
            "features.user.f.words",
            "1 to 256 characters",
        ),
        ("user", {**RATE, "prior_rate": 1.5}, "features.user.f.prior_rate", "from 0 to 1"),
        ("user", {**RATE, "prior_strength": 0.0}, "features.user.f.prior_strength", "above 0"),
        ("user", {**RATE, "hits": "x"}, "features.user.f.hits", "unknown field `x`"),
        ("user", {**RATE, "where": "item.available"}, "features.user.f.where", "means nothing to the aggregate `rate`"),
        ("item", {"field": "colour"}, "features.item.f.field", "unknown field `item.colour`"),
        ("item", {"field": "attributes.colour"}, "features.item.f.words", "`attributes.colour` is a text"),
        ("item", {"field": "price", "ttl": "1d"}, "features.item.f.ttl", "is of aggregates"),
        ("session", {"field": "device"}, "features.session.f.field", "has no fields"),
        ("user", {"field": "tier"}, "features.user.f.field", "attributes.<name>"),
        ("user", {"clock": "hour", "utc_offset": "+02:00"}, "features.user.f.clock", "of the scope `context`"),
        ("context", {"clock": "hour", "utc_offset": "2h"}, "features.context.f.utc_offset", "such as +02:00"),
        ("context", {"clock": "hours", "utc_offset": "+02:00"}, "features.context.f.clock", "did you mean `hour`?"),
        ("item", {"interacted": "brand", "window": "1h"}, "features.item.f.interacted", "of the scope `cross`"),
        ("cross", {"interacted": "brnd", "window": "1h"}, "features.cross.f.interacted", "did you mean `brand`?"),
        ("cross", {"interacted": "brand", "window": "1h", "event": "search"}, "features.cross.f.event", "last actions"),
    ],
)
def test_what_does_not_fit_is_refused(scope: str, keys: dict[str, object], place: str, words: str) -> None:
    with pytest.raises(FeatureError) as refused:
        of(scope, **keys)
    assert words in refused.value.message
    assert (refused.value.code, refused.value.field) == ("bad_definition", place)


@pytest.mark.parametrize(
    ("name", "words"), [("clicks_7d", "the catalogue has"), ("Likes", "is no name"), ("x" * 65, "is no name")]
)
def test_a_name_is_new_and_plain(name: str, words: str) -> None:
    with pytest.raises(FeatureError, match=words):
        of(name=name, **COUNT)


def test_there_is_a_limit_to_what_every_user_may_have() -> None:
    def tables(n: int) -> dict[str, FeatureTable]:
        each = [{"meaning": "m", **COUNT, "where": f"props.stars == {i}"} for i in range(n)]
        return {f"f{i}": msgspec.convert(keys, FeatureTable) for i, keys in enumerate(each)}

    assert len(declared(Config(events=EVENTS, features={"user": tables(AGGREGATES_MAX)})).accumulators) == 64
    with pytest.raises(FeatureError, match="65 different accumulators, at most 64"):
        declared(Config(events=EVENTS, features={"user": tables(AGGREGATES_MAX + 1)}))


@pytest.mark.parametrize("name", AGGREGATES)
@pytest.mark.parametrize("scope", ["user", "session", "item", "category", "seller", "context"])
def test_every_aggregate_of_every_scope_is_accepted_by_the_core(scope: str, name: str) -> None:
    from rtp_monolith._native import Core

    given: dict[str, object] = {"window": "1h", "half_life": "6h", "of": "props.stars", **RATE}
    keys = {key: given[key] for key in AGGREGATES[name][1]}
    found = of(scope, aggregate=name, **keys, **({"dimension": "country"} if scope == "context" else {}))
    assert len(compile_plan(found.features)) == len(FEATURES) + 1
    core = Core(aggregates=found.aggregates)
    assert core.aggregates() == [(each.key, 0) for each in found.accumulators]


def test_durations() -> None:
    assert [duration_ms(text) for text in ("5ms", "90s", "30m", "6h", "7d")] == [
        5,
        90_000,
        1_800_000,
        21_600_000,
        604_800_000,
    ]
