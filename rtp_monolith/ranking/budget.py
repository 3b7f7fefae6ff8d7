"""What a stage may cost, and what happens when it costs more: the gate that every stage of a list goes through.

A gate looks at the time that is left before its stage begins. It lets the whole stage through, or a part of it (fewer
candidates) when the time is short, or none. A stage that failed or overran several times in a row is left out for a
while, then tried once: one success and it is back.

Invariant: whatever a stage does, the gate answers, and what the list had to do without is named in `degraded`. It does
not know what stages do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from rtp_monolith.breaker import Breaker
from rtp_monolith.clock import Clock
from rtp_monolith.ranking.faults import Faults, Overrun

log = logging.getLogger(__name__)

SMOOTHING = 1 / 16
SHARE_MIN = 0.1
"""A smaller part of a stage is not worth beginning."""
MARGIN = 1.5
"""Time to have before a stage begins, as a multiple of what it takes on average."""
RESERVE_S = 0.001
"""Kept for what comes after the stages: the decision, the reply."""


class Timed(Protocol):
    """A list being made: when it is due, and what it had to do without."""

    @property
    def deadline_s(self) -> float: ...
    def step_down(self, code: str) -> None: ...


class Gate:
    """One stage, for all lists. `failed` and `slow` are the codes of what it cannot give.

    A `must` stage is begun however little time is left.
    """

    def __init__(
        self,
        name: str,
        budget_ms: float,
        breaker: Breaker,
        clock: Clock,
        faults: Faults,
        *,
        failed: str,
        slow: str,
        must: bool = False,
    ) -> None:
        self.name = name
        self.failed = failed
        self.slow = slow
        self._must = must
        self._budget_s = budget_ms / 1000
        self._breaker = breaker
        self._now = clock.monotonic_s
        self._faults = faults
        self._cost_s = 0.0
        self._reason = failed

    def run(self, timed: Timed, work: Callable[[float], object]) -> bool:
        """Does `work(share)`, `share` in (0, 1] of the stage; False when the list has to do without it."""
        began_s = self._now()
        left_s = timed.deadline_s - RESERVE_S - began_s
        if not self._breaker.allows(began_s):
            timed.step_down(self._reason)
            return False
        share = self._share(left_s)
        if share == 0.0:
            # Believed a little cheaper each time, so that one long pause does not keep a stage out for ever.
            self._cost_s -= self._cost_s * SMOOTHING
            timed.step_down(self.slow)
            return False
        try:
            if self._faults:
                self._faults.strike(self.name, min(self._budget_s, left_s))
            work(share)
        except Overrun:
            self._bad(self.slow)
        except Exception:
            if not self._breaker.counting:
                log.warning("the stage %s failed, lists do without it", self.name, exc_info=True)
            self._bad(self.failed)
        else:
            self._ended(self._now() - began_s, share)
            if share < 1.0:
                timed.step_down(self.slow)
            return True
        timed.step_down(self._reason)
        return False

    def allowed_s(self, timed: Timed) -> float:
        """What is left for the stage: of its budget, and of the list's time."""
        return min(self._budget_s, timed.deadline_s - RESERVE_S - self._now())

    def _share(self, left_s: float) -> float:
        """How much of the stage the time left suffices for: 1 is all of it, 0 is not worth it."""
        if self._must:
            return 1.0
        if left_s <= 0.0:
            return 0.0
        wanted_s = self._cost_s * MARGIN
        if left_s >= wanted_s:
            return 1.0
        share = left_s / wanted_s
        return share if share >= SHARE_MIN else 0.0

    def _ended(self, taken_s: float, share: float) -> None:
        self._cost_s += (min(taken_s / share, 2 * self._budget_s) - self._cost_s) * SMOOTHING
        if taken_s > self._budget_s:
            self._bad(self.slow)
        else:
            self._breaker.good()

    def _bad(self, reason: str) -> None:
        self._reason = reason
        self._breaker.bad(self._now())
