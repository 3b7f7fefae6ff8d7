"""What a team's aggregates count: every aggregator and scope by literal values, random streams against plain loops,
sign-ins and restarts."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtp_monolith.config import Bots, Config, Events, FeatureTable, State
from rtp_monolith.state.rebuild import verify
from tests.oracles.aggregates import Counted, value_of

from .scene import DAY, HOUR, MINUTE, NOON, Scene, Step, click, crowd, event, later, put

EVENTS = Events(
    custom=["rated"],
    props={"stars": "number", "genre": "text"},
    attributes={"kg": "number", "colour": "text", "tags": "texts"},
)
LIKES = "event_type == 'like'"
RATED = "event_type == 'rated'"


def config(features: dict[str, dict[str, dict[str, Any]]], **other: Any) -> Config:
    tables = {
        scope: {name: msgspec.convert({"meaning": "m", **keys}, FeatureTable) for name, keys in each.items()}
        for scope, each in features.items()
    }
    return Config(events=EVENTS, features=tables, **other)


def rated(item: str, stars: object, ago: int = 0, genre: str = "") -> Step:
    return event("rated", item, ago=ago, stars=str(stars), genre=genre)


STARS = [rated("a", 4, 2 * MINUTE), rated("b", 1.5, 50 * MINUTE), rated("a", 5, 3 * DAY), rated("b", 2, 30 * DAY)]
PHONE = {"device": "phone"}

CASES: dict[str, tuple[str, dict[str, Any], float, Sequence[Step], float]] = {
    "count": (
        "user",
        {"aggregate": "count", "where": LIKES, "window": "1h"},
        0,
        [event("like", "a"), event("like", "b", ago=50 * MINUTE), event("like", "c", ago=5 * HOUR), click("a")],
        2,
    ),
    "an order counts once": (
        "user",
        {"aggregate": "count", "where": "event_type == 'purchase'", "window": "7d"},
        0,
        [event("purchase", items='[{"item_id":"a"},{"item_id":"c"}]')],
        1,
    ),
    "its lines count when items are spoken of": (
        "user",
        {"aggregate": "count", "where": "event_type == 'purchase' and item.price >= 1", "window": "7d"},
        0,
        [event("purchase", items='[{"item_id":"a"},{"item_id":"c"},{"item_id":"d"}]')],
        2,
    ),
    "decayed": (
        "user",
        {"aggregate": "decayed", "where": LIKES, "half_life": "12h"},
        0,
        [event("like", "a", ago=30 * MINUTE), later(12 * HOUR - 30 * MINUTE)],
        pytest.approx(0.5, rel=0.05),
    ),
    "minutes_since": (
        "user",
        {"aggregate": "minutes_since", "where": LIKES, "default": 1e6},
        1e6,
        [event("like", "a", ago=90 * MINUTE), event("like", "a", ago=3 * DAY), click("a")],
        90,
    ),
    "rate": (
        "user",
        {
            "aggregate": "rate",
            "hits": LIKES,
            "trials": "event_type == 'view'",
            "window": "1d",
            "prior_rate": 0.1,
            "prior_strength": 10.0,
        },
        pytest.approx(0.1),
        [event("like", "a"), *[event("view", item) for item in "abcd" * 5]],
        pytest.approx(2 / 30),
    ),
    "sum": ("user", {"aggregate": "sum", "of": "props.stars", "window": "1h"}, 0, STARS, 5.5),
    "sum of lines": (
        "user",
        {"aggregate": "sum", "of": "line.value", "where": "event_type == 'purchase'", "window": "1d"},
        0,
        [event("purchase", items='[{"item_id":"a","quantity":2,"price":7.5},{"item_id":"c","quantity":3}]')],
        30,
    ),
    "mean": (
        "user",
        {"aggregate": "mean", "of": "props.stars", "window": "7d", "default": 3.0},
        3,
        STARS,
        pytest.approx(3.5),
    ),
    "max": ("user", {"aggregate": "max", "of": "props.stars", "window": "1h"}, 0, STARS, 4),
    "min": ("user", {"aggregate": "min", "of": "props.stars", "window": "lifetime", "default": -1.0}, -1, STARS, 1.5),
    "last": ("user", {"aggregate": "last", "of": "props.stars"}, 0, STARS, 4),
    "last of a text": (
        "user",
        {"aggregate": "last", "of": "props.genre", "words": ["jazz", "folk"]},
        0,
        [rated("a", 1, genre="folk"), rated("a", 1, ago=HOUR, genre="jazz")],
        2,
    ),
    "distinct": (
        "user",
        {"aggregate": "distinct", "of": "item_id", "window": "1d"},
        0,
        [click("a"), click("b"), click("a", 2 * HOUR), click("c", 2 * DAY)],
        2,
    ),
    "distinct of a list": (
        "user",
        {"aggregate": "distinct", "of": "item.categories", "window": "lifetime"},
        0,
        [click("a"), click("b"), click("c")],
        3,
    ),
    "attribute": (
        "user",
        {
            "aggregate": "max",
            "of": "item.attributes.kg",
            "where": "item.attributes.tags contains 'new'",
            "window": "1d",
        },
        0,
        [put("a", attributes={"kg": 3.5, "tags": ["new"]}), put("b", attributes={"kg": 9}), click("a"), click("b")],
        3.5,
    ),
    "the item as it was": (
        "user",
        {"aggregate": "sum", "of": "item.price", "where": "event_type == 'click'", "window": "1d"},
        0,
        [click("a"), put("a", price=99), click("a")],
        109,
    ),
    "ttl": (
        "user",
        {"aggregate": "sum", "of": "props.stars", "window": "lifetime", "ttl": "1h", "default": -1.0},
        0,
        [rated("a", 4), later(61 * MINUTE)],
        -1,
    ),
    "session": (
        "session",
        {"aggregate": "count", "where": LIKES, "window": "1d"},
        0,
        [event("like", "a"), event("like", "a", session="other")],
        1,
    ),
    "item": (
        "item",
        {"aggregate": "mean", "of": "props.stars", "window": "7d"},
        0,
        [rated("a", 4), rated("b", 1), crowd("rated", "a", 2, stars="1")],
        2,
    ),
    "item is capped": (
        "item",
        {"aggregate": "count", "where": RATED, "window": "7d"},
        0,
        [rated("a", n) for n in range(9)],
        5,
    ),
    "user is not capped": (
        "user",
        {"aggregate": "count", "where": RATED, "window": "7d"},
        0,
        [rated("a", n) for n in range(9)],
        9,
    ),
    "category": (
        "category",
        {"aggregate": "count", "where": LIKES, "window": "7d"},
        0,
        [event("like", "a"), event("like", "b"), event("like", "c")],
        2,
    ),
    "seller": (
        "seller",
        {"aggregate": "max", "of": "props.stars", "window": "1d"},
        0,
        [rated("b", 3), rated("c", 5)],
        3,
    ),
    "context": (
        "context",
        {"aggregate": "count", "where": LIKES, "window": "1d", "dimension": "device"},
        0,
        [event("like", "a", device="phone"), event("like", "b", device="tv"), event("like", "c")],
        1,
    ),
    "hour of the event": (
        "user",
        {"aggregate": "count", "where": "hour < 6 and weekday == 4", "window": "1d"},
        0,
        [click("a", 7 * HOUR), click("a", 13 * HOUR), click("a")],
        1,
    ),
    "field": ("item", {"field": "attributes.kg", "default": 2.0}, 2, [put("a", attributes={"kg": 7})], 7),
    "word": (
        "item",
        {"field": "attributes.colour", "words": ["red", "blue"]},
        0,
        [put("a", attributes={"colour": "blue"})],
        2,
    ),
    "no word": ("item", {"field": "brand", "words": ["B2"], "default": -1.0}, 0, [put("a", brand=None)], -1),
    "words of a list": (
        "item",
        {"field": "categories", "words": ["hats", "shoes"]},
        2,
        [put("a", categories=["hats"])],
        1,
    ),
    "user word": (
        "user",
        {"field": "attributes.tier", "words": ["gold"], "default": -1.0},
        -1,
        [lambda scene: scene.put_user({"id": "u1", "attributes": {"tier": "gold"}})],
        1,
    ),
    "context word": ("context", {"field": "device", "words": ["tv", "phone"]}, 2, [], 2),
    "local hour": ("context", {"clock": "hour", "utc_offset": "+05:30"}, 17, [later(30 * MINUTE)], 18),
    "local weekday": ("context", {"clock": "weekday", "utc_offset": "-13:00"}, 3, [later(HOUR)], 4),
    "interacted": (
        "cross",
        {"interacted": "brand", "event": "click", "window": "1h"},
        0,
        [click("b"), click("c"), click("a"), event("view", "b"), click("b", 2 * HOUR)],
        2,
    ),
    "interacted by attribute": (
        "cross",
        {"interacted": "attributes.colour", "window": "lifetime"},
        0,
        [put("a", attributes={"colour": "red"}), put("c", attributes={"colour": "red"}), click("c"), click("b")],
        1,
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_feature_counts_what_it_says(case: str, tmp_path: Path) -> None:
    scope, keys, before, steps, after = CASES[case]
    scene = Scene(tmp_path, config({scope: {"f": keys}}))
    scene.send([{"event_type": "search", "user_id": "u1", "session_id": "s1", "ts_ms": NOON - 40 * DAY}])
    assert scene.value(f"{scope}_f", context=PHONE) == before
    for step in steps:
        step(scene)
    assert scene.value(f"{scope}_f", context=PHONE) == after
    scene.reopen()
    assert scene.value(f"{scope}_f", context=PHONE) == after
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


def test_of_an_unknown_user_there_is_the_default(tmp_path: Path) -> None:
    tables = {"f": {"aggregate": "count", "window": "1d", "default": 7.0}}
    scene = Scene(
        tmp_path,
        config(
            {
                "user": tables,
                "session": tables,
                "seller": tables,
                "context": tables | {"f": {**tables["f"], "dimension": "device"}},
            }
        ),
    )
    assert [scene.value(f"{scope}_f", "d") for scope in ("user", "session", "seller", "context")] == [7, 7, 7, 7]
    scene.shard.close()


SIGN_IN = {
    "user": {
        "likes": {"aggregate": "count", "where": LIKES, "window": "1d"},
        "most": {"aggregate": "max", "of": "props.stars", "window": "1d"},
        "latest": {"aggregate": "last", "of": "props.stars"},
        "genres": {"aggregate": "distinct", "of": "props.genre", "window": "1d"},
    },
    "session": {"loved": {"aggregate": "count", "where": LIKES, "window": "1d"}},
}


@pytest.mark.parametrize("reopened", [False, True])
def test_what_a_visitor_counted_joins_the_user_once(reopened: bool, tmp_path: Path) -> None:
    scene = Scene(tmp_path, config(SIGN_IN))
    event("like", "a", user="u1", session="old")(scene)
    event("rated", "a", user="u1", session="old", stars="2", genre="x", ago=HOUR)(scene)
    event("like", "b", user=None)(scene)
    event("rated", "b", user=None, stars="5", genre="y", ago=2 * HOUR)(scene)
    assert scene.value("session_loved") == 0, "the session is nobody's yet"
    if reopened:
        scene.reopen()
    event("like", "c")(scene)
    event("search", None, user=None)(scene)
    names = ("user_likes", "user_most", "user_latest", "user_genres", "session_loved")
    assert [scene.value(name) for name in names] == [3, 5, 2, 2, 2]
    scene.reopen()
    assert [scene.value(name) for name in names] == [3, 5, 2, 2, 2]
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


KINDS = ["click", "like", "view", "rated", "rated", "purchase"]
ORACLE = {
    "count": {"aggregate": "count", "where": "event_type in ['like', 'rated'] and not (props.genre == 'x')"},
    "sum": {"aggregate": "sum", "of": "props.stars"},
    "mean": {"aggregate": "mean", "of": "props.stars", "where": "props.stars > -5"},
    "max": {"aggregate": "max", "of": "props.stars"},
    "min": {"aggregate": "min", "of": "props.stars"},
    "distinct": {"aggregate": "distinct", "of": "props.genre"},
}
UNCAPPED = {"bots": Bots(contributions_per_item_per_hour_max=255, contributions_per_hour_max=65_535)}


@pytest.mark.parametrize("seed", range(3))
def test_random_streams_count_like_plain_loops(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    windows = ("5m", "1h", "1d", "7d", "lifetime")
    features: dict[str, dict[str, dict[str, Any]]] = {
        scope: {f"{name}_{window}": {**keys, "window": window} for name, keys in ORACLE.items() for window in windows}
        for scope in ("user", "item")
    }
    scene = Scene(tmp_path, config(features, **UNCAPPED, state=State(users_cached_max=2)))
    counted: list[Counted] = []
    sent: list[dict[str, object]] = []
    compared = 0
    for number in range(240):
        scene.clock.advance(draw.choice([0, 1_000, MINUTE, 40 * MINUTE, 5 * HOUR]))
        now = scene.clock.now_ms()
        late = draw.choice([0, 0, draw.randrange(2 * HOUR), draw.randrange(12 * DAY)])
        stars = draw.choice(["", "NaN", "1e400", "-7", "3", "4.5", "1e12", "zero"])
        one = Counted(
            draw.choice(["u1", "u2", "u3"]),
            draw.choice("abc"),
            draw.choice(KINDS),
            now - late,
            stars,
            draw.choice("xyz"),
        )
        counted.append(one)
        sent.append(
            {
                "event_id": f"n{number}",
                "user_id": one.user,
                "session_id": "s1",
                "item_id": one.item,
                "event_type": one.kind,
                "ts_ms": one.ts_ms,
                "props": {"stars": stars, "genre": one.genre},
            }
        )
        scene.send([dict(sent[-1]), *map(dict, draw.sample(sent[-30:], k=min(len(sent), draw.choice([0, 2]))))])
        if number % 80 == 79:
            scene.reopen()
        if number % 12 == 11:
            item = draw.choice("abc")
            row = scene.shard.core.vectors_of(scene.ask("u1", "s1"), [item], scene.shard.plan)[0].tolist()
            got = dict(zip(scene.shard.plan.names, row, strict=True))
            ends = {"user": now, "item": now - now % MINUTE + MINUTE - 1}
            mine = {"user": [c for c in counted if c.user == "u1"], "item": [c for c in counted if c.item == item]}
            if not mine["user"]:
                continue
            for scope in ("user", "item"):
                for name, keys in features[scope].items():
                    want = value_of(name.split("_")[0], keys["window"], mine[scope], ends[scope])
                    assert got[f"{scope}_{name}"] == pytest.approx(want, rel=1e-5, abs=1e-3), (number, scope, name)
                    compared += 1
    scene.shard.close()
    assert compared > 800
    assert verify(tmp_path, scene.config).equal


def test_the_state_of_a_user_tells_a_teams_features(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config({"user": {"likes": {"aggregate": "count", "where": LIKES, "window": "7d"}}}))
    event("like", "a")(scene)
    body = scene.shard.user_state("u1")
    assert body is not None and json.loads(body)["features"]["user_likes"] == 1
    scene.shard.close()
