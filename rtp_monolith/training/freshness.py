"""What it costs when a list does not know what was just done: the same lists asked with the session held back.

A list is asked for right after a click. Held back by n clicks it knows all but the last n of the session; held back by
a time it knows what was at least that long ago, as a pipeline that runs so late would; held back whole it knows
nothing, and popularity answers. Invariant: one model, learned once, answers every delay on the same targets; a delay of
nothing gives the figures of `rtp evaluate`. It does not know how a delay is shown.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.features.marks import Marking
from rtp_monolith.training import slices
from rtp_monolith.training.evaluate import Request, learn, prepare
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases, prefix_cases
from rtp_monolith.training.scoring import tallied
from rtp_monolith.training.sessions import Recorded, Vocabulary, read
from rtp_monolith.training.stamps import Stamped


class Delay(msgspec.Struct, frozen=True):
    """By how much a session is held back: clicks, or seconds, or, with neither, whole."""

    name: str
    clicks: int | None = None
    seconds: float | None = None


BY_CLICKS = (*(Delay(f"{n}", clicks=n) for n in (0, 1, 2, 3, 5)), Delay("whole"))
BY_TIME = (
    Delay("0", clicks=0),
    *(Delay(name, seconds=s) for name, s in (("1 min", 60.0), ("10 min", 600.0), ("1 h", 3_600.0), ("1 d", 86_400.0))),
)


class Held(slices.Paired, frozen=True, kw_only=True):
    """Means under one delay, and the difference to no delay; `known` is the mean number of clicks that a list knows."""

    delay: Delay
    known: float


class Fresh(msgspec.Struct, frozen=True):
    """The model, how many lists each delay was asked for, and what came of it, without delay first. `by_time` is empty
    when the sessions have no times."""

    model: str
    n: int
    validation: dict[str, float]
    train_s: float
    by_clicks: list[Held]
    by_time: list[Held]


def hold_back(
    asked: Sequence[Sequence[int]],
    times_s: Sequence[Sequence[float]] | None,
    known: NDArray[np.bool_],
    delay: Delay,
    stamped: Stamped | None = None,
) -> Cases:
    """The cases of `protocols.prefix_cases`, each with what it still knows. Raises DataError `times_missing`."""
    if delay.seconds is not None and times_s is None:
        raise DataError(f"a delay of {delay.name} needs times: TSV with SessionId ItemId Time", code="times_missing")
    cases, upto = prefix_cases(asked, known, stamped), []
    for place, session in enumerate(asked):
        counted = np.concatenate([[0], np.cumsum([item >= 0 and bool(known[item]) for item in session])])
        own_s = times_s[place] if times_s is not None else ()
        upto += [int(counted[_cut(own_s, done, delay)]) for done in range(1, len(session))]
    return msgspec.structs.replace(cases, upto=np.array(upto, dtype=np.int64))


def _cut(times_s: Sequence[float], done: int, delay: Delay) -> int:
    """How many of the first `done` clicks are known right after the last of them."""
    if delay.clicks is not None:
        return max(0, done - delay.clicks)
    if delay.seconds is None:
        return 0
    return bisect_right(times_s, times_s[done - 1] - delay.seconds, hi=done) if delay.seconds > 0 else done


def freshness(request: Request, clock: Clock, tell: Callable[[str], None]) -> Fresh:
    """Learns once, then asks the test lists under every delay. Raises DataError."""
    began_s = clock.monotonic_s()
    prepared = prepare(request, tell)
    made = learn(request, prepared.parts, prepared.described, clock, tell)
    train_s = clock.monotonic_s() - began_s
    recorded = read(request.test)
    asked, marks = _numbers(recorded, prepared.parts.vocabulary), prepared.parts.marks
    stamped = None if marks is None else Stamped.of(recorded, Marking(marks))
    popular = Popularity.of(made.data.sessions, made.data.items)
    delays = [*BY_CLICKS, *(BY_TIME[1:] if recorded.times_s is not None else ())]
    every, per_case = [], []
    for delay in delays:
        cases = hold_back(asked, recorded.times_s, made.data.known, delay, stamped)
        tell(f"{made.learner.name}: {len(cases)} lists, held back by {delay.name}")
        tally = tallied(made.scorer, cases, popular, made.data.known, request.k, made.data.trained)
        every.append(cases)
        per_case.append(slices.measures(tally.ranks(), request.k))
    held = [
        Held(delay=delay, known=float(cases.upto.mean()), **msgspec.structs.asdict(own))
        for delay, cases, own in zip(delays, every, slices.paired(per_case, every[0].of, request.seed), strict=True)
    ]
    clicks = len(BY_CLICKS)
    validation = {"hr": made.validation.hr, "mrr": made.validation.mrr, "ndcg": made.validation.ndcg}
    return Fresh(
        model=made.learner.name,
        n=len(every[0]),
        validation=validation,
        train_s=round(train_s, 3),
        by_clicks=held[:clicks],
        by_time=[msgspec.structs.replace(held[0], delay=BY_TIME[0]), *held[clicks:]] if held[clicks:] else [],
    )


def _numbers(recorded: Recorded, vocabulary: Vocabulary) -> list[list[int]]:
    return [vocabulary.encode(each) for each in recorded.sessions]
