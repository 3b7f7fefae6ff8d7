"""Third stage: what may be shown, and of that the best by a light model; without it, the best of the sources."""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.run import Run

EVERY = 1 << 20
"""More candidates than recall ever brings."""
CHOICE = 5
"""Candidates for each place of a list whose rules choose; where the sources find fewer, the catalogue adds some."""


class Prerank:
    """Leaves at most `ranked_max` candidates, at least `k` where the catalogue has that many."""

    def __init__(self, core: Core, gate: Gate, ranked_max: int) -> None:
        self._core = core
        self._gate = gate
        self._ranked_max = ranked_max

    def __call__(self, run: Run) -> None:
        limit = max(self._ranked_max, run.k)
        declared = run.surface.declared
        # Where the sources' own score counts it decides what is looked at closer; a last list keeps its order.
        light = run.active is not None and declared.rank == "model" and declared.recall_weight == 0
        if run.is_last_list or not self._gate.run(run, lambda share: self._prerank(run, limit, share, light)):
            self._prerank(run, limit, 1.0, light=False)
        run.times.done("prerank")

    def _prerank(self, run: Run, limit: int, share: float, light: bool) -> None:
        limit = max(run.k, int(limit * share))
        # Rules that choose among items need items to choose among.
        wanted = min(limit, CHOICE * run.k) if run.surface.chooses else run.k
        if run.scores is None:
            self._core.prerank(run.ask, run.ranked, limit, wanted, light)
            return
        # Who asks why is told of those that were cut too.
        self._core.prerank(run.ask, run.ranked, EVERY, wanted, light)
        run.note("prerank", self._core.shown(run.ranked))
        run.prerank_limit = limit
        run.ranked.truncate(limit)
