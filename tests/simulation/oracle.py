"""What a shard must know after a list of accepted records, said in plain loops and dicts.

Invariant: it shares no code with the product and follows the contract's sections 1 and 2; the bounds are the published
ones (256 event ids, 50 items, 12 sessions, 24 cart lines, 6 orders of 8 items per user key). It does not know batches,
logs or crashes: records are counted in the order in which they are given.
"""

from __future__ import annotations

import json
from typing import Any

DEDUPE_MAX = 256
RECENT_MAX = 50
SESSIONS_MAX = 12
CART_MAX = 24
ORDERS_MAX = 6
ORDER_ITEMS_MAX = 8
CAP_PAIRS_MAX = 64
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TYPES = (
    *("impression", "click", "scroll", "dwell", "add_to_cart", "remove_from_cart", "purchase", "refund"),
    *("search", "view", "skip", "like", "dislike", "identify", "custom"),
)
NO_ACTION = {"impression", "scroll", "dwell", "refund", "search", "identify"}

Event = dict[str, Any]
Line = tuple[str, int]


class Session:
    """One session of one user key."""

    def __init__(self, session_id: str, number: int, ts_ms: int) -> None:
        self.session_id = session_id
        self.number = number
        self.started_ms = ts_ms
        self.last_ms = ts_ms
        self.cart: list[list[Any]] = []
        self.dwell_ms = 0

    def add(self, item: str, quantity: int) -> None:
        for line in self.cart:
            if line[0] == item:
                line[1] += quantity
                return
        if len(self.cart) == CART_MAX:
            del self.cart[0]
        self.cart.append([item, quantity])

    def remove(self, item: str, quantity: int | None) -> None:
        for at, line in enumerate(self.cart):
            if line[0] == item:
                if quantity is not None and quantity < line[1]:
                    line[1] -= quantity
                else:
                    del self.cart[at]
                return


class Person:
    """One user key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.version = 0
        self.first_ms = 0
        self.last_ms = 0
        self.seen: list[str] = []
        self.sessions: list[Session] = []
        self.sessions_total = 0
        self.recent: list[dict[str, Any]] = []
        self.counts: dict[str, int] = {}
        self.orders: list[tuple[str, list[str]]] = []
        self.hour = 0
        self.hour_total = 0
        self.hour_pairs: list[list[Any]] = []
        self.profile: dict[str, dict[str, Any]] | None = None

    def session(self, session_id: str, ts_ms: int) -> Session:
        for session in self.sessions:
            if session.session_id == session_id:
                return session
        return self.push(Session(session_id, self.sessions_total, ts_ms))

    def push(self, session: Session) -> Session:
        session.number = self.sessions_total
        self.sessions_total += 1
        if len(self.sessions) == SESSIONS_MAX:
            self.sessions.remove(min(self.sessions, key=lambda s: (s.last_ms, s.number)))
        self.sessions.append(session)
        return session

    def remember(self, entry: dict[str, Any], *, joins: bool = False) -> None:
        """Placed by time, at equal times behind what is there, or before it when it joins; the oldest falls off."""
        at, ts_ms = len(self.recent), entry["ts_ms"] - joins
        while at > 0 and self.recent[at - 1]["ts_ms"] > ts_ms:
            at -= 1
        self.recent.insert(at, entry)
        if len(self.recent) > RECENT_MAX:
            del self.recent[0]

    def see(self, event_id: str) -> None:
        if event_id in self.seen:
            return
        if len(self.seen) == DEDUPE_MAX:
            del self.seen[0]
        self.seen.append(event_id)

    def order(self, order_id: str, items: list[str]) -> None:
        if len(self.orders) == ORDERS_MAX:
            del self.orders[0]
        self.orders.append((order_id, items[:ORDER_ITEMS_MAX]))

    def state(self) -> dict[str, Any]:
        """The parts of `GET /v1/users/{id}/state` that the contract names, and quantities."""
        sessions = []
        for session in sorted(self.sessions, key=lambda s: (s.started_ms, s.number)):
            items = []
            for entry in self.recent:
                if entry["session"] == session.number:
                    item = {name: entry[name] for name in ("item_id", "event_type", "ts_ms")}
                    if entry["dwell_ms"]:
                        item["dwell_ms"] = entry["dwell_ms"]
                    items.append(item)
            sessions.append(
                {
                    "session_id": session.session_id,
                    "started_ms": session.started_ms,
                    "last_ms": session.last_ms,
                    "items": items,
                    "cart": [item for item, _ in session.cart],
                    "cart_quantities": dict(map(tuple, session.cart)),
                    "dwell_ms": session.dwell_ms,
                }
            )
        return {
            "user_id": self.key,
            "state_version": self.version,
            "sessions": sessions,
            "counts": self.counts,
            "attributes": (self.profile or {}).get("attributes", {}),
        }


class Oracle:
    """Accepts records; answers what is known."""

    def __init__(self, per_item_hour_max: int, per_hour_max: int) -> None:
        self.per_item_hour_max = per_item_hour_max
        self.per_hour_max = per_hour_max
        self.users: dict[str, Person] = {}
        self.visitors: dict[str, Person] = {}
        self.linked: dict[str, str] = {}
        self.joined: set[tuple[str, str]] = set()
        """Events that came with a session alone and count for a user: whoever has the session now, they are known."""
        self.items: dict[str, dict[str, Any]] = {}
        self.item_counts: dict[str, dict[str, int]] = {}

    def person(self, event: Event) -> Person:
        user_id, session_id = event.get("user_id"), event["session_id"]
        if user_id is None:
            user_id = self.linked.get(session_id)
        if user_id is not None:
            return self.users.setdefault(user_id, Person(user_id))
        return self.visitors.setdefault(session_id, Person(session_id))

    def event(self, event: Event) -> bool:
        """Counts an event; False for a duplicate."""
        person = self.person(event)
        session_id = event["session_id"]
        bare = (session_id, event["event_id"]) if "user_id" not in event else None
        if event["event_id"] in person.seen or bare in self.joined:
            return False
        if bare and session_id in self.linked:
            self.joined.add(bare)
        self._count(person, event)
        user_id = event.get("user_id")
        if user_id is not None and self.linked.get(session_id) != user_id:
            self.linked[session_id] = user_id
            if session_id in self.visitors:
                self._join(person, self.visitors.pop(session_id))
        return True

    def _count(self, person: Person, event: Event) -> None:
        event_type, ts_ms, props = event["event_type"], event["ts_ms"], event.get("props", {})
        kind = event_type if event_type in TYPES else "custom"
        lines = self._lines(person, event)
        person.see(event["event_id"])
        person.version += 1
        person.first_ms = min(person.first_ms or ts_ms, ts_ms)
        person.last_ms = max(person.last_ms, ts_ms)
        person.counts[event_type] = person.counts.get(event_type, 0) + 1
        session = person.session(event["session_id"], ts_ms)
        session.started_ms = min(session.started_ms, ts_ms)
        session.last_ms = max(session.last_ms, ts_ms)
        dwell_ms = min(int(props.get("dwell_ms", 0)), DAY_MS)
        session.dwell_ms += dwell_ms
        if self._allowed(person, lines[0][0] if lines else None, kind, ts_ms):
            for item, _ in lines:
                counts = self.item_counts.setdefault(item, {})
                counts[kind] = counts.get(kind, 0) + 1
        for item, _ in lines:
            self._touch(person, session, event, kind, item, dwell_ms)
        if event_type == "purchase" and not lines:
            session.cart.clear()

    def _lines(self, person: Person, event: Event) -> list[Line]:
        props = event.get("props", {})
        order_id = props.get("order_id")
        lines = [(event["item_id"], 1)] if event.get("item_id") else []
        if event["event_type"] in ("purchase", "refund") and "items" in props:
            lines = [(line["item_id"], line.get("quantity", 1)) for line in json.loads(props["items"])]
        if event["event_type"] == "purchase" and order_id and lines:
            person.order(order_id, [item for item, _ in lines])
        if event["event_type"] == "refund" and order_id:
            for at, (known, items) in enumerate(person.orders):
                if known == order_id:
                    del person.orders[at]
                    return lines or [(item, 1) for item in items]
        return lines

    def _touch(self, person: Person, session: Session, event: Event, kind: str, item: str, dwell_ms: int) -> None:
        if kind == "purchase":
            for each in person.sessions:
                each.remove(item, None)
        quantity = event.get("props", {}).get("quantity")
        if kind == "add_to_cart":
            session.add(item, int(quantity or 1))
        if kind == "remove_from_cart":
            session.remove(item, None if quantity is None else int(quantity))
        if kind == "dwell":
            for entry in reversed(person.recent):
                if entry["item_id"] == item and entry["session"] == session.number:
                    entry["dwell_ms"] += dwell_ms
                    break
        if kind not in NO_ACTION:
            entry = {"item_id": item, "event_type": event["event_type"], "ts_ms": event["ts_ms"], "dwell_ms": dwell_ms}
            person.remember({**entry, "session": session.number})

    def _allowed(self, person: Person, item: str | None, kind: str, ts_ms: int) -> bool:
        """What one user key may add to counts that all share within an hour."""
        if ts_ms // HOUR_MS > person.hour:
            person.hour, person.hour_total, person.hour_pairs = ts_ms // HOUR_MS, 0, []
        if person.hour_total >= self.per_hour_max:
            return False
        for pair in person.hour_pairs:
            if pair[0] == (item, kind):
                if pair[1] >= self.per_item_hour_max:
                    return False
                pair[1] += 1
                break
        else:
            if len(person.hour_pairs) == CAP_PAIRS_MAX:
                del person.hour_pairs[0]
            person.hour_pairs.append([(item, kind), 1])
        person.hour_total += 1
        return True

    def _join(self, person: Person, visitor: Person) -> None:
        """What a session did without a user joins the user."""
        person.version += visitor.version
        person.first_ms = min(person.first_ms, visitor.first_ms)
        person.last_ms = max(person.last_ms, visitor.last_ms)
        for event_id in visitor.seen:
            self.joined.add((visitor.key, event_id))
        person.seen = (visitor.seen + person.seen)[-DEDUPE_MAX:]
        for theirs in visitor.sessions:
            mine = next((s for s in person.sessions if s.session_id == theirs.session_id), None)
            was = theirs.number
            if mine is None:
                mine = person.push(theirs)
            else:
                mine.started_ms = min(mine.started_ms, theirs.started_ms)
                mine.last_ms = max(mine.last_ms, theirs.last_ms)
                mine.dwell_ms += theirs.dwell_ms
                added, mine.cart = mine.cart, theirs.cart
                for item, quantity in added:
                    mine.add(item, quantity)
            for entry in reversed(visitor.recent):
                if entry["session"] == was:
                    person.remember({**entry, "session": mine.number}, joins=True)
        for name, n in visitor.counts.items():
            person.counts[name] = person.counts.get(name, 0) + n
        for order_id, items in visitor.orders:
            person.order(order_id, items)

    def item(self, item: dict[str, Any]) -> None:
        self.items[item["id"]] = item

    def user(self, record: dict[str, Any]) -> None:
        person = self.users.setdefault(record["id"], Person(record["id"]))
        person.profile = person.profile or {"attributes": {}}
        person.profile["attributes"].update(record["attributes"])

    def states(self) -> dict[str, dict[str, Any] | None]:
        """Every user and every visitor who is none."""
        answers: dict[str, dict[str, Any] | None] = {key: user.state() for key, user in self.users.items()}
        answers |= {key: visitor.state() for key, visitor in self.visitors.items()}
        return answers
