"""Second stage: candidates from every source of the surface, merged, each with the sources that found it.

A source that failed or stalled is left out and named. Without recall the visitor gets their last list of this surface;
who has none gets what the next stage takes from the catalogue, the popular first.
"""

from __future__ import annotations

from collections.abc import Mapping

from rtp_monolith._native import Core
from rtp_monolith.breaker import Breaker
from rtp_monolith.clock import Clock
from rtp_monolith.config import Cascade
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.faults import FAULTY, STAGES, Faults, InjectedFailure, Overrun
from rtp_monolith.ranking.last_lists import LastLists
from rtp_monolith.ranking.reply import SOURCES
from rtp_monolith.ranking.run import Run

EVERY_SOURCE = (1 << len(SOURCES)) - 1
SOURCE_SHARE = 0.4
"""Of the time that recall has left, how much one stalled source may use."""


class Recall:
    def __init__(self, core: Core, gate: Gate, limits: Cascade, clock: Clock, faults: Faults, last: LastLists) -> None:
        self._core = core
        self._gate = gate
        self._candidates_max = limits.candidates_max
        self._now = clock.monotonic_s
        self._faults = faults
        self._last = last
        names = [name for name in FAULTY if name not in STAGES or name == "ann"]
        cooldown_s = limits.breaker_cooldown_ms / 1000
        self._sources: Mapping[str, Breaker] = {
            name: Breaker(limits.breaker_failures, cooldown_s) for name in names if name in SOURCES
        }
        self._reasons: dict[str, str] = {}
        self._any_bad = False

    def __call__(self, run: Run) -> None:
        if not self._gate.run(run, lambda share: self._recall(run, share)):
            kept = self._last.of(run)
            run.is_last_list = kept is not None
            run.ranked = self._core.recall(run.ask, 1, EVERY_SOURCE) if kept is None else kept
        run.times.done("recall")

    def given(self, run: Run, ids: list[str]) -> None:
        """The items of the request instead, scored by what the sources say of them."""
        run.ranked, run.unknown = self._core.rank_given(run.ask, ids)
        run.times.done("recall")

    def _recall(self, run: Run, share: float) -> None:
        failing = self._failing(run) if self._faults or self._any_bad else 0
        budget_us = max(1, int(self._gate.allowed_s(run) * 1e6))
        run.ranked = ranked = self._core.recall(run.ask, budget_us, failing)
        if any(not failing >> SOURCES.index(name) & 1 for name in ranked.skipped):
            run.step_down(self._gate.slow)
        if run.scores is not None:
            run.note("recall", self._core.shown(ranked))
        if len(ranked) > self._candidates_max:
            ranked.truncate(self._candidates_max)

    def _failing(self, run: Run) -> int:
        """Bits of the sources that are left out: those told to fail or stall, and those that did so of late."""
        mask = 0
        for name in run.surface.declared.sources:
            breaker = self._sources.get(name)
            if breaker is None:
                continue
            if breaker.allows(self._now()):
                try:
                    self._faults.strike(name, SOURCE_SHARE * self._gate.allowed_s(run))
                except Overrun:
                    self._reasons[name] = "ann_slow" if name == "ann" else f"source_failed:{name}"
                except InjectedFailure:
                    self._reasons[name] = "ann_failed" if name == "ann" else f"source_failed:{name}"
                else:
                    breaker.good()
                    continue
                breaker.bad(self._now())
            mask |= 1 << SOURCES.index(name)
            run.step_down(self._reasons[name])
        self._any_bad = any(breaker.counting for breaker in self._sources.values())
        return mask
