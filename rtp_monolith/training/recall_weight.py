"""How much the sources' score should count beside the ranker's value: what a surface's `recall_weight` is chosen by.

For each weight the candidates of a pool are ordered as a shard would order them, and what was wanted next is looked up
in the first ten. Rows that were drawn by chance stand for others, so a place is the sum of what stands before it.
Invariant: the pools are younger than all that the ranker learned its weights from. It does not know surfaces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.training.ranker import WantedRows

WEIGHTS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
FIRST = 10


def gains_by_weight(wanted: WantedRows, found: NDArray[np.floating], worth: NDArray[np.floating]) -> dict[str, float]:
    """By weight: mean over pools of the gain of what was wanted, discounted by its place (NDCG's, 0 beyond FIRST).
    `found` and `worth` [n] are the merged score and the value of each row. Empty without pools."""
    if not len(wanted):
        return {}
    starts = np.flatnonzero(np.r_[True, wanted.pools[1:] != wanted.pools[:-1]])
    scaled = [_scaled(np.asarray(each, np.float64), starts, wanted.pools) for each in (found, worth)]
    return {
        str(weight): round(_gain(weight * scaled[0] + (1.0 - weight) * scaled[1], wanted, starts), 5)
        for weight in WEIGHTS
    }


def _scaled(scores: NDArray[np.float64], starts: NDArray[np.int64], pools: NDArray[np.int32]) -> NDArray[np.float64]:
    """Each pool's scores stretched to [0, 1]; 0 where all are equal."""
    low = np.minimum.reduceat(scores, starts)[pools]
    span = np.maximum.reduceat(scores, starts)[pools] - low
    made: NDArray[np.float64] = np.divide(scores - low, span, out=np.zeros_like(scores), where=span > 0)
    return made


def _gain(scores: NDArray[np.float64], wanted: WantedRows, starts: NDArray[np.int64]) -> float:
    # Best first within each pool; of equal ones what was wanted comes last, so that ties never help.
    order = np.lexsort((wanted.gain, -scores, wanted.pools))
    stands_for = wanted.stands_for[order].astype(np.float64)
    before = np.cumsum(stands_for) - stands_for
    place = before - before[starts][wanted.pools[order]]
    discount = np.where(place < FIRST, 1.0 / np.log2(place + 2.0), 0.0)
    return float((wanted.gain[order] * discount).sum() / len(starts))
