"""Whether a bundle that is tried on a share of the people is worse than the one in use: steps down, time, clicks.

Both are measured over the same time on people drawn by the same split, so whatever else changes, changes for both.
Invariant: no verdict before both sides have made `lists_min` lists. It does not know who is on which side, nor what is
done about a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

import msgspec

from rtp_monolith.config import Canary
from rtp_monolith.metrics import Histogram

MODEL_STEPS = ("encoder_", "prerank_", "ranker_", "rerank_", "ann_")
"""Beginnings of the codes that say that a stage of the bundle was slow or failed."""
LATENCY_QUANTILE = 0.95


class Side(msgspec.Struct, frozen=True):
    """One side of a trial so far. `failed` are lists that had to do without a stage of the bundle; `shown` are items in
    lists, `clicks` those of the people on this side; `p95_ms` is the upper bound of the histogram's bucket, 0 without
    lists."""

    lists: int
    failed: int
    shown: int
    clicks: int
    p95_ms: float


class Count:
    """What one side did."""

    __slots__ = ("failed", "lists", "shown", "times")

    def __init__(self) -> None:
        self.lists = self.failed = self.shown = 0
        self.times = Histogram()

    def add(self, degraded: Sequence[str], shown: int, took_ms: float) -> None:
        self.lists += 1
        self.failed += any(code.startswith(MODEL_STEPS) for code in degraded)
        self.shown += shown
        self.times.observe(took_ms)

    def side(self, clicks: int) -> Side:
        return Side(self.lists, self.failed, self.shown, clicks, self.times.quantile_ms(LATENCY_QUANTILE))


def verdict(stays: Side, tried: Side, guard: Canary) -> str | None:
    """Why the trial must end, in words that name figures; None while nothing speaks against it.

    Clicks are compared by the score of the difference of two proportions, the tried side's against `1 - click_drop_max`
    of the other's; `z_min` is far out because it is looked at many times.
    """
    if min(stays.lists, tried.lists) < guard.lists_min:
        return None
    failing, usual = tried.failed / tried.lists, stays.failed / stays.lists
    if failing - usual > guard.failed_max:
        return f"errors: {failing:.1%} of its lists lacked a stage, {usual:.1%} of the others"
    if tried.p95_ms > stays.p95_ms * guard.latency_ratio_max:
        return f"latency: P95 {tried.p95_ms:g} ms, {stays.p95_ms:g} ms of the others"
    if not stays.shown or not tried.shown:
        return None
    wanted, rate = stays.clicks / stays.shown * (1.0 - guard.click_drop_max), tried.clicks / tried.shown
    pooled = (stays.clicks + tried.clicks) / (stays.shown + tried.shown)
    spread = sqrt(max(pooled * (1.0 - pooled), 0.0) * (1.0 / stays.shown + 1.0 / tried.shown))
    if spread > 0.0 and (wanted - rate) / spread > guard.z_min:
        return f"clicks: {rate:.3%} of shown items, {stays.clicks / stays.shown:.3%} of the others"
    return None
