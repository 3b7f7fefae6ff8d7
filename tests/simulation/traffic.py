"""Seeded traffic of a shop: bodies as clients send them, and the oracle's view of each.

Invariant: the bodies of one `Client` are a function of its seed and name. Clients share no user and no session, and a
client sends one body at a time, so the order of each user's events is known without asking the shard. It does not know
how bodies travel.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec

from tests.simulation.oracle import Event, Oracle

BASE_MS = 1_700_000_000_000
ITEMS = 120
CUSTOM = "wishlist"


class Body(msgspec.Struct, frozen=True):
    """One request: `records` in the order of the body, `refused` the number of those that must be rejected."""

    kind: str
    records: list[dict[str, Any]]
    refused: int
    text: bytes

    def __len__(self) -> int:
        return len(self.records)

    def tell(self, oracle: Oracle) -> int:
        """Gives the oracle what the shard acknowledged; the number of new records."""
        if self.kind == "events":
            return sum(oracle.event(event) for event in self.records if "session_id" in event)
        for record in self.records:
            (oracle.item if self.kind == "items" else oracle.user)(record)
        return len(self.records)


class Client:
    """One sender with its own users and browsers."""

    def __init__(
        self, seed: int, name: str, *, users: int = 8, browsers: int = 12, joins: bool = True, relinks: bool = True
    ) -> None:
        """Without `joins` nobody signs in late, without `relinks` nobody signs in where another did."""
        self.name = name
        self.users = [f"u{name}.{n}" for n in range(users)]
        self._rng = Random(f"{seed}/{name}")
        self._events = 0
        self._sessions = 0
        self._clock_ms = BASE_MS
        self._used_ms: set[int] = set()
        self._joins = joins
        self._relinks = relinks
        self._who: dict[str, str | None] = {}
        """Browser session → the user that it signed in last."""
        self._recent: list[Event] = []
        self._held: set[str] = set()
        self._orders: list[str] = []
        for _ in range(browsers):
            self._open()

    def _open(self) -> None:
        self._sessions += 1
        self._who[f"s{self.name}.{self._sessions}"] = None

    def body(self, n: int) -> Body:
        """The next body: `n` events, now and then users or items instead."""
        dice = self._rng.random()
        if dice < 0.04:
            return self._users_body()
        if dice < 0.08:
            return self._items_body()
        self._held = set()
        events = [self._next() for _ in range(n)]
        refused = sum("session_id" not in event for event in events)
        self._recent = [event for event in events if "session_id" in event][-40:]
        return Body("events", events, refused, json.dumps({"events": events}).encode())

    def _users_body(self) -> Body:
        records = [
            {"id": user, "attributes": {"tier": self._rng.choice(["gold", "blue"]), "n": self._rng.randrange(9)}}
            for user in self._rng.sample(self.users, 3)
        ]
        return Body("users", records, 0, json.dumps(records).encode())

    def _items_body(self) -> Body:
        """Each client owns items of its name, so that the last writer is known."""
        records = [
            {"id": f"i{self.name}.{n}", "title": f"item {n}", "price": self._rng.randrange(1, 9_999) / 100}
            for n in self._rng.sample(range(30), 5)
        ]
        return Body("items", records, 0, json.dumps({"items": records}).encode())

    def _next(self) -> Event:
        dice = self._rng.random()
        if dice < 0.01:
            return {"event_id": "x", "event_type": "click", "item_id": "i1", "ts_ms": BASE_MS}
        if dice < 0.04 and self._recent:
            again = self._rng.choice(self._recent)
            if not self._held & {again["session_id"], again.get("user_id"), self._who.get(again["session_id"])}:
                return again
        if dice < 0.06 and len(self._who) > 1:
            free = [s for s in self._who if s not in self._held]
            if free:
                del self._who[self._rng.choice(free)]
                self._open()
        free = [s for s, user in self._who.items() if s not in self._held and user not in self._held]
        if not free:
            self._open()
            free = [next(reversed(self._who))]
        session = self._rng.choice(free)
        user = self._who[session]
        event = self._event(session)
        if not self._joins:
            event["user_id"] = self.users[int(session.rpartition(".")[2]) % len(self.users)]
        elif self._rng.random() < 0.03 and (user is None or self._relinks):
            user = self._rng.choice(self.users)
            if user not in self._held:
                self._sign_in(session, user)
                event["user_id"] = user
        elif user is not None and self._rng.random() < 0.5:
            event["user_id"] = user
        return event

    def _sign_in(self, session: str, user: str) -> None:
        """Until the reply, nothing else of this browser or user is sent: the join has its place in the order."""
        self._who[session] = user
        self._held |= {session, user}

    def _event(self, session: str) -> Event:
        rng = self._rng
        self._events += 1
        event: Event = {"event_id": f"{self.name}-{self._events}", "session_id": session, "ts_ms": self._time()}
        kinds = "click view impression add_to_cart remove_from_cart purchase refund dwell search like identify scroll"
        kind = rng.choices([*kinds.split(), CUSTOM], [30, 10, 15, 10, 4, 5, 2, 8, 4, 3, 2, 3, 4])[0]
        event["event_type"] = kind
        if kind not in ("search", "identify", "scroll", "purchase", "refund"):
            event["item_id"] = self._item()
        props: dict[str, str] = {}
        if kind in ("add_to_cart", "remove_from_cart") and rng.random() < 0.4:
            props["quantity"] = str(rng.randrange(1, 4))
        if kind == "dwell":
            props["dwell_ms"] = str(rng.randrange(100, 60_000))
        if kind == "search":
            props["query"] = rng.choice(["shoes", "größe 42", "red"])
        if kind == "purchase":
            self._orders.append(f"o{self.name}.{self._events}")
            lines = [{"item_id": self._item(), "quantity": rng.randrange(1, 3), "price": 9.5} for _ in range(2)]
            props |= {"order_id": self._orders[-1], "items": json.dumps(lines)}
        if kind == "refund" and self._orders:
            props["order_id"] = rng.choice(self._orders[-5:])
        if rng.random() < 0.3:
            props["device"] = rng.choice(["mobile", "desktop"])
        if props:
            event["props"] = props
        return event

    def _item(self) -> str:
        return f"i{min(int(self._rng.expovariate(1 / 20)), ITEMS - 1)}"

    def _time(self) -> int:
        """Mostly forward, one in ten late by up to three hours, never the same twice."""
        self._clock_ms += self._rng.randrange(50, 4_000)
        ts_ms = self._clock_ms
        if self._rng.random() < 0.1:
            ts_ms -= self._rng.randrange(3 * 3_600_000)
        while ts_ms in self._used_ms:
            ts_ms += 1
        self._used_ms.add(ts_ms)
        return ts_ms
