"""A shard with 60 items in 6 categories and a pipeline on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_rank, read_recommend
from rtp_monolith.state.shard_state import ShardState

DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2
CATEGORIES = ("boots", "hats", "bags", "coats", "socks", "rings")


class Shop:
    """Items `i0` … `i59`; `iN` is in category N mod 6. `home` and `rank` answer the parsed reply."""

    def __init__(self, data: Path, config: Config | None = None, *, stocked: bool = True) -> None:
        self.clock = ManualClock(NOON)
        self.config = config or Config()
        self.state = ShardState.open(data, self.config, self.clock)
        self.pipeline = Pipeline(self.state, self.config, self.clock, Metrics())
        self._events = 0
        if stocked:
            self.put(*[self.item(n) for n in range(60)])

    @staticmethod
    def item(n: int, **changes: object) -> dict[str, object]:
        category = CATEGORIES[n % 6]
        return {"id": f"i{n}", "categories": [category], "price": n, "brand": f"b{n % 4}", **changes}

    def put(self, *items: dict[str, object]) -> None:
        assert self.state.ingest_sync("items", json.dumps(items).encode(), "json", trusted=True).rejected == []
        self.clock.advance(2_000)

    def did(self, kind: str, *items: str, session: str = "s", user: str | None = None, **more: object) -> None:
        """Events of one visitor, a second apart."""
        events = []
        for item in items:
            self.clock.advance(1_000)
            self._events += 1
            event: dict[str, object] = {
                "event_id": f"e{self._events}",
                "session_id": session,
                "event_type": kind,
                "item_id": item,
                "ts_ms": self.clock.now_ms(),
                **more,
            }
            events.append(event if user is None else {**event, "user_id": user})
        reply = self.state.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True)
        assert (reply.accepted, reply.rejected) == (len(events), [])

    def home(self, **request: Any) -> dict[str, Any]:
        body = json.dumps({"surface": "home", "session_id": "s", **request}).encode()
        reply: dict[str, Any] = json.loads(asyncio.run(self.pipeline.recommend(read_recommend(body), deadline_ms=1e4)))
        return reply

    def rank(self, items: list[Any], **request: Any) -> dict[str, Any]:
        body = json.dumps({"surface": "home", "session_id": "s", "items": items, **request}).encode()
        reply: dict[str, Any] = json.loads(asyncio.run(self.pipeline.rank(read_rank(body), deadline_ms=1e4)))
        return reply


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["id"] for item in reply["items"]]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.state.close()
