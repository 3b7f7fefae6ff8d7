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
from rtp_monolith.features.marks import Marking, Marks
from rtp_monolith.training.sessions import UNKNOWN, Recorded, Vocabulary
from rtp_monolith.training.stamps import Ints, Stamped

Protocol = Literal["prefixes", "leave-one-out", "stream"]
VALIDATION_SHARE = 0.1
LEAVE_ONE_OUT_MIN = 3


class Cases(msgspec.Struct, frozen=True):
    """Lists to ask for: case i sees `sessions[of[i]][:upto[i]]` (known items, oldest first) and wants `targets[i]`, -1
    if nobody can know it. `removes_seen`: items of the history are not in the list. `live`: what happened is known to
    the next case, as served. `keys`: the sessions' places in the training data where they are in it, else empty.
    `marks` int64 [clicks, 2] of each of `sessions`, or None: what was said of the clicks beside their items."""

    sessions: list[list[int]]
    of: NDArray[np.int64]
    upto: NDArray[np.int64]
    targets: NDArray[np.int64]
    removes_seen: bool = False
    live: bool = False
    keys: list[int] = []
    marks: list[Ints] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def history(self, case: int) -> list[int]:
        return self.sessions[int(self.of[case])][: int(self.upto[case])]

    def marks_of(self, start: int, stop: int) -> list[Ints] | None:
        """The marks of the histories of the cases `start` … `stop` - 1."""
        if self.marks is None:
            return None
        return [self.marks[int(self.of[case])][: int(self.upto[case])] for case in range(start, stop)]

    def sample(self, count: int) -> Cases:
        """At most `count` cases, evenly spread."""
        if len(self) <= count or self.live:
            return self
        taken = np.linspace(0, len(self) - 1, count).astype(np.int64)
        return msgspec.structs.replace(self, of=self.of[taken], upto=self.upto[taken], targets=self.targets[taken])


class Split(msgspec.Struct, frozen=True):
    """What to learn from and what to ask. `validation` is asked of a model of `fit`; `test` of one of `fit`, or of
    `refit` when that is trained again. All are item numbers of one vocabulary; cases leave out what is not known.
    With `marks`, `fit_marks` and `refit_marks` are those of the sessions learned from, and cases have theirs."""

    vocabulary: Vocabulary
    fit: list[list[int]]
    refit: list[list[int]]
    validation: Callable[[NDArray[np.bool_]], Cases]
    test: Callable[[NDArray[np.bool_]], Cases]
    marks: Marks | None = None
    fit_marks: list[Ints] | None = None
    refit_marks: list[Ints] | None = None


def seen_items(sessions: Sequence[Sequence[int]], items: int) -> NDArray[np.bool_]:
    """Which of the items occur."""
    seen = np.zeros(items, dtype=bool)
    for session in sessions:
        seen[session] = True
    return seen


def prefix_cases(sessions: Sequence[Sequence[int]], known: NDArray[np.bool_], stamped: Stamped | None = None) -> Cases:
    """One case per click but the first of each session, unknown clicks included as targets."""
    return _cases(((session, 1) for session in sessions), known, stamped)


def last_cases(
    histories: Sequence[Sequence[int]], targets: Sequence[int], known: NDArray[np.bool_], stamped: Stamped | None = None
) -> Cases:
    """One case per user: the whole history, and the item after it, whose stamp is the last of its session's."""
    asked = (([*own, target], len(own)) for own, target in zip(histories, targets, strict=True))
    cases = _cases(asked, known, stamped)
    return msgspec.structs.replace(cases, removes_seen=True, keys=list(range(len(histories))))


def stream_cases(
    past: Sequence[Sequence[int]],
    events: Sequence[tuple[int, int]],
    known: NDArray[np.bool_],
    stamped: Stamped | None = None,
    stamps: Sequence[Ints] = (),
) -> Cases:
    """`events` are (session, item) in time order; the sessions below len(past) go on from there. `stamped` are those of
    the past, `stamps` those of the events."""
    sessions = [[item for item in session if _is_known(item, known)] for session in past]
    said: list[list[Ints]] = [[] for _ in past]
    if stamped is not None:
        said = [
            [own[n] for n, item in enumerate(session) if _is_known(item, known)]
            for session, own in zip(past, stamped.stamps, strict=True)
        ]
    of, upto, targets = [], [], []
    for number, (session, item) in enumerate(events):
        while len(sessions) <= session:
            sessions.append([])
            said.append([])
        of.append(session)
        upto.append(len(sessions[session]))
        can_know = _is_known(item, known)
        targets.append(item if can_know else UNKNOWN)
        if can_know:
            sessions[session].append(item)
            if stamped is not None:
                said[session].append(stamps[number])
    marks = None
    if stamped is not None:
        marks = [stamped.marks(np.array(own, np.int64).reshape(-1, 2)) for own in said]
    keys = list(range(len(sessions)))
    return Cases(sessions, _array(of), _array(upto), _array(targets), live=True, keys=keys, marks=marks)


def _cases(asked: Iterator[tuple[Sequence[int], int]], known: NDArray[np.bool_], stamped: Stamped | None) -> Cases:
    """Cases of (session, first place asked for)."""
    sessions: list[list[int]] = []
    marks: list[Ints] | None = None if stamped is None else []
    of, upto, targets = [], [], []
    for session, first in asked:
        own: list[int] = []
        kept: list[int] = []
        for place, item in enumerate(session):
            can_know = _is_known(item, known)
            if place >= first:
                of.append(len(sessions))
                upto.append(len(own))
                targets.append(item if can_know else UNKNOWN)
            if can_know:
                own.append(item)
                kept.append(place)
        if stamped is not None and marks is not None:
            marks.append(stamped.of_clicks(len(sessions), kept))
        sessions.append(own)
    return Cases(sessions, _array(of), _array(upto), _array(targets), marks=marks)


def _is_known(item: int, known: NDArray[np.bool_]) -> bool:
    return item != UNKNOWN and bool(known[item])


def _array(column: list[int]) -> NDArray[np.int64]:
    return np.array(column, dtype=np.int64)


def split(
    protocol: Protocol, train: Recorded, test: Recorded, described: Iterable[str] = (), marks: Marks | None = None
) -> Split:
    """`described` are items that attributes make rankable without a session; they come last in the vocabulary. `marks`
    are what is read of both files beside items; both then have times.

    Raises DataError: `too_few_sessions`, `no_cases`, `times_missing`, `files_differ`.
    """
    if protocol == "leave-one-out":
        return _split_last(train, test, described, marks)
    if protocol == "stream":
        return _split_stream(train, test, described, marks)
    return _split_prefixes(train, test, described, marks)


def _stamped(recorded: Recorded, marks: Marks | None) -> Stamped | None:
    return None if marks is None else Stamped.of(recorded, Marking(marks))


def _marks(stamped: Stamped | None) -> list[Ints] | None:
    return None if stamped is None else stamped.all()


def split_for_training(train: Recorded, described: Iterable[str] = (), marks: Marks | None = None) -> Split:
    """The sessions alone, with nothing to test on."""
    vocabulary = Vocabulary.of([*train.sessions, described])
    sessions = [vocabulary.encode(each) for each in train.sessions]
    cut, stamped = _cut(len(sessions)), _stamped(train, marks)
    return Split(
        vocabulary,
        sessions[:cut],
        sessions,
        lambda known: prefix_cases(sessions[cut:], known, stamped and stamped.part(cut)),
        lambda known: prefix_cases([], known, stamped),
        marks,
        _marks(stamped and stamped.part(0, cut)),
        _marks(stamped),
    )


def _split_prefixes(train: Recorded, test: Recorded, described: Iterable[str], marks: Marks | None) -> Split:
    vocabulary = Vocabulary.of([*train.sessions, described])
    sessions = [vocabulary.encode(each) for each in train.sessions]
    cut = _cut(len(sessions))
    asked = [vocabulary.encode(each) for each in test.sessions]
    if not any(len(each) > 1 for each in asked):
        raise DataError("no test session has two items: there is nothing to ask for", code="no_cases")
    stamped, tested = _stamped(train, marks), _stamped(test, marks)
    return Split(
        vocabulary,
        sessions[:cut],
        sessions,
        lambda known: prefix_cases(sessions[cut:], known, stamped and stamped.part(cut)),
        lambda known: prefix_cases(asked, known, tested),
        marks,
        _marks(stamped and stamped.part(0, cut)),
        _marks(stamped),
    )


def _split_last(train: Recorded, test: Recorded, described: Iterable[str], marks: Marks | None) -> Split:
    if train.sessions != test.sessions:
        raise DataError(
            "leave-one-out asks for the last items of --train: --test is the same file", code="files_differ"
        )
    places = [place for place, each in enumerate(train.sessions) if len(each) >= LEAVE_ONE_OUT_MIN]
    kept = [train.sessions[place] for place in places]
    if not kept:
        raise DataError(f"no line has {LEAVE_ONE_OUT_MIN} items", code="no_cases")
    vocabulary = Vocabulary.of([*kept, described])
    sessions = [vocabulary.encode(each) for each in kept]
    whole = _stamped(train, marks)
    stamped = whole and whole.chosen(places)
    shorter = stamped and stamped.but_last(1)
    return Split(
        vocabulary,
        [each[:-2] for each in sessions],
        [each[:-1] for each in sessions],
        lambda known: last_cases([each[:-2] for each in sessions], [each[-2] for each in sessions], known, shorter),
        lambda known: last_cases([each[:-1] for each in sessions], [each[-1] for each in sessions], known, stamped),
        marks,
        _marks(stamped and stamped.but_last(2)),
        _marks(shorter),
    )


def _split_stream(train: Recorded, test: Recorded, described: Iterable[str], marks: Marks | None) -> Split:
    if train.times_s is None or test.times_s is None:
        raise DataError("stream needs times: TSV files with the header SessionId ItemId Time", code="times_missing")
    vocabulary = Vocabulary.of([*train.sessions, described])
    sessions = [vocabulary.encode(each) for each in train.sessions]
    cut = _cut(len(sessions))
    places = {name: place for place, name in enumerate(train.names)}
    for name in test.names:
        places.setdefault(name, len(places))
    numbers = [places[name] for name in test.names]
    stamped, tested = _stamped(train, marks), _stamped(test, marks)
    fitted = stamped and stamped.part(0, cut)
    encoded = [vocabulary.encode(each) for each in test.sessions]
    asked, asked_stamps = _in_time_order(numbers, encoded, test.times_s, tested)
    held = stamped and stamped.part(cut)
    slice_, slice_stamps = _in_time_order(list(range(cut, len(sessions))), sessions[cut:], train.times_s[cut:], held)
    return Split(
        vocabulary,
        sessions[:cut],
        sessions,
        lambda known: stream_cases(sessions[:cut], slice_, known, fitted, slice_stamps),
        lambda known: stream_cases(sessions, asked, known, stamped, asked_stamps),
        marks,
        _marks(fitted),
        _marks(stamped),
    )


def _in_time_order(
    numbers: Sequence[int],
    sessions: Sequence[Sequence[int]],
    times_s: Sequence[Sequence[float]],
    stamped: Stamped | None,
) -> tuple[list[tuple[int, int]], list[Ints]]:
    """(session, item) over all sessions, equal times in the order of the sessions; and their stamps, if there are."""
    events = [
        (at_s, place, session, item, n)
        for place, (session, own, own_s) in enumerate(zip(numbers, sessions, times_s, strict=True))
        for n, (item, at_s) in enumerate(zip(own, own_s, strict=True))
    ]
    events.sort(key=lambda event: event[:2])
    stamps = [] if stamped is None else [stamped.stamps[place][n] for _, place, _, _, n in events]
    return [(session, item) for _, _, session, item, _ in events], stamps


def _cut(sessions: int) -> int:
    """How many of the sessions, in their order, are learned from before validation."""
    if sessions < 2:
        raise DataError("one training session: nothing is left to validate on", code="too_few_sessions")
    return sessions - max(1, round(sessions * VALIDATION_SHARE))
