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
from typing import cast

import msgspec

from rtp_monolith._native import Log, decision_json
from rtp_monolith.features.context import context_pairs
from rtp_monolith.features.published import External
from rtp_monolith.records import Context
from rtp_monolith.training.heads import HOUR_MS, MINUTE_MS, Head, usual

CHUNK_BYTES = 1 << 20
POSITIVE = frozenset({"click", "view", "add_to_cart", "purchase", "like"})
PREFIX_KEPT = 64
LATER_KEPT = 16
SWEEP_EVERY = 20_000
CONTEXT_KEYS = ("device", "country", "channel", "app_version", "campaign", "query")
READ = ("impression", "click", "view", "add_to_cart", "purchase", "like", "identify")
DWELL_DIGITS_MAX = 12


class Windows(msgspec.Struct, frozen=True):
    """How long after a list's moment an event counts for it, ms: of the usual heads here, of `declared` ones in them.
    A refund counts so long after its purchase, and an event that comes in up to `late_ms` after its own time still
    counts."""

    click_ms: int = 30 * MINUTE_MS
    conversion_ms: int = HOUR_MS
    refund_ms: int = 14 * 24 * HOUR_MS
    late_ms: int = 0
    declared: tuple[Head, ...] = ()

    @property
    def heads(self) -> tuple[Head, ...]:
        """What rows are labelled with, in its order."""
        return self.declared or usual(self.click_ms, self.conversion_ms)

    @property
    def claim_ms(self) -> int:
        """So long a list that was taken up keeps its claim to what follows."""
        return max(head.window_ms for head in self.heads)

    @property
    def longest_ms(self) -> int:
        """A list's labels are final so long after its moment."""
        return max(self.click_ms, self.claim_ms) + self.late_ms


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
    external: External | None = None


class SeenList(msgspec.Struct):
    """One list: parallel `items`, `positions` and `labels` (0 or 1 for each of `heads` heads, in their order).

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
    heads: int
    served: Served | None = None
    items: list[str] = msgspec.field(default_factory=list)
    positions: list[int] = msgspec.field(default_factory=list)
    labels: list[list[int]] = msgspec.field(default_factory=list)
    where: dict[str, int] = msgspec.field(default_factory=dict)
    dwelt: dict[str, int] = msgspec.field(default_factory=dict)
    """By item: how long, ms, it was looked at within the click window; a reader with `dwell` knows, or with a head of
    looking."""
    looked: dict[tuple[int, str], int] = msgspec.field(default_factory=dict)
    """By head and item, ms that count for a head of looking."""
    later: list[tuple[str, int]] = msgspec.field(default_factory=list)

    @property
    def external(self) -> External | None:
        """What was published when it was made, for the items of `shown`."""
        return None if self.served is None else self.served.external

    @property
    def shown(self) -> list[str]:
        """Its decision's items in their order."""
        return [] if self.served is None else [str(each["id"]) for each in self.served.items]

    @property
    def made_with(self) -> tuple[str, str]:
        """Bundle and surface; the bundle is empty without one, and where no decision says which."""
        return ("" if self.served is None else self.served.bundle, self.surface)

    def show(self, item: str, position: int | None) -> int:
        """The row of an item, a new one unless it has one."""
        at = self.where.get(item)
        if at is None:
            at = self.where[item] = len(self.items)
            self.items.append(item)
            self.positions.append(at if position is None else position)
            self.labels.append([0] * self.heads)
        return at

    def show_all(self, items: tuple[str, ...], positions: tuple[int | None, ...]) -> None:
        """`show` of one after another; nearly always each is new, and each is there once."""
        first = len(self.items)
        where = {item: at for at, item in enumerate(items, first)}
        if len(where) == len(items) and self.where.keys().isdisjoint(items):
            self.where.update(where)
            self.items += items
            self.positions += [at if said is None else said for at, said in enumerate(positions, first)]
            self.labels += [[0] * self.heads for _ in items]
            return
        for item, position in zip(items, positions, strict=True):
            self.show(item, position)


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
# Impressions of one list: items, times and positions of all, the rest of the first.
_Impressions = tuple[
    int, str, str | None, str, tuple[str, ...], tuple[int, ...], str, tuple[int | None, ...], dict[str, str]
]


class ListReader:
    """Walks a log once and gives its lists in the order of `offset`, each when its labels are final.

    Memory holds what happened within the longest window. `share` of the lists, drawn by `seed` and request, are
    `wanted`; the others only keep attribution right. Lists whose window reaches past the end of the log are left out
    and counted in `unfinished`. The log ends at `until`, the end of a frame, if that is given. With
    `whole_chunk_bytes` pieces of that size are read and no smaller one at the end, so which lists come in which order
    is the same for a log that is read as it grows (`follow`) and for one that is read at once.
    """

    def __init__(
        self,
        log: Log,
        windows: Windows,
        *,
        share: float = 1.0,
        seed: int = 0,
        until: int | None = None,
        dwell: bool = False,
        whole_chunk_bytes: int | None = None,
    ) -> None:
        self._log = log
        self._chunk_bytes = CHUNK_BYTES if whole_chunk_bytes is None else whole_chunk_bytes
        self._is_whole = whole_chunk_bytes is not None
        self._until = log.end() if until is None else until
        heads = windows.heads
        self._heads = len(heads)
        self._heads_of: dict[str, list[tuple[int, int]]] = {}
        """By event type, (head, window) of what it labels."""
        for number, head in enumerate(heads):
            for kind in head.events:
                self._heads_of.setdefault(kind, []).append((number, head.window_ms))
        self._looking = [
            (n, each.window_ms, each.dwell_ms) for n, each in enumerate(heads) if each.dwell_ms is not None
        ]
        looked = ("dwell",) if dwell or self._looking else ()
        self._types = tuple(dict.fromkeys((*READ, *self._heads_of, *looked)))
        self._claim_ms = windows.claim_ms
        self._windows = windows
        self._longest_ms = windows.longest_ms
        self._bound = int(share * 2**64)
        self._seed = seed
        self._refunds = refunds(log, self._until)
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
        while self.position < self._until:
            chunk = min(self._chunk_bytes, self._until - self.position)
            if self._is_whole and chunk < self._chunk_bytes:
                break
            events, decisions, end = self._log.events(self.position, chunk, self._types, together=True)
            if end == self.position:
                break
            pending = [(offset, read(decision_json(body))) for offset, _, body in decisions]
            pending.reverse()
            for event in events:
                while pending and pending[-1][0] < event[0]:
                    self._serve(pending.pop()[1])
                if event[1] == "impressions":
                    self._show(cast("_Impressions", event))
                    since_sweep += len(event[4])
                else:
                    self._take(cast("_Event", event))
                    since_sweep += 1
            while pending:
                self._serve(pending.pop()[1])
            self.position = end
            if since_sweep >= SWEEP_EVERY:
                since_sweep = 0
                self._sweep()
            yield from self._closed()
        self.unfinished = len(self._heap)

    def follow(self, log: Log, until: int) -> None:
        """Goes on in the same log, opened anew, up to `until`; iterate again for the lists that are final by then. A
        refund counts from here on: lists that were given are not given again."""
        refunds(log, until, self._until, self._refunds)
        self._log, self._until = log, until

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
        seen.context = context_pairs(decision.context)
        seen.user_id, seen.served = decision.user_id, decision
        session = self._sessions.get(seen.session_id)
        if session is not None:
            seen.prefix = [item for at, item in session.prefix if at < seen.offset]

    def _take(self, event: _Event) -> None:
        offset, kind, user, session_id, items, ts_ms, _, position, props = event
        session = self._happened(session_id, user, ts_ms)
        if kind == "impression":
            seen = self._list(offset, session, event)
            seen.show(items[0], position)
            before = session.person.touched.get(items[0])
            # A click elsewhere keeps its claim to what follows for as long as it can be followed.
            if before is None or not before[1] or ts_ms - before[0].as_of_ms > self._claim_ms:
                session.person.touched[items[0]] = (seen, False)
            return
        labelled = self._heads_of.get(kind)
        if labelled is not None:
            order = props.get("order_id")
            kept = items
            if kind == "purchase":
                kept = tuple(item for item in items if not self._refunded(order, session_id, item, ts_ms))
            for head, window_ms in labelled:
                self._label(session, event, head, window_ms, kept)
            self._follow(session, *labelled[0], kept, ts_ms)
        if kind in POSITIVE:
            session.prefix.extend((offset, item) for item in items)
            del session.prefix[:-PREFIX_KEPT]
        if kind == "dwell":
            self._looked(session, event)

    def _show(self, events: _Impressions) -> None:
        """What `_take` does with impressions of one list, one after another."""
        offset, _, user, session_id, items, times, request_id, positions, props = events
        session = self._happened(session_id, user, max(times))
        first = (offset, "impression", user, session_id, items[:1], times[0], request_id, positions[0], props)
        seen = self._list(offset, session, first)
        seen.show_all(items, positions)
        touched, claimed_ms = session.person.touched, self._claim_ms
        shown = (seen, False)
        if touched.keys().isdisjoint(items):
            touched.update(dict.fromkeys(items, shown))
            return
        for item, ts_ms in zip(items, times, strict=True):
            before = touched.get(item)
            if before is None or not before[1] or ts_ms - before[0].as_of_ms > claimed_ms:
                touched[item] = shown

    def _happened(self, session_id: str, user: str | None, ts_ms: int) -> _Session:
        """The session of what happens at a moment, which is then the latest seen."""
        session = self._session(session_id, user)
        if ts_ms > self.now_ms:
            self.now_ms = ts_ms
        if ts_ms < session.last_ms:
            ts_ms = session.last_ms
        session.last_ms = session.person.last_ms = ts_ms
        return session

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
        surface, wanted = props.get("surface", ""), self._drawn(key)
        seen = SeenList(offset, ts_ms, request_id, user, session_id, surface, context, [], wanted, self._heads)
        seen.prefix = [item for at, item in session.prefix if at < seen.offset]
        if served is not None:
            self._attach(seen, served)
        self._open[key] = seen
        session.followed.append(seen)
        while session.followed[0].as_of_ms < ts_ms - self._longest_ms:
            session.followed.popleft()
        self._number += 1
        heapq.heappush(self._heap, (seen.offset, self._number, seen))
        return seen

    def _label(self, session: _Session, event: _Event, head: int, window_ms: int, items: tuple[str, ...]) -> None:
        for item in items:
            seen = self._shown(session, event, item, window_ms)
            if seen is None:
                continue
            seen.labels[seen.where[item]][head] = 1
            if head == 0:
                session.person.touched[item] = (seen, True)

    def _looked(self, session: _Session, event: _Event) -> None:
        said = event[8].get("dwell_ms", "")
        if not (said.isascii() and said.isdigit() and len(said) <= DWELL_DIGITS_MAX):
            return
        for item in event[4]:
            seen = self._shown(session, event, item, self._windows.click_ms)
            if seen is not None:
                seen.dwelt[item] = seen.dwelt.get(item, 0) + int(said)
            for head, window_ms, wanted_ms in self._looking:
                self._dwelt(session, event, item, int(said), head, window_ms, wanted_ms)

    def _dwelt(
        self, session: _Session, event: _Event, item: str, ms: int, head: int, window_ms: int, wanted_ms: int
    ) -> None:
        """Adds to the looking that counts for a head, and labels the list once it is enough."""
        seen = self._shown(session, event, item, window_ms)
        if seen is None:
            return
        key = (head, item)
        seen.looked[key] = seen.looked.get(key, 0) + ms
        if seen.looked[key] >= wanted_ms and not seen.labels[seen.where[item]][head]:
            seen.labels[seen.where[item]][head] = 1
            self._follow(session, head, window_ms, (item,), event[5])
            if head == 0:
                session.person.touched[item] = (seen, True)

    def _shown(self, session: _Session, event: _Event, item: str, window_ms: int) -> SeenList | None:
        """The list that the event itself names, else the last one that showed the item to this person; None when its
        window is over."""
        session_id, ts_ms, request_id = event[3], event[5], event[6]
        named = self._open.get((session_id, request_id)) if request_id is not None else None
        touched = session.person.touched.get(item)
        seen = named if named is not None and item in named.where else touched[0] if touched else None
        if seen is None or not 0 <= ts_ms - seen.as_of_ms <= window_ms:
            return None
        # A list is final at a place of the log, wherever the pieces end in which the log is read.
        return seen if self.now_ms <= seen.as_of_ms + self._longest_ms else None

    def _follow(self, session: _Session, head: int, window_ms: int, items: tuple[str, ...], ts_ms: int) -> None:
        """Notes what was done with the lists of the session that are open for it; who has enough is followed no more,
        so a session of any length costs LATER_KEPT notes a list."""
        open_ms = self.now_ms - self._longest_ms
        done = [(item, head) for item in items]
        for seen in session.followed:
            if seen.as_of_ms >= open_ms and 0 <= ts_ms - seen.as_of_ms <= window_ms:
                seen.later += done[: LATER_KEPT - len(seen.later)]
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
        while self._heap and self._heap[0][2].as_of_ms + self._longest_ms < self.now_ms:
            offset, _, seen = heapq.heappop(self._heap)
            self._open.pop((seen.session_id, seen.request_id or f"\n{offset}"), None)
            self.lists += 1
            if seen.wanted:
                yield seen

    def _sweep(self) -> None:
        """Forgets who was not seen for longer than any window."""
        oldest = self.now_ms - 2 * self._longest_ms
        self._sessions = {key: each for key, each in self._sessions.items() if each.last_ms >= oldest}
        self._people = {key: each for key, each in self._people.items() if each.last_ms >= oldest}
        self._served = {key: each for key, each in self._served.items() if each.as_of_ms >= oldest}


Refunds = dict[tuple[str, str], list[tuple[int, tuple[str, ...]]]]


def refunds(log: Log, until: int, since: int | None = None, known: Refunds | None = None) -> Refunds:
    """(time, items) of every refund of a log, by its order and, when it names none, by its session; added to those that
    are known from before `since`.

    No items means the whole order. It is read ahead of everything else: a refund comes days after its purchase.
    """
    found: Refunds = {} if known is None else known
    offset = log.start() if since is None else since
    while offset < until:
        events, _, end = log.events(offset, min(CHUNK_BYTES, until - offset), ("refund",))
        for _, _, _, session_id, items, ts_ms, _, _, props in events:
            order = props.get("order_id")
            key = ("session", session_id) if order is None else ("order", order)
            found.setdefault(key, []).append((ts_ms, items))
        if end == offset:
            break
        offset = end
    return found
