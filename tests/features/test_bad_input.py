"""What clients may send at worst: numbers that are none, absurd clocks, empty and enormous strings, more categories
than anyone has. Values stay finite, records stay bounded, and the state is still the fold of its log."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtp_monolith._native import Core
from rtp_monolith.config import Config, Events, FeatureTable
from rtp_monolith.features.declared import AGGREGATES, AGGREGATES_MAX
from rtp_monolith.state.rebuild import verify

from .scene import DAY, NOON, Scene

RECORD_BYTES_MAX = Core.user_bytes_max() + AGGREGATES_MAX * 1_200
"""A user record's bound and that of a full set of a team's accumulators."""


def declared_for_everything() -> Config:
    """Every aggregator over a prop and over the items, for users, sessions, items and sellers."""
    given: dict[str, Any] = {
        "window": "1d",
        "half_life": "1h",
        "of": "props.amount",
        "hits": "props.amount > 0",
        "trials": "props.word exists",
        "prior_rate": 0.5,
        "prior_strength": 1.0,
    }
    tables: dict[str, dict[str, FeatureTable]] = {}
    for scope in ("user", "session", "item", "seller"):
        for name, (_, needed, _) in AGGREGATES.items():
            keys = {"meaning": "m", "aggregate": name, **{key: given[key] for key in needed}}
            tables.setdefault(scope, {})[name] = msgspec.convert(keys, FeatureTable)
    words = {"meaning": "m", "aggregate": "distinct", "of": "props.word", "window": "lifetime"}
    levels = {"meaning": "m", "aggregate": "distinct", "of": "item.categories", "window": "lifetime"}
    tables["user"]["words"] = msgspec.convert(words, FeatureTable)
    tables["user"]["levels"] = msgspec.convert(levels, FeatureTable)
    return Config(events=Events(props={"amount": "number", "word": "text"}), features=tables)


CONFIG = declared_for_everything()
NUMBERS = st.one_of(
    st.floats().map(str),
    st.integers().map(str),
    st.sampled_from(["NaN", "-inf", "1e309", "1e-320", "0x10", "１２", "", " ", "-", "1e", "+.5", "9" * 400]),
    st.text(max_size=20),
)
WORDS = st.one_of(st.text(max_size=8), st.sampled_from(["", "ü" * 4_096, "a" * 4_096, "\0"]))
TIMES = st.one_of(
    st.integers(1, NOON + 5 * 60_000), st.sampled_from([1, 2, NOON, NOON - 1, NOON - 400 * DAY, NOON + 5 * 60_000])
)
HAPPENED = st.tuples(
    st.sampled_from(["click", "purchase", "dwell", "like"]), st.sampled_from("abcd"), TIMES, NUMBERS, WORDS
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happened=st.lists(HAPPENED, max_size=12))
def test_no_event_makes_a_value_that_is_no_number(
    happened: list[tuple[str, str, int, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    scene = Scene(tmp_path_factory.mktemp("bad"), CONFIG)
    for kind, item, ts_ms, amount, word in happened:
        scene.send(
            [
                {
                    "event_type": kind,
                    "user_id": "u1",
                    "session_id": "s1",
                    "item_id": item,
                    "ts_ms": ts_ms,
                    "props": {"amount": amount, "word": word},
                }
            ]
        )
    for now in (1, NOON, NOON + 4_000 * DAY, 2**62):
        scene.clock.advance(now - scene.clock.now_ms())
        rows = scene.shard.core.vectors_of(scene.ask("u1", "s1"), list("abcd"), scene.shard.plan)
        assert all(math.isfinite(value) for row in rows.tolist() for value in row)
    scene.clock.advance(NOON - scene.clock.now_ms())
    scene.shard.close()
    assert verify(scene.data, CONFIG).equal


def test_ten_thousand_categories_of_one_user_are_bounded(tmp_path: Path) -> None:
    scene = Scene(tmp_path, CONFIG)
    many = 10_000
    for start in range(0, many, 1_000):
        numbers = range(start, start + 1_000)
        scene.put(*[{"id": f"i{n}", "categories": [f"c{n}"], "seller": f"s{n}"} for n in numbers])
        scene.send(
            [
                {
                    "event_type": "click",
                    "user_id": "u1",
                    "session_id": f"s{n}",
                    "item_id": f"i{n}",
                    "ts_ms": NOON,
                    "props": {"amount": n, "word": f"w{n}"},
                }
                for n in numbers
            ]
        )
    assert scene.value("user_levels", "i1") == pytest.approx(many, rel=0.35)
    assert scene.value("user_words", "i1") == pytest.approx(many, rel=0.35)
    assert scene.value("user_max", "i1") == many - 1
    assert scene.value("user_mean", "i1") == pytest.approx((many - 1) / 2)
    scene.shard.close()
    assert largest_user_record(scene) < RECORD_BYTES_MAX


def largest_user_record(scene: Scene) -> int:
    from rtp_monolith.state.recovery import VIEWS
    from rtp_monolith.state.store import ViewStore

    store = ViewStore(scene.data / VIEWS)
    largest = max(len(value) for key, value in store.everything() if key[:1] == b"u")
    store.close()
    return largest


def test_a_definition_of_every_kind_is_bounded_in_a_full_record(tmp_path: Path) -> None:
    """As many accumulators as a shard may have, each as full as it gets."""
    keys = {"aggregate": "sum", "of": "props.amount", "window": "lifetime", "meaning": "m"}
    sums = {
        f"n{n}": msgspec.convert({**keys, "where": f"props.amount > {n}"}, FeatureTable) for n in range(AGGREGATES_MAX)
    }
    scene = Scene(tmp_path, Config(events=Events(props={"amount": "number"}), features={"user": sums}))
    for day in range(8):
        scene.send(
            [
                {
                    "event_type": "like",
                    "user_id": "u1",
                    "session_id": "s1",
                    "item_id": "a",
                    "ts_ms": NOON - day * DAY - n * 900_000,
                    "props": {"amount": "1e300"},
                }
                for n in range(96)
            ]
        )
    assert scene.value("user_n0") == pytest.approx(96 * 8e9)
    body = scene.shard.user_state("u1")
    assert body is not None and json.loads(body)["features"]["user_n63"] == pytest.approx(96 * 8e9)
    scene.shard.close()
    assert largest_user_record(scene) < RECORD_BYTES_MAX
