"""Fifth stage: the places of the list, under what the surface declares: less of the same, its rules, its stability.

Without new evidence a stable surface shows the list that it showed; with some, what stays in the list moves no further
than declared. Without the stage a list has the best, in the order of their worth.
"""

from __future__ import annotations

from rtp_monolith._native import Core, Ranked
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.last_lists import LastLists
from rtp_monolith.ranking.prerank import CHOICE
from rtp_monolith.ranking.run import Run


class Rerank:
    def __init__(self, core: Core, gate: Gate, last: LastLists) -> None:
        self._core = core
        self._gate = gate
        self._last = last

    def __call__(self, run: Run) -> None:
        if run.scores is not None:
            run.ordered = [item_id for item_id, _, _ in self._core.shown(run.ranked)]
        if run.is_last_list or not self._gate.run(run, lambda share: self._rerank(run)):
            run.ranked.truncate(run.k)
        run.times.done("rerank")

    def _rerank(self, run: Run) -> None:
        surface = run.surface
        if surface.is_plain:
            self._core.diversify(run.ask, run.ranked, run.k)
            return
        before = self._before(run)
        if run.stays:
            return
        if surface.is_bare:
            # What stands further down would not rise to the first `k` for being different.
            run.ranked.truncate(CHOICE * run.k)
        stability = surface.declared.stability
        moves_max = None if stability is None else stability.moves_max
        self._core.arrange(run.ask, run.ranked, run.k, before, moves_max, run.scores is not None)

    def _before(self, run: Run) -> Ranked | None:
        """The list that this one may differ from so far; it is the list again when nothing speaks against it."""
        keep_ms = run.surface.keep_ms
        if keep_ms is None or run.page.shown or run.is_apart:
            return None
        run.evidence = self._core.evidence(run.ask)
        kept = self._last.seen(run)
        if kept is None or run.made_ms - kept.made_ms >= keep_ms:
            return None
        alike = (kept.evidence, kept.bundle) == (run.evidence, run.bundle)
        if alike and self._core.may_stay(run.ask, kept.ranked, run.k):
            run.ranked, run.rows, run.made_ms, run.stays = kept.ranked, None, kept.made_ms, True
        return kept.ranked
