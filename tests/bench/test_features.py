"""The measurement of features at a small size: every figure is there, the record is full and within its bound."""

from __future__ import annotations

import msgspec

from rtp_monolith._native import Core
from rtp_monolith.cli.bench_features import ACTIONS, ITEMS_MIN, VISITS, Shoppers
from rtp_monolith.cli.bench_traffic import Catalogue
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from tests.bench.test_bench import run

NOW = 1_700_000_000_000


def test_what_features_cost() -> None:
    report = run("features", "--items", "300", "--users", "12", "--lists", "20", "--json")
    step, record, rows = report["step"], report["record"], report["rows"]
    assert 0 < step["floor"]["reading_us"] < step["with_reading_us"]
    assert step["whole_fold_us"] > 0
    assert record["last_items"] == 50 and record["bound_bytes"] == Core.user_bytes_max()
    assert 2_000 < record["mean_bytes"] <= record["p99_bytes"] <= record["max_bytes"] < 4_096
    assert record["memory_bytes"] > record["mean_bytes"]
    assert (rows["candidates"], rows["lists"]) == (200, 20)
    assert rows["plan"]["columns"] == len(FEATURES)
    assert rows["with_cascade"]["columns"] == len(FEATURES) + len(CASCADE)
    assert 0 < rows["floor"]["copy_us"] < rows["plan"]["p50_us"] <= rows["plan"]["p99_us"]
    assert rows["nothing_new_us"] > 0 and rows["first_of_a_minute_us"] > 0


def test_everybody_has_visits_and_items_for_a_full_record() -> None:
    shoppers = Shoppers(5, Catalogue(100), NOW)
    events = [event for batch in shoppers.events() for event in batch]
    assert [event["ts_ms"] for event in events] == sorted(event["ts_ms"] for event in events)
    assert len({event["event_id"] for event in events}) == len(events)
    for user_id, sessions in shoppers.people:
        own = [event for event in events if event["user_id"] == user_id]
        assert {event["session_id"] for event in own} == set(sessions) and len(sessions) == VISITS
        assert sum(event["event_type"] in ACTIONS for event in own) >= ITEMS_MIN
        assert max(event["ts_ms"] for event in own) < NOW
    assert len(msgspec.json.decode(shoppers.some(7, NOW))) == 7
