"""A shard on a clock that stands still, and steps that happen to it: what the tests of features are written in.

Invariant: everything goes through the write path of a real shard; a value is read from the vector that ranking reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from rtp_monolith._native import Ask, Plan, SurfacePlan
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config
from rtp_monolith.state.shard_state import ShardState

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
NOON = 20_000 * DAY + 12 * HOUR
"""Friday, 4 October 2024, 12:00 UTC: the now of every test until it advances the clock."""

ITEMS: dict[str, dict[str, object]] = {
    "a": {"id": "a", "categories": ["shoes > boots"], "brand": "B1", "seller": "S1", "price": 10},
    "b": {"id": "b", "categories": ["shoes > boots"], "brand": "B1", "seller": "S1", "price": 30},
    "c": {"id": "c", "categories": ["hats"], "brand": "B2", "seller": "S2", "price": 5},
    "d": {"id": "d"},
}


class Scene:
    """A shard with the items a, b, c, d. `value` reads one feature of user u1 in session s1."""

    def __init__(self, data: Path, config: Config | None = None) -> None:
        self.clock = ManualClock(NOON)
        self.data = data
        self.config = config or Config()
        self.shard = ShardState.open(data, self.config, self.clock)
        self._ids = 0
        self.surface = SurfacePlan(
            "served", [("popular", 10, 1.0)], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=True
        )
        self.put(*ITEMS.values())

    def reopen(self) -> None:
        """The shard closes and recovers."""
        self.shard.close()
        self.open()

    def open(self) -> None:
        """A closed shard recovers."""
        self.shard = ShardState.open(self.data, self.config, self.clock)

    def put(self, *items: Mapping[str, object]) -> None:
        reply = self.shard.ingest_sync("items", json.dumps(items).encode(), "json", trusted=True)
        assert (reply.accepted, reply.rejected) == (len(items), [])

    def put_user(self, record: Mapping[str, object]) -> None:
        reply = self.shard.ingest_sync("users", json.dumps([record]).encode(), "json", trusted=True)
        assert (reply.accepted, reply.rejected) == (1, [])

    def send(self, events: list[dict[str, object]]) -> None:
        for event in events:
            self._ids += 1
            event.setdefault("event_id", f"e{self._ids}")
        reply = self.shard.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True)
        assert reply.rejected == []

    def ask(self, user: str, session: str, context: Mapping[str, str] | None = None) -> Ask:
        self.shard.load_request(user, session)
        pairs = list((context or {}).items())
        return self.shard.core.ask(self.surface, user, session, self.shard.now_ms(), context=pairs)

    def value(
        self, feature: str, item: str = "a", context: Mapping[str, str] | None = None, plan: Plan | None = None
    ) -> float:
        plan = plan or self.shard.plan
        row = self.shard.core.vectors_of(self.ask("u1", "s1", context), [item], plan)[0]
        return float(row[plan.names.index(feature)])


Step = Callable[[Scene], None]


def event(kind: str, item: str | None = None, *, ago: int = 0, user: str | None = "u1", session: str = "s1",
          **props: str) -> Step:  # fmt: skip
    """One event, `ago` ms before noon."""
    body: dict[str, object] = {"event_type": kind, "session_id": session, "ts_ms": NOON - ago}
    if user is not None:
        body["user_id"] = user
    if item is not None:
        body["item_id"] = item
    if props:
        body["props"] = props
    return lambda scene: scene.send([dict(body)])


def click(item: str, ago: int = 0, **props: str) -> Step:
    return event("click", item, ago=ago, **props)


def crowd(kind: str, item: str, count: int, **props: str) -> Step:
    """One event at noon by each of `count` other users, so that no cap on one user's contribution applies."""

    def happen(scene: Scene) -> None:
        scene.send(
            [
                {
                    "event_type": kind,
                    "session_id": f"crowd-{n}",
                    "user_id": f"crowd-{n}",
                    "item_id": item,
                    "ts_ms": NOON,
                    "props": props,
                }
                for n in range(count)
            ]
        )

    return happen


def put(item: str, **changes: object) -> Step:
    return lambda scene: scene.put({**ITEMS[item], **changes})


def put_user(**attributes: object) -> Step:
    return lambda scene: scene.put_user({"id": "u1", "attributes": attributes})


def later(ms: int) -> Step:
    return lambda scene: scene.clock.advance(ms)


def served(item: str, times: int) -> Step:
    """The shard's own decisions showed the item."""

    def happen(scene: Scene) -> None:
        core, log = scene.shard.core, scene.shard.log
        for n in range(times):
            ask = core.ask(scene.surface, None, f"served-{n}", NOON)
            ranked, unknown = core.rank_given(ask, [item])
            assert unknown == []
            core.decide(
                log, ask, ranked, request_id=f"r{n}", config_digest=0, seed=0, bundle="", context=b"{}", degraded=[]
            )
        assert log.wait_durable(log.end(), 10_000)
        core.advance(log, NOON)

    return happen
