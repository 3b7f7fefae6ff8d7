"""A shard on a clock that stands still, spoken to the way the routes speak to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.clock import Clock, ManualClock
from rtp_monolith.config import Config
from rtp_monolith.records import IngestReply
from rtp_monolith.state.shard_state import ShardState

HOUR = 3_600_000
DAY = 24 * HOUR
NOON = 20_000 * DAY + 12 * HOUR


class Book:
    """What happened, in few words. `click("e1", session="s1", item="a")` is one event at noon."""

    def __init__(self, data: Path, config: Config | None = None, clock: Clock | None = None) -> None:
        self.data = data
        self.config = config or Config()
        self.clock = clock or ManualClock(NOON)
        self.shard = ShardState.open(data, self.config, self.clock)

    def reopen(self) -> None:
        self.shard.close()
        self.shard = ShardState.open(self.data, self.config, self.clock)

    def send(self, *events: dict[str, Any], trusted: bool = False) -> IngestReply:
        return self.shard.ingest_sync("events", json.dumps(events).encode(), "json", trusted=trusted)

    def click(
        self, event_id: str, *, session: str, user: str | None = None, item: str = "a", ts: int = NOON, **more: Any
    ) -> tuple[int, int]:
        """(accepted, duplicates)"""
        reply = self.send(event(event_id, session=session, user=user, item=item, ts=ts, **more))
        assert reply.rejected == []
        return reply.accepted, reply.duplicates

    def items(self, *items: dict[str, Any]) -> None:
        assert self.shard.ingest_sync("items", json.dumps(items).encode(), "json", trusted=True).rejected == []

    def state(self, key: str) -> dict[str, Any]:
        body = self.shard.user_state(key)
        assert body is not None
        document: dict[str, Any] = json.loads(body)
        return document


def event(
    event_id: str, *, session: str, user: str | None = None, item: str | None = "a", ts: int = NOON, **more: Any
) -> dict[str, Any]:
    body = {"event_id": event_id, "session_id": session, "event_type": "click", "ts_ms": ts, **more}
    if user is not None:
        body["user_id"] = user
    if item is not None:
        body["item_id"] = item
    return body


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path)
    yield made
    made.shard.close()
