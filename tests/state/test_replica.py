"""A second state from a copy of the views: what it says is what the shard says, from wherever it begins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from rtp_monolith._native import SurfacePlan
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, Log, State
from rtp_monolith.errors import DataError
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.manifest import claim
from rtp_monolith.state import replica as replicas
from rtp_monolith.state.recovery import open_log
from rtp_monolith.state.replica import Replica
from rtp_monolith.state.shard_state import ShardState

NOW = 480_000 * 3_600_000
CONFIG = Config(state=State(users_cached_max=3), log=Log(segment_bytes=1 << 16))
USERS, ITEMS = 12, 5
SURFACE = SurfacePlan("x", [], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False)
PLAN = compile_plan()


def clicks(shard: ShardState, first: int, count: int) -> None:
    events = [
        {
            "event_id": f"e{n}",
            "session_id": f"s{n % USERS}",
            "event_type": "click",
            "item_id": f"i{n % ITEMS}",
            "ts_ms": NOW + n,
        }
        for n in range(first, first + count)
    ]
    shard.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True)
    assert shard.log.wait_durable(shard.log.end(), 10_000)


def copy(shard: ShardState, path: Path) -> Path:
    async def made() -> None:
        shard.attach(asyncio.get_running_loop())
        await shard.copy_views(path)

    asyncio.run(made())
    return path


def replica(data: Path, views: Path) -> Replica:
    return Replica(views, claim(data, CONFIG.partitions, create=False), CONFIG)


def says(one: Replica | ShardState) -> list[object]:
    """The vectors of every item for every visitor."""
    found: list[object] = []
    for n in range(USERS):
        one.load_request(None, f"s{n}")
        ask = one.core.ask(SURFACE, None, f"s{n}", NOW + 1_000)
        found.append(one.core.vectors_of(ask, [f"i{item}" for item in range(ITEMS)], PLAN).tolist())
    return found


@pytest.fixture
def shard(tmp_path: Path) -> ShardState:
    opened = ShardState.open(tmp_path / "data", CONFIG, ManualClock(NOW))
    items = json.dumps([{"id": f"i{n}", "title": "t" * 900} for n in range(ITEMS)]).encode()
    opened.ingest_sync("items", items, "json", trusted=True)
    clicks(opened, 0, 100)
    return opened


@pytest.mark.parametrize("flush_every", [1, 1 << 30])
def test_a_copy_and_the_log_are_the_state(
    shard: ShardState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flush_every: int
) -> None:
    monkeypatch.setattr(replicas, "FLUSH_EVERY_BYTES", flush_every)
    shard._flusher.flush()
    views = copy(shard, tmp_path / "copy")
    clicks(shard, 100, 100)
    second = replica(tmp_path / "data", views)
    begins = second.core.applied
    log = open_log(tmp_path / "data", CONFIG, read_only=True)
    second.fold(log, log.durable())
    assert begins < second.core.applied == log.durable()
    assert says(second) == says(shard)
    second.close()
    log.close()
    shard.close()


def test_without_a_copy_it_begins_with_the_log(shard: ShardState, tmp_path: Path) -> None:
    second, log = replica(tmp_path / "data", tmp_path / "empty"), open_log(tmp_path / "data", CONFIG, read_only=True)
    second.fold(log, log.durable())
    assert says(second) == says(shard)
    second.close()
    log.close()
    shard.close()


def test_it_stands_where_it_was_told_and_never_goes_back(shard: ShardState, tmp_path: Path) -> None:
    second, log = replica(tmp_path / "data", tmp_path / "empty"), open_log(tmp_path / "data", CONFIG, read_only=True)
    middle = log.frames(0, 1 << 20)[60][1]
    second.fold(log, middle)
    second.fold(log, 0)
    assert second.core.applied == middle
    with pytest.raises(DataError) as refused:
        second.fold(log, log.durable() + 1)
    assert refused.value.code == "log_truncated"
    second.close()
    log.close()
    shard.close()


def test_a_log_whose_beginning_went_is_refused(shard: ShardState, tmp_path: Path) -> None:
    for first in range(100, 1_100, 200):
        clicks(shard, first, 200)
    shard.log.retain(max_bytes=1, older_than_ms=None, keep_from=shard.log.end())
    second, log = replica(tmp_path / "data", tmp_path / "empty"), open_log(tmp_path / "data", CONFIG, read_only=True)
    assert log.start() > 0
    with pytest.raises(DataError) as refused:
        second.fold(log, log.durable())
    assert refused.value.code == "log_truncated"
    second.close()
    log.close()
    shard.close()


def test_a_copy_made_inside_a_flush_is_refused(shard: ShardState, tmp_path: Path) -> None:
    shard._flusher.flush()
    clicks(shard, 100, 10)
    shard._flusher.begin()
    while shard._flusher.encode():
        pass
    shard.store.copy_to(tmp_path / "torn")
    with pytest.raises(DataError) as refused:
        replica(tmp_path / "data", tmp_path / "torn")
    assert refused.value.code == "copy_torn"
    shard.close()
