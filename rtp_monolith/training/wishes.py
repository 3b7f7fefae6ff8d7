"""What people wanted next, with all that is known at that moment: the vector of a user's past up to the night before,
the session's so far, what was said of the context, and the item.

A case is one item of a session that the session had not wanted before. Invariant: nothing of a case is younger than its
item, and its past ends at the midnight before its session began, as with a nightly job. It does not know how vectors
are put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.context_words import (
    FIELDS,
    NONE,
    NOTHING_SAID,
    ContextNumbers,
    ContextWords,
    Said,
    frequent,
)
from rtp_monolith.features.marks import Marking, latest
from rtp_monolith.features.taste import TasteSettings, directions, night_before, tastes_at
from rtp_monolith.training.export_asking import Encoded, opened
from rtp_monolith.training.survey import Session, Survey

BATCH = 512
VALUE_VISITS_MIN = 20
"""Visits that teach what a value of a context stands for."""


class Visit(msgspec.Struct, frozen=True):
    """One session, of a user or of nobody known: items by number, times in ms and event types, in the order of the
    times, and what it said of its context."""

    user: str | None
    items: NDArray[np.int64]
    times: NDArray[np.int64]
    actions: list[str]
    said: Said = NOTHING_SAID


class Wishes(msgspec.Struct, frozen=True):
    """Cases side by side. `static` f32 [visits, d] is the past of each visit, zeros for none, `visit` int64 [n] the one
    of a case; `session` f32 [n, d] with `clicks` int64 [n] items in it, zeros for 0; `target` int64 [n]; `before` int64
    [n, length] what the session wanted already, -1 on the left; `ts_ms` int64 [n]; `context` int64 [n, fields] numbers
    of its context, negative for unknown values, or None where nobody asked."""

    static: NDArray[np.float32]
    visit: NDArray[np.int64]
    session: NDArray[np.float32]
    clicks: NDArray[np.int64]
    target: NDArray[np.int64]
    before: NDArray[np.int64]
    ts_ms: NDArray[np.int64]
    context: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.target)

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Those of the context, int64 [n, fields]."""
        return np.full((len(self), len(FIELDS)), NONE, np.int64) if self.context is None else self.context

    @property
    def pasts(self) -> NDArray[np.float32]:
        """The static vector of each case, [n, d]."""
        made: NDArray[np.float32] = self.static[self.visit]
        return made

    @property
    def has_past(self) -> NDArray[np.bool_]:
        return np.asarray(self.pasts.any(axis=1))

    def between(self, after_ms: int, until_ms: int) -> Wishes:
        """The cases of visits that lie within these moments, whole visits by their first case."""
        first = np.full(len(self.static), np.iinfo(np.int64).max)
        np.minimum.at(first, self.visit, self.ts_ms)
        begun = first[self.visit]
        return self.of(np.flatnonzero((begun >= after_ms) & (begun < until_ms) & (self.ts_ms < until_ms)))

    def of(self, rows: NDArray[np.int64]) -> Wishes:
        return Wishes(
            self.static, self.visit[rows], self.session[rows], self.clicks[rows], self.target[rows],
            self.before[rows], self.ts_ms[rows], None if self.context is None else self.context[rows],
        )  # fmt: skip

    def said_with(self, words: ContextWords, found: Sequence[Visit]) -> Wishes:
        """With the numbers of what the visits said, at the moment of each case."""
        numbers = ContextNumbers(words)
        told = [
            numbers.of(found[visit].said, ts_ms)
            for visit, ts_ms in zip(self.visit.tolist(), self.ts_ms.tolist(), strict=True)
        ]
        return msgspec.structs.replace(self, context=np.array(told, np.int64).reshape(len(self), len(FIELDS)))

    def words(self, found: Sequence[Visit]) -> ContextWords:
        """The values that are worth a number: those of enough visits, each by its first case."""
        _, first = np.unique(self.visit, return_index=True)
        said = ((found[self.visit[at]].said, int(self.ts_ms[at])) for at in first.tolist())
        return frequent(said, VALUE_VISITS_MIN)


def visits(survey: Survey, items: Sequence[str], *, strangers: bool = False) -> list[Visit]:
    """The sessions of known users, or of everybody, of the items that have a vector, oldest first."""
    numbers = {item: at for at, item in enumerate(items)}
    found = []
    for session_id, session in survey.sessions.items():
        user = survey.users.get(session_id)
        if user is None and not strangers:
            continue
        own = session.of(_known(session, numbers))
        if own.items:
            taken = np.array([numbers[item] for item in own.items], np.int64)
            said = survey.contexts.get(session_id, NOTHING_SAID)
            found.append(Visit(user, taken, np.array(own.times, np.int64), own.actions, said))
    found.sort(key=lambda visit: int(visit.times[0]))
    return found


def _known(session: Session, numbers: dict[str, int]) -> list[int]:
    places = [place for place, item in enumerate(session.items) if item in numbers]
    return sorted(places, key=session.times.__getitem__)


def pasts(found: Sequence[Visit], vectors: NDArray[np.float32], settings: TasteSettings) -> NDArray[np.float32]:
    """The static vector of each visit's user up to the midnight before it, [visits, d]; zeros for a stranger's."""
    made, unit = np.zeros((len(found), vectors.shape[1]), np.float32), directions(vectors)
    for wants in _by_user(found, settings):
        cuts = np.array([night_before(int(found[place].times[0])) for place in wants.places], np.int64)
        made[wants.places] = wants.at(unit, cuts, settings.half_life_days)
    return made


def nightly(
    found: Sequence[Visit], vectors: NDArray[np.float32], settings: TasteSettings, until_ms: int
) -> tuple[list[str], NDArray[np.float32]]:
    """Users with their static vectors [users, d], of all that each wanted before a moment; only those with any."""
    users: list[str] = []
    made, unit = [np.zeros((0, vectors.shape[1]), np.float32)], directions(vectors)
    cut = np.array([until_ms], np.int64)
    for wants in _by_user(found, settings):
        vector = wants.at(unit, cut, settings.half_life_days)
        if vector.any():
            users.append(wants.user)
            made.append(vector)
    return users, np.concatenate(made)


class _Wants(msgspec.Struct, frozen=True):
    """All that one user wanted, in the order of time, and the places of their visits."""

    user: str
    places: list[int]
    items: NDArray[np.int64]
    times: NDArray[np.int64]
    weights: NDArray[np.float64]

    def at(self, unit: NDArray[np.float64], cuts: NDArray[np.int64], half_life_days: float) -> NDArray[np.float32]:
        """Static vectors [cuts, d] from the directions [items, d]."""
        return tastes_at(unit[self.items], self.times, self.weights, cuts, half_life_days)


def _by_user(found: Sequence[Visit], settings: TasteSettings) -> Iterator[_Wants]:
    by_user: dict[str, list[int]] = {}
    for place, visit in enumerate(found):
        if visit.user is not None:
            by_user.setdefault(visit.user, []).append(place)
    for user, places in by_user.items():
        items = np.concatenate([found[place].items for place in places])
        times = np.concatenate([found[place].times for place in places])
        weights = np.array([settings.weight(action) for place in places for action in found[place].actions])
        order = np.argsort(times, kind="stable")
        yield _Wants(user, places, items[order], times[order], weights[order])


class Pasts:
    """The static vector of any user at any moment, as the nightly job before it would have published it."""

    def __init__(self, found: Sequence[Visit], vectors: NDArray[np.float32], settings: TasteSettings) -> None:
        self._unit = directions(vectors)
        self._half_life_days = settings.half_life_days
        self._wants: dict[str, _Wants] = {wants.user: wants for wants in _by_user(found, settings)}
        self._latest: dict[str, tuple[int, NDArray[np.float32] | None]] = {}

    def of(self, user: str | None, as_of_ms: int) -> NDArray[np.float32] | None:
        """float32 [d]; None for a stranger."""
        wants = None if user is None else self._wants.get(user)
        if user is None or wants is None:
            return None
        night = night_before(as_of_ms)
        held = self._latest.get(user)
        if held is None or held[0] != night:
            made = wants.at(self._unit, np.array([night], np.int64), self._half_life_days)[0]
            held = self._latest[user] = (night, made if made.any() else None)
        return held[1]


def wishes(found: Sequence[Visit], encoded: Encoded, static: NDArray[np.float32], after_ms: int = 0) -> Wishes:
    """A case for each item that its visit had not wanted before, with the session's vector of that moment; of visits
    that began from a moment on."""
    places, clicks, targets, times = [], [], [], []
    before: list[NDArray[np.int64]] = []
    prefixes: list[tuple[Visit, int]] = []
    for place, visit in enumerate(found):
        if visit.times[0] < after_ms:
            continue
        seen: set[int] = set()
        for at, item in enumerate(visit.items.tolist()):
            if item not in seen:
                seen.add(item)
                places.append(place)
                clicks.append(min(at, encoded.length))
                targets.append(item)
                times.append(int(visit.times[at]))
                own = np.full(encoded.length, -1, np.int64)
                taken = visit.items[max(0, at - encoded.length) : at]
                own[encoded.length - len(taken) :] = taken
                before.append(own)
                prefixes.append((visit, at))
    return Wishes(
        static,
        np.array(places, np.int64),
        _sessions(prefixes, encoded),
        np.array(clicks, np.int64),
        np.array(targets, np.int64),
        np.stack(before) if before else np.zeros((0, encoded.length), np.int64),
        np.array(times, np.int64),
    )


def _sessions(prefixes: Sequence[tuple[Visit, int]], encoded: Encoded) -> NDArray[np.float32]:
    """Vectors [n, d] of the first so many items of visits, from the exported graph."""
    graph = opened(encoded)
    marking = None if encoded.marks is None else Marking(encoded.marks)
    made = np.zeros((len(prefixes), encoded.vectors.shape[1]), np.float32)
    # Like lengths together: little padding.
    order = sorted((n for n, (_, at) in enumerate(prefixes) if at), key=lambda n: prefixes[n][1])
    for start in range(0, len(order), BATCH):
        taken = order[start : start + BATCH]
        lengths = np.array([min(prefixes[n][1], encoded.length) for n in taken], np.int64)
        given: dict[str, NDArray[np.generic]] = {"lengths": lengths}
        width = int(lengths.max())
        sequence = np.zeros((len(taken), width, encoded.vectors.shape[1]), np.float32)
        marks = np.zeros((len(taken), width, 2), np.int64)
        for row, n in enumerate(taken):
            visit, at = prefixes[n]
            sequence[row, : lengths[row]] = encoded.vectors[visit.items[at - lengths[row] : at]]
            if marking is not None:
                own = marking.of(visit.times[:at], marking.numbers(visit.actions[:at]))
                marks[row, : lengths[row]] = latest(own, encoded.length)
        given["vectors"] = sequence
        if marking is not None:
            given["marks"] = marks
        made[taken] = graph.run(["session"], given)[0]
    return made
