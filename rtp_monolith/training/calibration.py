"""A head's probabilities made honest on a slice of its own: Platt's sigmoid or an isotonic curve of its logits.

Both are one form, `Curve`, so that an exported graph knows one. The isotonic curve is linear between the centres of the
blocks that pooling adjacent violators leaves (Zadrozny and Elkan, KDD 2002; the centres are those of Oron and Flournoy,
2017), in logits, and goes on at Platt's slope beyond them. Invariant: a curve rises everywhere, so it never changes the
order of a head's rows. It does not know where logits come from.
"""

from __future__ import annotations

import itertools
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.training.measures import Labels, Numbers, calibration_error

Method = Literal["platt", "isotonic"]
METHODS: tuple[Method, ...] = ("platt", "isotonic")
BLOCK_ROWS_MIN = 50
BLOCKS_MAX = 24
CELLS_MAX = 1000
"""Rows are counted in so many cells of equal mass at most before neighbours are pooled."""
APART_MIN = 1e-2
"""Blocks whose centres are nearer, in logits, are one: the slope between them would be chance."""


class Curve(msgspec.Struct, frozen=True):
    """slope * logit + shift, and for each (at, more) of `bends` `more * max(0, logit - at)` on top."""

    slope: float = 1.0
    shift: float = 0.0
    bends: list[tuple[float, float]] = []

    def logits(self, logits: NDArray[np.floating]) -> Numbers:
        """Calibrated logits, float64, of the shape given."""
        x = logits.astype(np.float64)
        made = self.slope * x + self.shift
        for at, more in self.bends:
            made += more * np.maximum(x - at, 0.0)
        return made

    def probabilities(self, logits: NDArray[np.floating]) -> Numbers:
        return sigmoid(self.logits(logits))


class Calibration(msgspec.Struct, frozen=True):
    """One head on the calibration slice: its curve, the error before and after, the rows."""

    curve: Curve
    ece_before: float
    ece_after: float
    rows: int
    positives: int


def calibrate(logits: NDArray[np.floating], labels: Labels, method: Method) -> Calibration:
    """`logits` [n] of one head and what came of them [n]; labels that are all alike leave the logits as they are."""
    curve = Curve(*platt(logits, labels)) if method == "platt" else isotonic(logits, labels)
    return Calibration(
        curve,
        calibration_error(sigmoid(logits.astype(np.float64)), labels),
        calibration_error(curve.probabilities(logits), labels),
        len(labels),
        int((labels > 0).sum()),
    )


def sigmoid(logits: Numbers) -> Numbers:
    made: Numbers = 1.0 / (1.0 + np.exp(-np.clip(logits, -500.0, 500.0)))
    return made


def isotonic(logits: NDArray[np.floating], labels: Labels) -> Curve:
    """The isotonic curve, or Platt's where fewer than two blocks are left."""
    slope, shift = platt(logits, labels)
    blocks = _blocks(logits.astype(np.float64), (labels > 0).astype(np.float64))
    if len(blocks) < 2:
        return Curve(slope, shift)
    x = np.array([block.centre for block in blocks])
    rate = np.array([block.rate for block in blocks])
    y = np.log(rate / (1.0 - rate))
    slopes = np.r_[slope, np.diff(y) / np.diff(x), slope]
    bends = [(float(at), float(more)) for at, more in zip(x, np.diff(slopes), strict=True)]
    return Curve(slope, float(y[0] - slope * x[0]), bends)


class _Block:
    """Neighbouring rows: how many, the sums of their logits and labels."""

    __slots__ = ("n", "positives", "sum")

    def __init__(self, n: float, total: float, positives: float) -> None:
        self.n, self.sum, self.positives = n, total, positives

    @property
    def centre(self) -> float:
        return self.sum / self.n

    @property
    def rate(self) -> float:
        return self.positives / self.n

    @property
    def sound(self) -> bool:
        """Enough rows, of both kinds, for a rate that has a logit."""
        return self.n >= BLOCK_ROWS_MIN and 0 < self.positives < self.n

    def take(self, other: _Block) -> None:
        self.n, self.sum, self.positives = self.n + other.n, self.sum + other.sum, self.positives + other.positives


def _blocks(logits: Numbers, labels: Numbers) -> list[_Block]:
    """Blocks of ascending logits and rates, all sound and apart, at most BLOCKS_MAX."""
    pooled: list[_Block] = []
    for cell in _cells(logits, labels):
        pooled.append(cell)
        while len(pooled) > 1 and pooled[-2].rate >= pooled[-1].rate:
            last = pooled.pop()
            pooled[-1].take(last)
    kept: list[_Block] = []
    for block in pooled:
        near = bool(kept) and block.centre - kept[-1].centre < APART_MIN
        if kept and (near or not kept[-1].sound):
            kept[-1].take(block)
        else:
            kept.append(block)
    while len(kept) > 1 and not kept[-1].sound:
        last = kept.pop()
        kept[-1].take(last)
    while len(kept) > BLOCKS_MAX:
        gaps = [after.rate - before.rate for before, after in itertools.pairwise(kept)]
        at = gaps.index(min(gaps))
        kept[at].take(kept.pop(at + 1))
    return kept if all(block.sound for block in kept) else []


def _cells(logits: Numbers, labels: Numbers) -> list[_Block]:
    """Rows of equal logits together, and those of neighbouring ones until there are no more than CELLS_MAX."""
    _, place, counts = np.unique(logits, return_inverse=True, return_counts=True)
    cell_of = (np.cumsum(counts) - 1) * CELLS_MAX // max(len(logits), CELLS_MAX)
    cell = cell_of[place]
    n, total = np.bincount(cell), np.bincount(cell, logits)
    positives = np.bincount(cell, labels)
    return [_Block(float(n[at]), float(total[at]), float(positives[at])) for at in np.flatnonzero(n)]


def platt(logits: NDArray[np.floating], labels: Labels, *, steps: int = 50) -> tuple[float, float]:
    """(slope, shift) of sigmoid(slope * logit + shift) with the least log-loss, by Newton's method; (1, 0) when the
    labels are all alike (Platt 1999, with a weak pull towards (1, 0) instead of smoothed targets)."""
    x, y = logits.astype(np.float64), (labels > 0).astype(np.float64)
    if len(y) == 0 or y.min() == y.max():
        return 1.0, 0.0
    design = np.stack([x, np.ones_like(x)])
    at = np.array([1.0, 0.0])
    pull = np.array([1.0, 1e-3])
    for _ in range(steps):
        p = 1.0 / (1.0 + np.exp(-np.clip(at @ design, -50.0, 50.0)))
        gradient = design @ (p - y) + pull * (at - np.array([1.0, 0.0]))
        curvature = (design * (p * (1.0 - p))) @ design.T + np.diag(pull)
        move = np.linalg.solve(curvature, gradient)
        at = at - move
        if float(np.abs(move).max()) < 1e-10:
            break
    return (float(at[0]), float(at[1])) if at[0] > 0 else (1.0, 0.0)
