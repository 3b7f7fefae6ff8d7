"""Tiny shards for the tests of training: events as they are written down, a folder as a shard leaves it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config
from rtp_monolith.state.shard_state import ShardState

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
T = 480_000 * HOUR_MS
ITEMS = [
    {"id": item, "price": price, "categories": [category], "brand": brand}
    for item, price, category, brand in (("a", 2, "x > y", "one"), ("b", 20, "x > y", "two"), ("c", 5, "x > z", "one"))
]
Event = dict[str, Any]


def event(kind: str, item: str | None, at_ms: int, **more: Any) -> Event:
    """One event at T + `at_ms` of user u, session s, unless `more` says otherwise."""
    made: Event = {"session_id": "s", "user_id": "u", "event_type": kind, "ts_ms": T + at_ms, **more}
    if item is not None:
        made["item_id"] = item
    return made


def seen(request: str, items: str, at_ms: int, **more: Any) -> list[Event]:
    """The impressions of a list, a second apart, one letter an item."""
    return [
        event("impression", item, at_ms + 1000 * n, request_id=request, position=n, **more)
        for n, item in enumerate(items)
    ]


def folder(path: Path, events: list[Event], items: list[dict[str, Any]] | None = None) -> Path:
    """The data folder of a shard that took the items and then the events, in batches of one."""
    clock = ManualClock(T)
    shard = ShardState.open(path, Config(), clock)
    body = json.dumps(ITEMS if items is None else items).encode()
    assert not shard.ingest_sync("items", body, "json", trusted=True).rejected
    for number, one in enumerate(events):
        clock.advance(max(0, one["ts_ms"] - clock.now_ms()))
        body = json.dumps([{"event_id": f"e{number}", **one}]).encode()
        reply = shard.ingest_sync("events", body, "json", trusted=True)
        assert not reply.rejected, reply.rejected
    shard.close()
    return path
