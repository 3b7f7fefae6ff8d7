"""Several models on the same lists: each with its interval, and how far it is from the first, paired list by list.

Invariant: all models are asked the same cases in the same order, and every draw of the bootstrap takes the same
sessions for all. It does not know how a comparison is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from rtp_monolith.clock import Clock
from rtp_monolith.training import slices
from rtp_monolith.training.evaluate import Request, Tested, prepare, trial


class Compared(slices.Paired, frozen=True, kw_only=True):
    """One model: its report, an interval for each measure, and the difference to the first model with its interval."""

    report: dict[str, Any]

    def verdict(self, measure: str) -> str:
        """Whether the interval of the difference is on one side of nothing."""
        low, high = self.difference_intervals[measure]
        return "better" if low > 0 else "worse" if high < 0 else "no difference shown"


def compare(request: Request, models: Sequence[str], clock: Clock, tell: Callable[[str], None]) -> list[Compared]:
    """Trains and tests each model within an equal share of the time that is left."""
    prepared, tested = prepare(request, tell), list[Tested]()
    for place, model in enumerate(models):
        now_s = clock.monotonic_s()
        until_s = now_s + (request.until_s - now_s) / (len(models) - place)
        own = msgspec.structs.replace(request, model=model, until_s=until_s)
        tested.append(trial(own, prepared, now_s, clock, tell))
    return paired(tested, request.k, request.seed)


def paired(tested: Sequence[Tested], k: int, seed: int) -> list[Compared]:
    """The intervals of reports on the same cases."""
    found = slices.paired([slices.measures(each.ranks, k) for each in tested], tested[0].cases.of, seed)
    return [
        Compared(report=each.report, **msgspec.structs.asdict(own)) for each, own in zip(tested, found, strict=True)
    ]
