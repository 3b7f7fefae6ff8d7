"""Fourth stage: the ranker's probabilities, made into what each item is worth on this surface.

Without it the order is the one that came in: that of the light model, or of the sources.
"""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.faults import Overrun
from rtp_monolith.ranking.run import Run


class Rank:
    def __init__(self, core: Core, gate: Gate) -> None:
        self._core = core
        self._gate = gate

    def __call__(self, run: Run) -> None:
        active = run.active
        wanted = active is not None and run.surface.declared.rank == "model" and not run.is_last_list
        if active is not None and wanted and len(run.ranked) > 0:
            self._gate.run(run, lambda share: self._rank(run, active, share))
        run.times.done("rank")

    def _rank(self, run: Run, active: Active, share: float) -> None:
        core, ranked, surface = self._core, run.ranked, run.surface
        if share < 1.0:
            if run.is_given:
                raise Overrun("all given items must be ranked, and there is no time for all")
            ranked.truncate(max(run.k, int(len(ranked) * share)))
        run.rows = core.rows(run.ask, ranked, active.bundle.plan)
        probabilities = active.bundle.ranker.score(run.rows)
        told = surface.sending is not None or run.scores is not None
        ids = [item_id for item_id, _, _ in core.shown(ranked)] if told else []
        columns = active.columns[surface.name]
        worth = core.weigh(ranked, probabilities, surface.value.worth, columns, surface.declared.recall_weight)
        if surface.sending is not None:
            run.worth = dict(zip(ids, worth.tolist(), strict=True))
        if run.scores is not None:
            for head, column in zip(active.bundle.ranker.heads, probabilities.T.tolist(), strict=True):
                run.scores[head] = dict(zip(ids, column, strict=True))
            run.note("value", core.shown(ranked))
