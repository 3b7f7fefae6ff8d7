"""A shard that makes lists and a lake of its log, in one process, on a clock that stands still."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, Lake
from rtp_monolith.lake.passes import LakePasses, PassReport
from rtp_monolith.lake.query import query
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_rank
from rtp_monolith.state.shard_state import ShardState

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
NOON = 20_000 * DAY_MS + 12 * HOUR_MS
"""2024-10-04, 12:00 UTC."""


class Shelf:
    """Items `a` to `f`. Times are ms after NOON; `at` moves the clock."""

    def __init__(self, folder: Path, settings: Lake | None = None) -> None:
        self.data = folder / "data"
        self.folder = folder / "lake"
        self.settings = settings or Lake()
        self.clock = ManualClock(NOON)
        self.state = ShardState.open(self.data, Config(), self.clock)
        self._lists = Pipeline(self.state, Config(), self.clock, Metrics())
        self._n = 0
        items = [{"id": name, "price": n + 1, "categories": ["x"]} for n, name in enumerate("abcdef")]
        self.state.ingest_sync("items", json.dumps(items).encode(), "json", trusted=True)

    def close(self) -> None:
        self.state.close()

    def at(self, after_ms: int) -> None:
        self.clock.advance(NOON + after_ms - self.clock.now_ms())

    def show(self, request_id: str, items: str, after_ms: int, *, session: str = "s", user: str | None = None) -> Any:
        """A list of exactly these items; the reply."""
        self.at(after_ms)
        body = {"surface": "home", "session_id": session, "user_id": user, "request_id": request_id}
        request = read_rank(json.dumps({**body, "items": list(items)}).encode())
        reply: Any = json.loads(asyncio.run(self._lists.rank(request, deadline_ms=10_000)))
        return reply

    def tell(self, kind: str, item: str | None, after_ms: int, **more: Any) -> Any:
        """One event; its reply."""
        self._n += 1
        self.at(max(after_ms, self.clock.now_ms() - NOON))
        event = {"event_id": f"e{self._n}", "session_id": "s", "event_type": kind, "ts_ms": NOON + after_ms, **more}
        if item is not None:
            event["item_id"] = item
        reply = self.state.ingest_sync("events", json.dumps([event]).encode(), "json", trusted=True)
        assert reply.rejected == [], reply
        return reply

    def write(self, **how: bool) -> PassReport:
        """One pass over everything that is in the log."""
        self.state.log.wait_durable(self.state.log.end(), 10_000)
        with LakePasses(self.data, self.folder, self.settings, self.clock) as passes:
            return passes.once(**how)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return query(self.folder, sql).rows
