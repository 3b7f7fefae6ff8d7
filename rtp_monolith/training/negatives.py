"""Which items a target competes with: unique items, popular ones likelier, each with a known chance to be there.

Systematic sampling (Madow, 1949) over a shuffled list: item i is drawn with probability π_i = min(1, c · w_i), never
twice, and exactly `size` are drawn, so the correction -log π makes sampled sums of exponentials unbiased with less
variance than drawing with replacement. Invariant: Σ π = size. It does not know the model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Negatives:
    """Draws `size` of the items, or all of them when there are no more than that.

    `counts` [items] is how often each item is a target; its weight is (count + 1) ** power.
    """

    def __init__(self, counts: NDArray[np.int64], size: int, power: float) -> None:
        self.size = min(size, len(counts))
        self.inclusion = _inclusion((counts.astype(np.float64) + 1.0) ** power, self.size)
        with np.errstate(divide="ignore"):
            self.log_inclusion = np.log(self.inclusion).astype(np.float32)

    def draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Item numbers, ascending, none twice."""
        if self.size == len(self.inclusion):
            return np.arange(self.size, dtype=np.int64)
        order = rng.permutation(len(self.inclusion))
        ends = np.cumsum(self.inclusion[order])
        # The sum of the probabilities is `size` but for rounding, which must not push the last tick off the end.
        ticks = np.minimum(rng.random() + np.arange(self.size), ends[-1] * (1 - 1e-12))
        return np.unique(order[np.searchsorted(ends, ticks, side="right")])


def _inclusion(weights: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """min(1, c · weight) with c such that the sum is `size`."""
    certain = np.zeros(len(weights), dtype=bool)
    while True:
        left = size - int(certain.sum())
        scale = left / weights[~certain].sum() if left else 0.0
        more = ~certain & (weights * scale >= 1.0)
        if not more.any():
            return np.where(certain, 1.0, weights * scale)
        certain |= more
