"""Items and users as they were: a row reads what was said of them when its list was shown, whatever was said later, by
PUT, PATCH, DELETE, a user's record or a compacted stream."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, parse
from rtp_monolith.features.declared import declared
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.training.point_in_time import DatasetSettings, write_dataset
from rtp_monolith.training.replay import RowCounts, RowSettings, replay_lists
from tests.training.shards import MINUTE_MS, T, seen
from tests.training.test_lists import END

CONFIG: Config = parse(
    """
[events.attributes]
stock = "number"

[features.item.stock]
meaning = "how many are left"
field = "attributes.stock"
default = -1.0

[features.user.age]
meaning = "in years"
field = "attributes.age"
default = -1.0

[features.user.tier]
meaning = "the loyalty tier"
field = "attributes.tier"
words = ["silver", "gold"]
"""
)
Change = Callable[[ShardState], None]
COLUMNS = ("item_price", "item_available", "item_stock", "user_age", "user_tier")


def put(kind: str, **record: Any) -> Change:
    def change(shard: ShardState) -> None:
        reply = shard.ingest_sync(kind, json.dumps([record]).encode(), "json", trusted=True)  # type: ignore[arg-type]
        assert not reply.rejected

    return change


def patch(**fields: Any) -> Change:
    def change(shard: ShardState) -> None:
        core, log = shard.core, shard.log
        core.submit_item_patch(log, "a", json.dumps(fields).encode(), shard.wall_ms())
        assert log.wait_durable(log.end(), 10_000)
        core.advance(log, shard.wall_ms())

    return change


def delete(shard: ShardState) -> None:
    shard.delete_item_sync("a")


# Of an item that is gone every feature has its default.
STEPS: list[tuple[Change, tuple[float, ...]]] = [
    (put("items", id="a", price=2, attributes={"stock": 7}), (2, 1, 7, -1, 0)),
    (put("users", id="u", attributes={"age": 30, "tier": "gold"}), (2, 1, 7, 30, 2)),
    (put("items", id="a", price=3, available=False), (3, 0, -1, 30, 2)),
    (put("users", id="u", attributes={"age": 31}), (3, 0, -1, 31, 2)),
    (patch(price=4, attributes={"stock": 5}), (4, 0, 5, 31, 2)),
    (delete, (0, 1, -1, 31, 2)),
    (put("users", id="u", attributes={"tier": None}), (0, 1, -1, 31, 0)),
    (put("changed_items", id="a", price=9, attributes={"stock": 1}), (9, 1, 1, 31, 0)),
    (put("changed_users", id="u", attributes={"tier": "silver"}), (9, 1, 1, -1, 1)),
    (put("changed_users", id="u", attributes={}), (9, 1, 1, -1, 0)),
]


def lived(path: Path, steps: list[tuple[Change, tuple[float, ...]]]) -> Path:
    """A list of the item a after each change, and what is said last."""
    clock = ManualClock(T)
    shard = ShardState.open(path, CONFIG, clock)
    put("items", id="b", price=1)(shard)
    for number, (change, _) in enumerate(steps):
        change(shard)
        clock.advance(10 * MINUTE_MS)
        for event in seen(f"r{number}", "a", clock.now_ms() - T):
            body = json.dumps([{"event_id": f"e{number}", **event}]).encode()
            assert not shard.ingest_sync("events", body, "json", trusted=True).rejected
    # Today is another day.
    put("items", id="a", price=1000, attributes={"stock": 1000})(shard)
    put("users", id="u", attributes={"age": 99, "tier": "gold"})(shard)
    clock.advance(END[0]["ts_ms"] - clock.now_ms())
    body = json.dumps([{"event_id": "end", **END[0]}]).encode()
    assert not shard.ingest_sync("events", body, "json", trusted=True).rejected
    shard.close()
    return path


def expected(steps: list[tuple[Change, tuple[float, ...]]]) -> list[tuple[float, ...]]:
    return [tuple(float(value) for value in want) for _, want in steps]


def test_training_rows_read_items_and_users_as_they_were(tmp_path: Path) -> None:
    data = lived(tmp_path / "data", STEPS)
    write_dataset(data, CONFIG, tmp_path / "out", DatasetSettings(0, 2**62))
    rows = parquet.read_table(tmp_path / "out", columns=list(COLUMNS)).to_pylist()
    assert [tuple(row[name] for name in COLUMNS) for row in rows] == expected(STEPS)


def test_so_do_the_rows_that_a_ranker_learns_from(tmp_path: Path) -> None:
    data = lived(tmp_path / "data", STEPS)
    features = declared(CONFIG).features
    at = [[feature.name for feature in features].index(name) for name in COLUMNS]
    lists = replay_lists(data, CONFIG, RowSettings(), RowCounts(), features=features)
    assert [tuple(one.features[0, at].tolist()) for one in lists] == expected(STEPS)


def test_a_change_is_effective_for_the_next_list(tmp_path: Path) -> None:
    """What a replay reads is what the running shard read."""
    from rtp_monolith.state.surface import surface_plan

    clock = ManualClock(T)
    shard = ShardState.open(tmp_path, CONFIG, clock)
    at = [shard.plan.names.index(name) for name in COLUMNS]
    for change, want in STEPS:
        change(shard)
        shard.load_request("u", "s")
        ask = shard.core.ask(surface_plan(CONFIG, "home"), "u", "s", clock.now_ms())
        row = shard.core.vectors_of(ask, ["a"], shard.plan)[0]
        assert tuple(row[at].tolist()) == tuple(float(value) for value in want)
    shard.close()
