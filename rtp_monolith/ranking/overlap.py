"""What a bundle in the shadow would have shown: a sample of lists made again with it, beside the loop's other work.

Invariant: a shadow list is compared only if nothing that the user did came between, is never logged and never sent. It
does not know how a list is made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from rtp_monolith.ranking.guard import Count
from rtp_monolith.records import RecommendRequest

WAITING_MAX = 64
TOP = 10

Again = Callable[[RecommendRequest], tuple[Sequence[str], int, Sequence[str], float]]
"""The items, state version, steps down and time (ms) of a list made with the bundle in the shadow."""


class Overlap(msgspec.Struct, frozen=True):
    """So far: lists made again, those with a stage missing, the mean share of the first `TOP` that both show, the mean
    share of lists whose first item is the same; `moved` were not compared because the user did something meanwhile,
    `skipped` not made because others waited."""

    lists: int
    failed: int
    overlap: float
    first_same: float
    p95_ms: float
    moved: int
    skipped: int


class Served(msgspec.Struct, frozen=True):
    """A list that was sent: who asked, what it showed, of which state."""

    request: RecommendRequest
    items: tuple[str, ...]
    state_version: int


class Shadow:
    def __init__(self, again: Again) -> None:
        self._again = again
        self._waiting: deque[Served] = deque()
        self._count = Count()
        self._overlap_sum = 0.0
        self._first_same = 0
        self._moved = 0
        self._skipped = 0

    def put(self, served: Served) -> None:
        if len(self._waiting) >= WAITING_MAX:
            self._skipped += 1
        else:
            self._waiting.append(served)

    def step(self) -> bool:
        """Makes one list again; False when none waits."""
        if not self._waiting:
            return False
        served = self._waiting.popleft()
        items, version, degraded, took_ms = self._again(served.request)
        if version != served.state_version:
            self._moved += 1
            return True
        self._count.add(degraded, len(items), took_ms)
        ours, theirs = served.items[:TOP], tuple(items[:TOP])
        longest = max(len(ours), len(theirs))
        self._overlap_sum += len(set(ours) & set(theirs)) / longest if longest else 1.0
        self._first_same += ours[:1] == theirs[:1]
        return True

    def report(self) -> Overlap:
        side, n = self._count.side(0), max(1, self._count.lists)
        return Overlap(
            side.lists,
            side.failed,
            self._overlap_sum / n,
            self._first_same / n,
            side.p95_ms,
            self._moved,
            self._skipped,
        )
