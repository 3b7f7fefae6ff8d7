"""The lists that people saw, read from the log with what they did about them afterwards.

A list is the impressions of one session under one `request_id`; its moment is its first impression, or the decision
that made it when the log has one. Labels come from later events of the same user within `Windows`. Invariant: nothing
that stands in the log behind a list's `offset` decides anything but its labels and which of its items were seen.
It does not know features: the state at `offset` is rebuilt elsewhere.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import deque
from collections.abc import Iterator

import msgspec

from rtp_monolith._native import Log, decision_json
from rtp_monolith.records import Context

CHUNK_BYTES = 1 << 20
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
POSITIVE = frozenset({"click", "view", "add_to_cart", "purchase", "like"})
PREFIX_KEPT = 64
LATER_KEPT = 16
SWEEP_EVERY = 20_000
CONTEXT_KEYS = ("device", "country", "channel", "app_version", "campaign")
READ = ("impression", "click", "view", "add_to_cart", "purchase", "like", "identify")
HEADS = ("click", "cart", "purchase")
LABELS = {"click": 0, "add_to_cart": 1, "purchase": 2}
"""Which head an event is a label of."""


class Windows(msgspec.Struct, frozen=True):
    """How long after a list's moment an event counts for it, ms. A refund counts so long after its purchase."""

    click_ms: int = 30 * MINUTE_MS
    conversion_ms: int = HOUR_MS
    refund_ms: int = 14 * 24 * HOUR_MS

    def of(self, head: int) -> int:
        """The window of a head of HEADS, ms."""
        return self.click_ms if head == 0 else self.conversion_ms

    @property
    def longest_ms(self) -> int:
        """A list's labels are final so long after its moment."""
        return max(self.click_ms, self.conversion_ms)


class Served(msgspec.Struct, frozen=True):
    """What the log's decision says of a list; `features` are rows of the first of `items` under `plan_digest`, the
    plan of the catalogue or of `bundle`."""

    request_id: str
    user_id: str | None
    session_id: str
    surface: str
    as_of_ms: int
    applied_offset: int
    bundle: str
    context: Context
    items: list[dict[str, object]]
    plan_digest: int
    features: list[list[float]]


class SeenList(msgspec.Struct):
    """One list: parallel `items`, `positions` and `labels` (click, cart, purchase as 0 or 1, in the order of HEADS).

    `offset` is the end of the log that its features may know; `prefix` are the session's positive items before it,
    oldest first, at most PREFIX_KEPT. `later` is what the session did after it and within the windows of the labels,
    (item, head) in its order, at most LATER_KEPT, whichever list showed it or none. `wanted` is False for lists that
    sampling left out.
    """

    offset: int
    as_of_ms: int
    request_id: str | None
    user_id: str | None
    session_id: str
    surface: str
    context: list[tuple[str, str]]
    prefix: list[str]
    wanted: bool
    served: Served | None = None
    items: list[str] = msgspec.field(default_factory=list)
    positions: list[int] = msgspec.field(default_factory=list)
    labels: list[list[int]] = msgspec.field(default_factory=list)
    where: dict[str, int] = msgspec.field(default_factory=dict)
    later: list[tuple[str, int]] = msgspec.field(default_factory=list)

    def show(self, item: str, position: int | None) -> int:
        """The row of an item, a new one unless it has one."""
        at = self.where.get(item)
        if at is None:
            at = self.where[item] = len(self.items)
            self.items.append(item)
            self.positions.append(at if position is None else position)
            self.labels.append([0, 0, 0])
        return at


class _Person:
    """A user key: which list showed it an item last, and whether it clicked it there."""

    __slots__ = ("last_ms", "touched")

    def __init__(self) -> None:
        self.touched: dict[str, tuple[SeenList, bool]] = {}
        self.last_ms = 0


class _Session:
    __slots__ = ("followed", "last_ms", "person", "prefix", "user")

    def __init__(self, person: _Person) -> None:
        self.person = person
        self.user: str | None = None
        self.prefix: list[tuple[int, str]] = []
        # Lists whose `later` is not full, oldest first.
        self.followed: deque[SeenList] = deque()
        self.last_ms = 0


# offset, event type, user, session, items, ts_ms, request_id, position, props: as `Log.events` gives it.
_Event = tuple[int, str, str | None, str, tuple[str, ...], int, str | None, int | None, dict[str, str]]


class ListReader:
    """Walks a log once and gives its lists in the order of `offset`, each when its labels are final.

    Memory holds what happened within the longest window. `share` of the lists, drawn by `seed` and request, are
    `wanted`; the others only keep attribution right. Lists whose window reaches past the end of the log are left out
    and counted in `unfinished`.
    """

    def __init__(self, log: Log, windows: Windows, *, share: float = 1.0, seed: int = 0) -> None:
        self._log = log
        self._windows = windows
        self._bound = int(share * 2**64)
        self._seed = seed
        self._refunds = refunds(log)
        self._sessions: dict[str, _Session] = {}
        self._people: dict[str, _Person] = {}
        self._open: dict[tuple[str, str], SeenList] = {}
        self._served: dict[tuple[str, str], Served] = {}
        self._heap: list[tuple[int, int, SeenList]] = []
        self._number = 0
        self.now_ms = 0
        self.lists = 0
        self.unfinished = 0
        self.position = log.start()

    def __iter__(self) -> Iterator[SeenList]:
        read = msgspec.json.Decoder(Served).decode
        since_sweep = 0
        while True:
            events, decisions, end = self._log.events(self.position, CHUNK_BYTES, READ)
            if end == self.position:
                break
            pending = [(offset, read(decision_json(body))) for offset, _, body in decisions]
            pending.reverse()
            for event in events:
                while pending and pending[-1][0] < event[0]:
                    self._serve(pending.pop()[1])
                self._take(event)
            while pending:
                self._serve(pending.pop()[1])
            self.position = end
            since_sweep += len(events)
            if since_sweep >= SWEEP_EVERY:
                since_sweep = 0
                self._sweep()
            yield from self._closed()
        self.unfinished = len(self._heap)

    def _serve(self, decision: Served) -> None:
        key = (decision.session_id, decision.request_id)
        seen = self._open.get(key)
        if seen is None:
            self._served[key] = decision
        elif seen.served is None:
            # Decisions wait for the next write, so the first impression may stand before its decision.
            self._attach(seen, decision)
            self._heap = [(each.offset, number, each) for _, number, each in self._heap]
            heapq.heapify(self._heap)

    def _attach(self, seen: SeenList, decision: Served) -> None:
        """The list's moment is its decision's."""
        seen.offset, seen.as_of_ms, seen.surface = decision.applied_offset, decision.as_of_ms, decision.surface
        seen.context = [
            (name, value) for name in CONTEXT_KEYS if (value := getattr(decision.context, name)) is not None
        ]
        seen.user_id, seen.served = decision.user_id, decision
        session = self._sessions.get(seen.session_id)
        if session is not None:
            seen.prefix = [item for at, item in session.prefix if at < seen.offset]

    def _take(self, event: _Event) -> None:
        offset, kind, user, session_id, items, ts_ms, _, position, props = event
        self.now_ms = max(self.now_ms, ts_ms)
        session = self._session(session_id, user)
        session.last_ms = session.person.last_ms = max(session.last_ms, ts_ms)
        if kind == "impression":
            seen = self._list(offset, session, event)
            seen.show(items[0], position)
            before = session.person.touched.get(items[0])
            # A click elsewhere keeps its claim to what follows for as long as it can be followed.
            if before is None or not before[1] or ts_ms - before[0].as_of_ms > self._windows.conversion_ms:
                session.person.touched[items[0]] = (seen, False)
            return
        head = LABELS.get(kind)
        if head is not None:
            order = props.get("order_id")
            kept = items if head < 2 else tuple(i for i in items if not self._refunded(order, session_id, i, ts_ms))
            self._label(session, event, head, kept)
            self._follow(session, head, kept, ts_ms)
        if kind in POSITIVE:
            session.prefix.extend((offset, item) for item in items)
            del session.prefix[:-PREFIX_KEPT]

    def _session(self, session_id: str, user: str | None) -> _Session:
        session = self._sessions.get(session_id)
        if session is None:
            session = self._sessions[session_id] = _Session(_Person())
        if user is not None and session.user != user:
            person = self._people.get(user)
            if person is None:
                person = self._people[user] = _Person()
            if session.user is None:
                person.touched.update(session.person.touched)
            session.person, session.user = person, user
        return session

    def _list(self, offset: int, session: _Session, event: _Event) -> SeenList:
        _, _, user, session_id, _, ts_ms, request_id, _, props = event
        key = (session_id, request_id or f"\n{offset}")
        seen = self._open.get(key)
        if seen is not None:
            return seen
        served = self._served.pop(key, None)
        context = [(name, props[name]) for name in CONTEXT_KEYS if name in props]
        seen = SeenList(
            offset, ts_ms, request_id, user, session_id, props.get("surface", ""), context, [], self._drawn(key)
        )
        seen.prefix = [item for at, item in session.prefix if at < seen.offset]
        if served is not None:
            self._attach(seen, served)
        self._open[key] = seen
        session.followed.append(seen)
        while session.followed[0].as_of_ms < ts_ms - self._windows.longest_ms:
            session.followed.popleft()
        self._number += 1
        heapq.heappush(self._heap, (seen.offset, self._number, seen))
        return seen

    def _label(self, session: _Session, event: _Event, head: int, items: tuple[str, ...]) -> None:
        session_id, ts_ms, request_id = event[3], event[5], event[6]
        window_ms = self._windows.of(head)
        named = self._open.get((session_id, request_id)) if request_id is not None else None
        for item in items:
            touched = session.person.touched.get(item)
            # The list that the event itself names, else the last one that showed the item to this person.
            seen = named if named is not None and item in named.where else touched[0] if touched else None
            if seen is None or not 0 <= ts_ms - seen.as_of_ms <= window_ms:
                continue
            seen.labels[seen.where[item]][head] = 1
            if head == 0:
                session.person.touched[item] = (seen, True)

    def _follow(self, session: _Session, head: int, items: tuple[str, ...], ts_ms: int) -> None:
        """Notes what was done with the lists of the session that are open for it; who has enough is followed no more,
        so a session of any length costs LATER_KEPT notes a list."""
        for seen in session.followed:
            if 0 <= ts_ms - seen.as_of_ms <= self._windows.of(head):
                seen.later.extend((item, head) for item in items[: LATER_KEPT - len(seen.later)])
        while session.followed and len(session.followed[0].later) >= LATER_KEPT:
            session.followed.popleft()

    def _refunded(self, order: str | None, session_id: str, item: str, ts_ms: int) -> bool:
        found = list(self._refunds.get(("session", session_id), []))
        if order is not None:
            found += self._refunds.get(("order", order), [])
        longest = self._windows.refund_ms
        return any(0 <= at - ts_ms <= longest and (not items or item in items) for at, items in found)

    def _drawn(self, key: tuple[str, str]) -> bool:
        if self._bound >= 2**64:
            return True
        digest = hashlib.blake2b(f"{self._seed}:{key[1]}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") < self._bound

    def _closed(self) -> Iterator[SeenList]:
        while self._heap and self._heap[0][2].as_of_ms + self._windows.longest_ms < self.now_ms:
            offset, _, seen = heapq.heappop(self._heap)
            self._open.pop((seen.session_id, seen.request_id or f"\n{offset}"), None)
            self.lists += 1
            if seen.wanted:
                yield seen

    def _sweep(self) -> None:
        """Forgets who was not seen for longer than any window."""
        oldest = self.now_ms - 2 * self._windows.longest_ms
        self._sessions = {key: each for key, each in self._sessions.items() if each.last_ms >= oldest}
        self._people = {key: each for key, each in self._people.items() if each.last_ms >= oldest}
        self._served = {key: each for key, each in self._served.items() if each.as_of_ms >= oldest}


def refunds(log: Log) -> dict[tuple[str, str], list[tuple[int, tuple[str, ...]]]]:
    """(time, items) of every refund of a log, by its order and, when it names none, by its session.

    No items means the whole order. It is read ahead of everything else: a refund comes days after its purchase.
    """
    found: dict[tuple[str, str], list[tuple[int, tuple[str, ...]]]] = {}
    offset = log.start()
    while True:
        events, _, end = log.events(offset, CHUNK_BYTES, ("refund",))
        for _, _, _, session_id, items, ts_ms, _, _, props in events:
            order = props.get("order_id")
            key = ("session", session_id) if order is None else ("order", order)
            found.setdefault(key, []).append((ts_ms, items))
        if end == offset:
            return found
        offset = end
