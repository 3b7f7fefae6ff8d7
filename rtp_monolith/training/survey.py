"""One look over a log before training: when lists were shown, what sessions wanted, what the catalogue says of items.

Invariant: `cut_ms` splits the impressions by time, so everything that is learned from one side is older than all of the
other. It does not know models; impressions are counted by the minute, so memory does not grow with them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from rtp_monolith._native import Log
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.state.recovery import open_log
from rtp_monolith.training.heads import MINUTE_MS
from rtp_monolith.training.lists import CHUNK_BYTES, POSITIVE

ITEM_KIND = 2
DECISION_KIND = 7
ATTRIBUTES_MAX = 24
SHARED_BY_MIN = 5


class CatalogueItem(msgspec.Struct, frozen=True):
    """What training reads of an item, as it was last put."""

    id: str
    categories: list[str] = []
    brand: str | None = None
    price: float | None = None
    attributes: dict[str, str | float | bool | list[str]] = {}
    title: str | None = None
    description: str | None = None


class Session(msgspec.Struct):
    """What one session wanted: items with their times (ms) and event types, in the order of the log."""

    items: list[str]
    times: list[int]
    actions: list[str]

    def of(self, places: Sequence[int]) -> Session:
        """Some of it, in an order of its own."""
        return Session(
            [self.items[place] for place in places],
            [self.times[place] for place in places],
            [self.actions[place] for place in places],
        )


class Survey(msgspec.Struct, frozen=True):
    """`minutes`: impressions by minute of their `ts_ms`; `sessions` by id; `catalogue` by first mention;
    `decided`: a shard's own lists are in the log; `users`: whose a session is, the first that it was linked to."""

    minutes: Counter[int]
    sessions: dict[str, Session]
    catalogue: list[CatalogueItem]
    decided: bool
    users: dict[str, str] = {}

    @property
    def impressions(self) -> int:
        return self.minutes.total()

    def cut_ms(self, share: float) -> int:
        """The minute before which `share` of the impressions were made. Raises DataError without impressions."""
        if not self.minutes:
            raise DataError(
                "the log has no impressions: nothing was shown, so nothing can be learned", code="nothing_to_learn"
            )
        wanted, seen = share * self.impressions, 0
        for minute in sorted(self.minutes):
            if seen >= wanted:
                return minute * MINUTE_MS
            seen += self.minutes[minute]
        return (max(self.minutes) + 1) * MINUTE_MS

    def sessions_between(self, after_ms: int, until_ms: int) -> list[Session]:
        """What sessions that began at or after `after_ms` wanted before `until_ms`, oldest session first; sessions
        without two items are left out. Each is in the order of its times, as a shard keeps it: an event that came late
        stands where it belongs."""
        found = []
        for session in self.sessions.values():
            if session.times[0] < after_ms:
                continue
            kept = [place for place, ts_ms in enumerate(session.times) if ts_ms < until_ms]
            kept.sort(key=session.times.__getitem__)
            if len(kept) > 1:
                found.append(session.of(kept))
        return found

    def attribute_numbers(self) -> list[list[int]]:
        """Attributes of every item as numbers: category and its parents, brand, price bucket, attributes of the
        catalogue; only those that several items share."""
        words = [_words(item) for item in self.catalogue]
        counts = Counter(word for own in words for word in own)
        numbers = {word: at for at, word in enumerate(w for w, n in counts.items() if n >= SHARED_BY_MIN)}
        return [[numbers[word] for word in own if word in numbers][:ATTRIBUTES_MAX] for own in words]


def survey(data: Path, config: Config) -> Survey:
    """Reads the whole log of `data`, which may be served meanwhile. Raises DataError."""
    log = open_log(data, config, read_only=True)
    try:
        minutes: Counter[int] = Counter()
        sessions: dict[str, Session] = {}
        users: dict[str, str] = {}
        offset = log.start()
        while True:
            events, _, end = log.events(offset, CHUNK_BYTES, ("impression", "identify", *sorted(POSITIVE)))
            for _, kind, user, session_id, items, ts_ms, _, _, _ in events:
                if user is not None:
                    users.setdefault(session_id, user)
                if kind == "identify":
                    continue
                if kind == "impression":
                    minutes[ts_ms // MINUTE_MS] += 1
                    continue
                session = sessions.get(session_id)
                if session is None:
                    session = sessions[session_id] = Session([], [], [])
                session.items.extend(items)
                session.times.extend([ts_ms] * len(items))
                session.actions.extend([kind] * len(items))
            if end == offset:
                wanted = {k: s for k, s in sessions.items() if s.items}
                return Survey(minutes, wanted, *_catalogue(log), {k: u for k, u in users.items() if k in wanted})
            offset = end
    finally:
        log.close()


def _catalogue(log: Log) -> tuple[list[CatalogueItem], bool]:
    """Every item as it was put last, and whether there is a decision in the log."""
    read = msgspec.json.Decoder(CatalogueItem).decode
    found: dict[str, CatalogueItem] = {}
    decided = False
    offset = log.start()
    while frames := log.frames(offset, CHUNK_BYTES):
        for _, _, kind, _, _, _, body in frames:
            if kind == ITEM_KIND:
                item = read(body)
                found[item.id] = item
            decided = decided or kind == DECISION_KIND
        offset = frames[-1][1]
    return list(found.values()), decided


def _words(item: CatalogueItem) -> list[str]:
    words: list[str] = []
    for path in item.categories:
        parts = path.split(" > ")
        words.extend(f"category {' > '.join(parts[: n + 1])}" for n in reversed(range(len(parts))))
    if item.brand:
        words.append(f"brand {item.brand}")
    if item.price is not None and item.price >= 0:
        words.append(f"price {math.floor(2 * math.log2(1 + item.price))}")
    words.extend(f"{key} {value}" for key, value in sorted(item.attributes.items()) if isinstance(value, str))
    return list(dict.fromkeys(words))
