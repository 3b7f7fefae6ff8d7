"""One look over a log before training: when lists were shown, what sessions wanted, what the catalogue says of items.

Invariant: `cut_ms` splits the impressions by time, so everything that is learned from one side is older than all of the
other. It does not know models; impressions are counted by the minute, so memory does not grow with them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from rtp_monolith._native import Log, decision_json
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.context_words import FIELDS, NOTHING_SAID, Said
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
    `decided`: a shard's own lists are in the log; `users`: whose a session is, the first that it was linked to;
    `contexts`: device, country and channel of a session, the first of each that its events or its lists' requests
    say."""

    minutes: Counter[int]
    sessions: dict[str, Session]
    catalogue: list[CatalogueItem]
    decided: bool
    users: dict[str, str] = {}
    contexts: dict[str, Said] = {}

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


def survey(data: Path, config: Config, *, contexts: bool = False) -> Survey:
    """Reads the whole log of `data`, which may be served meanwhile; contexts where they are asked for. Raises
    DataError."""
    log = open_log(data, config, read_only=True)
    try:
        minutes: Counter[int] = Counter()
        sessions: dict[str, Session] = {}
        users: dict[str, str] = {}
        told = _Contexts()
        offset = log.start()
        while True:
            events, lists, end = log.events(offset, CHUNK_BYTES, ("impression", "identify", *sorted(POSITIVE)))
            if contexts:
                told.decided(lists)
            for _, kind, user, session_id, items, ts_ms, _, _, props in events:
                if contexts and props:
                    told.said(session_id, props)
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
                known = {k: u for k, u in users.items() if k in wanted}
                said = {k: each for k, each in told.by_session.items() if k in wanted}
                return Survey(minutes, wanted, *_catalogue(log), known, said)
            offset = end
    finally:
        log.close()


class _Asked(msgspec.Struct, frozen=True):
    """Of a decision, whose list it was and what its request said."""

    session_id: str
    context: dict[str, object] = {}


class _Contexts:
    """What sessions say of their context, the first of each field; equal ones are one object."""

    def __init__(self) -> None:
        self.by_session: dict[str, Said] = {}
        self._same: dict[Said, Said] = {}
        self._read = msgspec.json.Decoder(_Asked).decode

    def said(self, session_id: str, told: Mapping[str, object]) -> None:
        known = self.by_session.get(session_id, NOTHING_SAID)
        if None in known:
            device, country, channel = (
                had or (value if isinstance(value := told.get(field), str) and value else None)
                for had, field in zip(known, FIELDS, strict=False)
            )
            made = (device, country, channel)
            if made != known:
                self.by_session[session_id] = self._same.setdefault(made, made)

    def decided(self, lists: Iterable[tuple[int, int, bytes]]) -> None:
        for _, _, body in lists:
            asked = self._read(decision_json(body))
            if asked.context:
                self.said(asked.session_id, asked.context)


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
