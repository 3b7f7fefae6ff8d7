"""How good predicted probabilities and orders are: log-loss, AUC, NDCG within lists, calibration error.

Invariant: ties never help: AUC counts a tie as half, NDCG puts tied items in the worst order. Pure functions of arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Labels = NDArray[np.uint8]
PROBABILITY_MIN = 1e-7


def log_loss(probabilities: NDArray[np.floating], labels: Labels) -> float:
    """Mean negative log-likelihood, nats a row."""
    p = np.clip(probabilities.astype(np.float64), PROBABILITY_MIN, 1 - PROBABILITY_MIN)
    return float(-np.mean(np.where(labels > 0, np.log(p), np.log1p(-p))))


def auc(scores: NDArray[np.floating], labels: Labels) -> float:
    """Chance that a positive row scores above a negative one; NaN without both."""
    positives = int((labels > 0).sum())
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2.0)[inverse]
    return float((ranks[labels > 0].sum() - positives * (positives + 1) / 2.0) / (positives * negatives))


def ndcg(scores: NDArray[np.floating], labels: Labels, lists: NDArray[np.int32], k: int = 10) -> float:
    """Mean NDCG@k of the lists that have a positive row; rows of a list stand together. NaN when none has."""
    if len(labels) == 0:
        return float("nan")
    starts = np.flatnonzero(np.r_[True, lists[1:] != lists[:-1]])
    sizes = np.diff(np.r_[starts, len(lists)])
    # Best first within each list, of equal scores the negative rows first.
    order = np.lexsort((labels > 0, -scores.astype(np.float64), lists))
    rank = np.arange(len(lists)) - np.repeat(starts, sizes)
    discount = np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0)
    gains = np.add.reduceat((labels[order] > 0) * discount, starts)
    positives = np.add.reduceat((labels > 0).astype(np.int64), starts)
    ideal = np.cumsum(1.0 / np.log2(np.arange(k) + 2.0))
    has = positives > 0
    if not has.any():
        return float("nan")
    return float(np.mean(gains[has] / ideal[np.minimum(positives[has], k) - 1]))


def calibration_error(probabilities: NDArray[np.floating], labels: Labels, bins: int = 15) -> float:
    """Expected calibration error over bins of equal mass (Naeini et al., AAAI 2015)."""
    if len(labels) == 0:
        return float("nan")
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    p = probabilities.astype(np.float64)
    gaps = [abs(float(p[part].mean()) - float((labels[part] > 0).mean())) * len(part) for part in parts]
    return float(sum(gaps) / len(order))
