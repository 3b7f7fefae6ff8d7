"""The worst that items, users and requests may say: attributes of every type, numbers of every size, enormous texts, a
clock far away; and definitions at the ends of their ranges. Values stay finite, and a restart changes none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtp_monolith.config import parse
from rtp_monolith.state.rebuild import verify

from .scene import DAY, NOON, Scene

CONFIG = parse(
    """
[events.attributes]
size = "number"
shade = "text"
tags = "texts"
new = "flag"

[features.item]
size = { meaning = "m", field = "attributes.size" }
shade = { meaning = "m", field = "attributes.shade", words = ["red", "blue"] }
tags = { meaning = "m", field = "attributes.tags", words = ["a", "b"] }
new = { meaning = "m", field = "attributes.new" }
title_words = { meaning = "m", size = "title" }
tags_held = { meaning = "m", size = "attributes.tags" }
fading = { meaning = "m", aggregate = "decayed", half_life = "1ms" }
lasting = { meaning = "m", aggregate = "decayed", half_life = "3650d" }
priced = { meaning = "m", aggregate = "sum", of = "item.price", window = "lifetime" }
gone_at_once = { meaning = "m", aggregate = "count", window = "5m", ttl = "1ms" }

[features.user]
age = { meaning = "m", field = "attributes.age" }
tier = { meaning = "m", field = "attributes.tier", words = ["gold"] }
said = { meaning = "m", size = "attributes.tier" }
lasting = { meaning = "m", aggregate = "decayed", half_life = "3650d" }
paid = { meaning = "m", aggregate = "mean", of = "line.value", window = "lifetime" }
dearest = { meaning = "m", aggregate = "max", of = "item.price", window = "lifetime" }

[features.user.fading]
meaning = "m"
aggregate = "decayed"
where = "event_type == 'purchase'"
half_life = "1ms"
refunds = "take_back"

[features.user.spent]
meaning = "m"
aggregate = "sum"
of = "line.value"
where = "event_type == 'purchase'"
window = "lifetime"
refunds = "take_back"

[features.context]
east = { meaning = "m", clock = "hour", utc_offset = "+14:00" }
west = { meaning = "m", clock = "weekday", utc_offset = "-12:00" }
version = { meaning = "m", field = "app_version" }
query_words = { meaning = "m", size = "query" }

[features.cross]
match = { meaning = "m", matches = "text", with = "query" }
title_match = { meaning = "m", matches = "title", with = "last_query" }
same_shade = { meaning = "m", interacted = "attributes.shade", window = "lifetime" }
same_tags = { meaning = "m", interacted = "attributes.tags", window = "5m" }
"""
)
NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-(2**63), 2**63),
    st.sampled_from([1e308, -1e308, 5e-324, 3.5e38, -0.0, 2**53 + 1]),
)
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["red", "gold", "ü" * 250, "a " * 120, "\0", "１２"]))
VALUES = st.one_of(NUMBERS, st.booleans(), TEXTS, st.lists(TEXTS, max_size=3), st.none(), st.lists(NUMBERS, max_size=2))
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "title": TEXTS,
        "price": NUMBERS,
        "available": st.booleans(),
        "categories": st.lists(TEXTS, max_size=3),
        "created_at": st.sampled_from([1, NOON, NOON + 400 * DAY, 253_402_300_799_000]),
        "attributes": st.dictionaries(st.sampled_from(["size", "shade", "tags", "new", "other"]), VALUES, max_size=4),
    },
)
QUERIES = st.one_of(TEXTS, st.sampled_from(["boots " * 20_000, "x" * 100_000, "é" * 50_000, " ", "red"]))
CLOCKS = (1, NOON, NOON + 4_000 * DAY, 2**53, 2**62)


def offer(scene: Scene, event: dict[str, object]) -> int:
    """Sends an event that may be refused; how many were taken."""
    body = json.dumps({**event, "event_id": f"o{scene.shard.log.end()}"}).encode()
    reply = scene.shard.ingest_sync("events", body, "json", trusted=True)
    assert reply.accepted + len(reply.rejected) == 1
    return reply.accepted


def rows(scene: Scene, query: str) -> Any:
    context = {"query": query, "app_version": query[:64], "device": query[:64]}
    return scene.shard.core.vectors_of(scene.ask("u1", "s1", context), list("abcd"), scene.shard.plan)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.lists(st.tuples(st.sampled_from("abcd"), ITEM), max_size=5),
    person=st.dictionaries(st.sampled_from(["age", "tier", "other"]), VALUES, max_size=3),
    bought=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, NOON), NUMBERS), max_size=4),
    queries=st.lists(QUERIES, min_size=1, max_size=2),
)
def test_no_item_user_or_request_makes_a_value_that_is_no_number(
    items: list[tuple[str, dict[str, Any]]],
    person: dict[str, Any],
    bought: list[tuple[str, int, float]],
    queries: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    scene = Scene(tmp_path_factory.mktemp("bad"), CONFIG)
    take = scene.shard.ingest_sync
    # What does not fit is refused, an item or a user at a time; the rest is taken.
    body = json.dumps([{**said, "id": item} for item, said in items]).encode()
    taken = take("items", body, "json", trusted=True)
    assert taken.accepted + len(taken.rejected) == len(items)
    take("users", json.dumps({"id": "u1", "attributes": person}).encode(), "json", trusted=True)
    for item, ts_ms, amount in bought:
        shared = {"user_id": "u1", "session_id": "s1", "item_id": item, "ts_ms": ts_ms}
        lines = json.dumps([{"item_id": item, "quantity": 9, "price": amount}])
        for kind in ("click", "purchase", "refund"):
            event: dict[str, object] = {**shared, "event_type": kind, "props": {"order_id": "o", "items": lines}}
            offer(scene, event)
    search = {"query": queries[0][:4_000]}
    offer(scene, {"user_id": "u1", "session_id": "s1", "event_type": "search", "ts_ms": NOON, "props": search})
    for now in CLOCKS:
        scene.clock.advance(now - scene.clock.now_ms())
        for query in queries:
            assert np.isfinite(rows(scene, query)).all()
    scene.clock.advance(NOON - scene.clock.now_ms())
    before = rows(scene, queries[0])
    scene.reopen()
    assert np.array_equal(rows(scene, queries[0]), before)
    scene.shard.close()
    assert verify(scene.data, CONFIG).equal


def test_sums_do_not_overflow(tmp_path: Path) -> None:
    """Purchases of more money than there is, and refunds of it."""
    scene = Scene(tmp_path, CONFIG)
    taken = 0
    for n in range(40):
        kind = "refund" if n % 4 == 3 else "purchase"
        lines = json.dumps([{"item_id": "a", "quantity": (1, 1_000_000)[n % 2], "price": 1.7e308}])
        props = {"order_id": f"o{n}", "items": lines, "value": "1.7e308", "dwell_ms": "4294967295"}
        event: dict[str, object] = {"event_type": kind, "user_id": "u1", "session_id": "s1", "item_id": "a"}
        taken += offer(scene, {**event, "ts_ms": NOON - n, "props": props})
    row = dict(zip(scene.shard.plan.names, rows(scene, "")[0].tolist(), strict=True))
    assert all(np.isfinite(value) for value in row.values())
    assert taken == 40
    assert 0 < row["user_spent"] <= 40 * 1e9 and 0 < row["user_paid"] <= 1e9
    scene.shard.close()
    assert verify(tmp_path, CONFIG).equal


def test_a_clock_that_goes_back_by_years_counts_what_lies_before_it(tmp_path: Path) -> None:
    """Windows end at the moment of the request: what comes after it is not in them, and nothing is lost by asking."""
    scene = Scene(tmp_path, CONFIG)
    for years in (0, 1, 2, 3):
        scene.send([{"event_type": "click", "user_id": "u1", "session_id": "s1", "item_id": "a",
                     "ts_ms": NOON - years * 365 * DAY}])  # fmt: skip
    at = scene.shard.plan.names.index("user_clicks_7d")
    clicks = []
    for years in (0, 3, 40, 0):
        scene.clock.advance(NOON - years * 365 * DAY - scene.clock.now_ms())
        clicks.append(float(rows(scene, "")[0][at]))
    assert clicks == [1.0, 0.0, 0.0, 1.0], "the buckets of a counter are those of its latest week"
    scene.shard.close()
