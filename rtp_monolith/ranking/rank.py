"""Fourth stage: the ranker's probabilities, made into what each item is worth on this surface.

Without it the order is the one that came in: that of the light model, or of the sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Core
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.faults import Overrun
from rtp_monolith.ranking.run import Run

_NO_FIELDS = np.empty((0, 0), np.float32)


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
        fields = core.numbers(ranked, surface.value.fields) if surface.value.fields else _NO_FIELDS
        columns = active.columns[surface.name]
        # None is all of them in their order: picking columns copies.
        worth = surface.value(probabilities if columns is None else probabilities[:, columns], fields)
        wanted = surface.declared.recall_weight > 0 or run.scores is not None or surface.sending is not None
        found = core.shown(ranked) if wanted else []
        if surface.sending is not None:
            run.worth = dict(zip((item_id for item_id, _, _ in found), worth.tolist(), strict=True))
        if surface.declared.recall_weight > 0:
            merged = np.array([score for _, score, _ in found], np.float32)
            worth = blend(merged, worth, surface.declared.recall_weight)
        if run.scores is not None:
            ids = [item_id for item_id, _, _ in found]
            for head, column in zip(active.bundle.ranker.heads, probabilities.T.tolist(), strict=True):
                run.scores[head] = dict(zip(ids, column, strict=True))
            run.scores["value"] = dict(zip(ids, worth.tolist(), strict=True))
        core.set_scores(ranked, worth)


def blend(found: NDArray[np.float32], worth: NDArray[np.float32], weight: float) -> NDArray[np.float32]:
    """`weight` of how surely the sources found it, the rest of what it is worth; each scaled to [0, 1] in the list."""
    return (weight * _scaled(found) + (1.0 - weight) * _scaled(worth)).astype(np.float32)


def _scaled(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    low = scores.min()
    span = scores.max() - low
    return (scores - low) / span if span > 0 else np.zeros_like(scores)
