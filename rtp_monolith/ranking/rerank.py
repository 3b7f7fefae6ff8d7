"""Fifth stage: less of the same among the best, by maximal marginal relevance; without it, the best."""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.run import Run


class Rerank:
    def __init__(self, core: Core, gate: Gate) -> None:
        self._core = core
        self._gate = gate

    def __call__(self, run: Run) -> None:
        if run.is_last_list or not self._gate.run(run, lambda share: self._core.diversify(run.ask, run.ranked, run.k)):
            run.ranked.truncate(run.k)
        run.times.done("rerank")
