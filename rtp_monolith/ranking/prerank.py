"""Third stage: what may be shown, and of that the best by a light model; without it, the best of the sources."""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.run import Run


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
        if run.scores is not None:
            run.note("prerank", self._core.shown(run.ranked))
        run.times.done("prerank")

    def _prerank(self, run: Run, limit: int, share: float, light: bool) -> None:
        self._core.prerank(run.ask, run.ranked, max(run.k, int(limit * share)), run.k, light)
