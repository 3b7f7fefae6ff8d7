"""Rows of a log whose decisions carry published values and nothing else of their vectors."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Audit, Config, Decisions, parse
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_recommend
from rtp_monolith.state.online.reader import Gathered
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.training.point_in_time import write_dataset
from tests.training.shards import HOUR_MS, ITEMS, MINUTE_MS, Event, T, event, seen
from tests.training.test_lists import END
from tests.training.test_point_in_time import ALWAYS, rows

TEXT = """
[features.user.tier]
published = "number"
meaning = "tier"
default = 9.0

[features.item.look]
published = "vector"
length = 2
meaning = "embedding"
"""
CONFIG = Config(features=parse(TEXT).features, audit=Audit(share=0.0), decisions=Decisions(vectors_share=0.0))


def test_rows_have_the_values_of_the_moment(tmp_path: Path) -> None:
    clock = ManualClock(T)
    shard = ShardState.open(tmp_path / "data", CONFIG, clock)
    shard.ingest_sync("items", json.dumps(ITEMS).encode(), "json", trusted=True)
    pipeline = Pipeline(shard, CONFIG, clock, Metrics())
    number = 0

    def take(one: Event) -> None:
        nonlocal number
        number += 1
        clock.advance(max(0, one["ts_ms"] - clock.now_ms()))
        body = json.dumps([{"event_id": f"e{number}", **one}]).encode()
        assert not shard.ingest_sync("events", body, "json", trusted=True).rejected

    for at, tier in enumerate((1.0, float("nan"), 3.0)):
        looks = np.array([[at + 1, -at], [at + 10, at / 3]], np.float32)
        shard.core.stage_published(["a", "b"], looks, first=True)
        shard.core.adopt_published([1 << 60] * 2)
        request = {"surface": "home", "session_id": "s", "user_id": "u", "request_id": f"r{at}", "k": 3}
        gathered = Gathered(np.array([tier], np.float32))
        work = pipeline.recommend(read_recommend(json.dumps(request).encode()), deadline_ms=1e4, gathered=gathered)
        shown = [item["id"] for item in json.loads(asyncio.run(work))["items"]]
        assert sorted(shown) == ["a", "b", "c"]
        for one in seen(f"r{at}", "".join(shown), (at + 1) * MINUTE_MS):
            take(one)
    # An impression that no decision explains has nothing published.
    for one in seen("foreign", "a", HOUR_MS // 2):
        take(one)
    for one in (event("click", "c", HOUR_MS // 2 + MINUTE_MS), *END):
        take(one)
    shard.close()
    write_dataset(tmp_path / "data", CONFIG, tmp_path / "out", ALWAYS)
    found = {(row["request_id"], row["item_id"]): row for row in rows(tmp_path / "out")}
    names = ("user_tier", "item_look_0", "item_look_1")
    values = {key: tuple(row[name] for name in names) for key, row in found.items()}
    third = float(np.float32(1 / 3))
    assert values["r0", "a"] == (1, 1, 0) and values["r0", "b"] == (1, 10, 0) and values["r0", "c"] == (1, 0, 0)
    assert values["r1", "a"] == (9, 2, -1) and values["r1", "b"] == (9, 11, third)
    assert values["r2", "a"] == (3, 3, -2) and values["r2", "c"] == (3, 0, 0)
    assert values["foreign", "a"] == (9, 0, 0)
    schema = parquet.read_schema(tmp_path / "out" / "part-00000.parquet")
    assert schema.field("item_look_1").metadata is not None
