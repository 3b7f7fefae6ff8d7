"""The protocols of `rtp evaluate`: which sessions are learned from, and which lists are asked for.

`prefixes`: session a b c asks after a for b and after ab for c. `leave-one-out`: the last item of each user, the one
before for validation. `stream`: every test event in time order over all sessions, the first of a session included.
Invariant: a case knows only items of the sessions that were learned from; everything else is dropped from what the
model sees, and is a miss as a target. It does not know models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.errors import DataError
from rtp_monolith.training.sessions import UNKNOWN, Recorded, Vocabulary

Protocol = Literal["prefixes", "leave-one-out", "stream"]
VALIDATION_SHARE = 0.1
LEAVE_ONE_OUT_MIN = 3


class Cases(msgspec.Struct, frozen=True):
    """Lists to ask for: case i sees `sessions[of[i]][:upto[i]]` (known items, oldest first) and wants `targets[i]`, -1
    if nobody can know it. `removes_seen`: items of the history are not in the list. `live`: what happened is known to
    the next case, as served. `keys`: the sessions' places in the training data where they are in it, else empty."""

    sessions: list[list[int]]
    of: NDArray[np.int64]
    upto: NDArray[np.int64]
    targets: NDArray[np.int64]
    removes_seen: bool = False
    live: bool = False
    keys: list[int] = []

    def __len__(self) -> int:
        return len(self.targets)

    def history(self, case: int) -> list[int]:
        return self.sessions[int(self.of[case])][: int(self.upto[case])]

    def sample(self, count: int) -> Cases:
        """At most `count` cases, evenly spread."""
        if len(self) <= count or self.live:
            return self
        taken = np.linspace(0, len(self) - 1, count).astype(np.int64)
        return msgspec.structs.replace(self, of=self.of[taken], upto=self.upto[taken], targets=self.targets[taken])


class Split(msgspec.Struct, frozen=True):
    """What to learn from and what to ask. `validation` is asked of a model of `fit`; `test` of one of `fit`, or of
    `refit` when that is trained again. All are item numbers of one vocabulary; cases leave out what is not known."""

    vocabulary: Vocabulary
    fit: list[list[int]]
    refit: list[list[int]]
    validation: Callable[[NDArray[np.bool_]], Cases]
    test: Callable[[NDArray[np.bool_]], Cases]


def seen_items(sessions: Sequence[Sequence[int]], items: int) -> NDArray[np.bool_]:
    """Which of the items occur."""
    seen = np.zeros(items, dtype=bool)
    for session in sessions:
        seen[session] = True
    return seen


def prefix_cases(sessions: Sequence[Sequence[int]], known: NDArray[np.bool_]) -> Cases:
    """One case per click but the first of each session, unknown clicks included as targets."""
    return _cases(((session, 1) for session in sessions), known)


def last_cases(histories: Sequence[Sequence[int]], targets: Sequence[int], known: NDArray[np.bool_]) -> Cases:
    """One case per user: the whole history, and the item after it."""
    cases = _cases((([*own, target], len(own)) for own, target in zip(histories, targets, strict=True)), known)
    return msgspec.structs.replace(cases, removes_seen=True, keys=list(range(len(histories))))


def stream_cases(past: Sequence[Sequence[int]], events: Sequence[tuple[int, int]], known: NDArray[np.bool_]) -> Cases:
    """`events` are (session, item) in time order; the sessions below len(past) go on from there."""
    sessions = [[item for item in session if item != UNKNOWN and known[item]] for session in past]
    of, upto, targets = [], [], []
    for session, item in events:
        while len(sessions) <= session:
            sessions.append([])
        of.append(session)
        upto.append(len(sessions[session]))
        can_know = item != UNKNOWN and bool(known[item])
        targets.append(item if can_know else UNKNOWN)
        if can_know:
            sessions[session].append(item)
    return Cases(sessions, _array(of), _array(upto), _array(targets), live=True, keys=list(range(len(sessions))))


def _cases(asked: Iterator[tuple[Sequence[int], int]], known: NDArray[np.bool_]) -> Cases:
    """Cases of (session, first place asked for)."""
    sessions: list[list[int]] = []
    of, upto, targets = [], [], []
    for session, first in asked:
        own: list[int] = []
        for place, item in enumerate(session):
            can_know = item != UNKNOWN and bool(known[item])
            if place >= first:
                of.append(len(sessions))
                upto.append(len(own))
                targets.append(item if can_know else UNKNOWN)
            if can_know:
                own.append(item)
        sessions.append(own)
    return Cases(sessions, _array(of), _array(upto), _array(targets))


def _array(column: list[int]) -> NDArray[np.int64]:
    return np.array(column, dtype=np.int64)


def split(protocol: Protocol, train: Recorded, test: Recorded, described: Iterable[str] = ()) -> Split:
    """`described` are items that attributes make rankable without a session; they come last in the vocabulary.

    Raises DataError: `too_few_sessions`, `no_cases`, `times_missing`, `files_differ`.
    """
    if protocol == "leave-one-out":
        return _split_last(train, test, described)
    if protocol == "stream":
        return _split_stream(train, test, described)
    return _split_prefixes(train, test, described)


def split_for_training(train: Recorded, described: Iterable[str] = ()) -> Split:
    """The sessions alone, with nothing to test on."""
    vocabulary = Vocabulary.of([*train.sessions, described])
    sessions = [vocabulary.encode(each) for each in train.sessions]
    cut = _cut(len(sessions))
    return Split(
        vocabulary,
        sessions[:cut],
        sessions,
        lambda known: prefix_cases(sessions[cut:], known),
        lambda known: prefix_cases([], known),
    )


def _split_prefixes(train: Recorded, test: Recorded, described: Iterable[str]) -> Split:
    vocabulary = Vocabulary.of([*train.sessions, described])
    sessions = [vocabulary.encode(each) for each in train.sessions]
    cut = _cut(len(sessions))
    asked = [vocabulary.encode(each) for each in test.sessions]
    if not any(len(each) > 1 for each in asked):
        raise DataError("no test session has two items: there is nothing to ask for", code="no_cases")
    return Split(
        vocabulary,
        sessions[:cut],
        sessions,
        lambda known: prefix_cases(sessions[cut:], known),
        lambda known: prefix_cases(asked, known),
    )


def _split_last(train: Recorded, test: Recorded, described: Iterable[str]) -> Split:
    if train.sessions != test.sessions:
        raise DataError(
            "leave-one-out asks for the last items of --train: --test is the same file", code="files_differ"
        )
    kept = [each for each in train.sessions if len(each) >= LEAVE_ONE_OUT_MIN]
    if not kept:
        raise DataError(f"no line has {LEAVE_ONE_OUT_MIN} items", code="no_cases")
    vocabulary = Vocabulary.of([*kept, described])
    sessions = [vocabulary.encode(each) for each in kept]
    return Split(
        vocabulary,
        [each[:-2] for each in sessions],
        [each[:-1] for each in sessions],
        lambda known: last_cases([each[:-2] for each in sessions], [each[-2] for each in sessions], known),
        lambda known: last_cases([each[:-1] for each in sessions], [each[-1] for each in sessions], known),
    )


def _split_stream(train: Recorded, test: Recorded, described: Iterable[str]) -> Split:
    if train.times_s is None or test.times_s is None:
        raise DataError("stream needs times: TSV files with the header SessionId ItemId Time", code="times_missing")
    vocabulary = Vocabulary.of([*train.sessions, described])
    sessions = [vocabulary.encode(each) for each in train.sessions]
    cut = _cut(len(sessions))
    places = {name: place for place, name in enumerate(train.names)}
    for name in test.names:
        places.setdefault(name, len(places))
    numbers = [places[name] for name in test.names]
    asked = _in_time_order(numbers, [vocabulary.encode(each) for each in test.sessions], test.times_s)
    slice_ = _in_time_order(list(range(cut, len(sessions))), sessions[cut:], train.times_s[cut:])
    return Split(
        vocabulary,
        sessions[:cut],
        sessions,
        lambda known: stream_cases(sessions[:cut], slice_, known),
        lambda known: stream_cases(sessions, asked, known),
    )


def _in_time_order(
    numbers: Sequence[int], sessions: Sequence[Sequence[int]], times_s: Sequence[Sequence[float]]
) -> list[tuple[int, int]]:
    """(session, item) over all sessions; equal times in the order of the sessions."""
    events = [
        (at_s, place, session, item)
        for place, (session, own, own_s) in enumerate(zip(numbers, sessions, times_s, strict=True))
        for item, at_s in zip(own, own_s, strict=True)
    ]
    events.sort(key=lambda event: event[:2])
    return [(session, item) for _, _, session, item in events]


def _cut(sessions: int) -> int:
    """How many of the sessions, in their order, are learned from before validation."""
    if sessions < 2:
        raise DataError("one training session: nothing is left to validate on", code="too_few_sessions")
    return sessions - max(1, round(sessions * VALIDATION_SHARE))
