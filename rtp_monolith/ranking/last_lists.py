"""The latest list of each visitor and surface: the answer when there is no other, and what the next may differ from.

Invariant: bounded. It does not know how lists are made, nor that those of before a restart come back from the log.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from rtp_monolith._native import Ranked
from rtp_monolith.ranking.pages import Visitor
from rtp_monolith.ranking.run import Run

LAST_LISTS_MAX = 10_000


class Kept(msgspec.Struct, frozen=True):
    """A list, when and by which bundle it was made, and what the visitor had done and asked by then (0 where nobody
    wants to know)."""

    ranked: Ranked
    made_ms: int
    evidence: int
    bundle: str


class LastLists:
    """The one not used longest goes first."""

    def __init__(self, size_max: int = LAST_LISTS_MAX) -> None:
        self._size_max = size_max
        self._kept: OrderedDict[Visitor, Kept] = OrderedDict()

    def keep(self, run: Run) -> None:
        """Takes over the list of a run; further pages and given items are no lists to come back to."""
        if run.is_given or run.page.shown:
            return
        self.put(run.visitor, Kept(run.ranked, run.made_ms, run.evidence, run.bundle))

    def put(self, visitor: Visitor, kept: Kept) -> None:
        """The list of a visitor, in the place of the one before."""
        self._kept[visitor] = kept
        self._kept.move_to_end(visitor)
        if len(self._kept) > self._size_max:
            self._kept.popitem(last=False)

    def seen(self, run: Run) -> Kept | None:
        """The list before; it stays where it is."""
        return self._kept.get(run.visitor)

    def of(self, run: Run) -> Ranked | None:
        """The list before, to be shown again."""
        kept = self._kept.pop(run.visitor, None)
        return None if kept is None else kept.ranked
