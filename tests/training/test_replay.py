"""Rows: features as of the list, whatever came later; served vectors where the log has them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Audit, Config
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_recommend
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.training import past
from rtp_monolith.training.replay import ListRows, RowCounts, RowSettings, RowTable, replay_lists, write_table
from tests.training.shards import HOUR_MS, ITEMS, MINUTE_MS, Event, T, event, folder, seen
from tests.training.test_lists import END

SERVING = Config(audit=Audit(share=1.0))
"""Every decision carries its vectors."""
HEADS = ("click", "cart", "purchase")
NAMES = [feature.name for feature in FEATURES]


def rows(data: Path, counts: RowCounts | None = None) -> list[ListRows]:
    return list(replay_lists(data, Config(), RowSettings(), counts or RowCounts()))


def of(one: ListRows, item: str, feature: str) -> float:
    return float(one.features[one.seen.where[item], NAMES.index(feature)])


def test_a_row_holds_what_was_known_when_the_list_was_shown(tmp_path: Path) -> None:
    events = [
        event("click", "c", 0),
        event("add_to_cart", "c", 1000),
        *seen("r1", "abc", 2 * MINUTE_MS, props={"device": "mobile"}),
        event("click", "a", 3 * MINUTE_MS, request_id="r1"),
        *seen("r2", "a", 4 * MINUTE_MS),
        *END,
    ]
    first, second = rows(folder(tmp_path, events))
    assert [of(first, item, "item_price") for item in "abc"] == [2.0, 20.0, 5.0]
    assert [of(first, item, "cross_clicked") for item in "abc"] == [0.0, 0.0, 1.0]
    assert [of(first, item, "cross_same_brand_as_last") for item in "abc"] == [1.0, 0.0, 1.0]
    assert [of(first, item, "cross_in_cart") for item in "abc"] == [0.0, 0.0, 1.0]
    assert of(first, "a", "session_clicks") == 1.0 and of(first, "a", "context_mobile") == 1.0
    # Not one of the list's own impressions counts yet, not even the first.
    assert of(first, "c", "session_impressions") == 0.0
    assert of(second, "a", "session_impressions") == 3.0
    assert (of(second, "a", "session_clicks"), of(second, "a", "cross_clicked")) == (2.0, 1.0)


def test_no_later_event_changes_a_feature(tmp_path: Path) -> None:
    before = [event("click", "c", 0), *seen("r1", "ab", MINUTE_MS)]
    later = [
        event("click", "a", 2 * MINUTE_MS),
        event("purchase", "b", 3 * MINUTE_MS),
        *(event("click", "a", 4 * MINUTE_MS, session_id=f"x{n}", user_id=None) for n in range(5)),
    ]
    (quiet,) = rows(folder(tmp_path / "quiet", [*before, *END]))
    busy = rows(folder(tmp_path / "busy", [*before, *later, *END]))[0]
    assert np.array_equal(quiet.features, busy.features)
    assert quiet.seen.labels != busy.seen.labels


def serve(path: Path) -> Path:
    """A shard that makes two lists itself, whose impressions and a click come in afterwards."""
    clock = ManualClock(T)
    shard = ShardState.open(path, SERVING, clock)
    shard.ingest_sync("items", json.dumps(ITEMS).encode(), "json", trusted=True)
    pipeline = Pipeline(shard, SERVING, clock, Metrics())
    number = 0

    def take(one: Event) -> None:
        nonlocal number
        number += 1
        body = json.dumps([{"event_id": f"e{number}", **one}]).encode()
        assert not shard.ingest_sync("events", body, "json", trusted=True).rejected

    take(event("click", "c", 0))
    for list_number in range(2):
        request = {"surface": "home", "session_id": "s", "user_id": "u", "request_id": f"r{list_number}", "k": 2}
        reply = json.loads(
            asyncio.run(pipeline.recommend(read_recommend(json.dumps(request).encode()), deadline_ms=1000))
        )
        for position, item in enumerate(reply["items"]):
            at = clock.now_ms() - T + 500 * (position + 1)
            take(event("impression", item["id"], at, request_id=f"r{list_number}", position=position))
        clock.advance(HOUR_MS)
    clock.advance(END[0]["ts_ms"] - clock.now_ms())
    take(END[0])
    shard.close()
    return path


def test_served_vectors_are_taken_and_equal_the_replayed(tmp_path: Path) -> None:
    counts = RowCounts()
    data = serve(tmp_path)
    served = rows(data, counts)
    assert (counts.lists, counts.rows, counts.served_rows) == (2, 4, 4)
    for one in served:
        assert one.seen.as_of_ms in (T, T + HOUR_MS)
    # A column that no decision carries: all are made again, and what was served is compared.
    more = [*FEATURES, msgspec.structs.replace(FEATURES[0], name="another")]
    again = list(replay_lists(data, Config(), RowSettings(), counts, features=more))
    assert (counts.served_values, counts.served_differ) == (4 * len(FEATURES), 0)
    for one, other in zip(served, again, strict=True):
        assert np.array_equal(one.features, other.features[:, :-1])
        assert np.array_equal(other.features[:, 0], other.features[:, -1])


def test_a_table_gives_back_what_was_written(tmp_path: Path) -> None:
    events = [
        event("click", "c", 0),
        *seen("r1", "ab", MINUTE_MS, props={"surface": "home"}),
        *seen("r2", "c", HOUR_MS),
        *END,
    ]
    made = rows(folder(tmp_path / "data", events))
    counts = RowCounts(lists=2, rows=3)
    table = write_table(tmp_path / "rows", iter(made), NAMES, HEADS, 4, counts)
    again = RowTable(tmp_path / "rows")
    for one in (table, again):
        assert np.array_equal(one.features, np.concatenate([each.features for each in made]))
        assert [one.card.items[at] for at in one.item] == ["a", "b", "c"]
        assert one.list.tolist() == [0, 0, 1] and one.start.tolist() == [0, 2]
        assert [one.card.surfaces[at] for at in one.surface] == ["home", ""]
        assert one.position.tolist() == [0, 1, 0] and one.card.counts == counts
        assert [one.card.items[at] for at in one.prefix[0][: one.prefix_length[0]]] == ["c"]


def test_memory_is_bounded_by_sending_users_to_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [
        one
        for n in range(30)
        for one in (
            event("click", "c", n * MINUTE_MS, session_id=f"s{n % 10}", user_id=f"u{n % 10}"),
            *seen(f"r{n}", "ab", n * MINUTE_MS + 1000, session_id=f"s{n % 10}", user_id=f"u{n % 10}"),
        )
    ]
    data = folder(tmp_path, [*events, *END])
    whole = rows(data)
    monkeypatch.setattr(past, "FLUSH_EVERY_BYTES", 200)
    config = Config(state=msgspec.structs.replace(Config().state, users_cached_max=2))
    small = list(replay_lists(data, config, RowSettings(), RowCounts()))
    assert len(whole) == len(small) == 30
    for one, other in zip(whole, small, strict=True):
        assert np.array_equal(one.features, other.features)
