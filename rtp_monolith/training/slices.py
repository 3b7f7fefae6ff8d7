"""For whom a model is good: the same measures by length of the session and by popularity of what was wanted, and
intervals from paired draws of whole sessions.

Invariant: the slices of one kind hold every case once, so their means weighted by n are the whole's. It does not know
what gave the ranks.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.training.metrics import MISS

LENGTHS = ((0, "0"), (1, "1"), (2, "2"), (3, "3-4"), (5, "5-9"), (10, "10-19"), (20, "20 and more"))
SHARES = ((0.5, "head"), (0.8, "middle"), (1.0, "tail"))
"""Items by popularity: the head makes half of the clicks, the middle the next three tenths."""
DRAWS = 2_000
CONFIDENCE = 0.95

Measures = dict[str, NDArray[np.float64]]
Bounds = tuple[float, float]


class Slice(msgspec.Struct, frozen=True):
    """Means over the n cases of a slice."""

    name: str
    n: int
    hr: float
    mrr: float
    ndcg: float


def measures(ranks: NDArray[np.int64], k: int) -> Measures:
    """HR, MRR and NDCG of each case, [n]."""
    hit = (ranks != MISS) & (ranks <= k)
    rank = np.where(hit, ranks, 1).astype(np.float64)
    return {"hr": hit.astype(np.float64), "mrr": hit / rank, "ndcg": hit / np.log2(rank + 1.0)}


def by_length(ranks: NDArray[np.int64], lengths: NDArray[np.int64], k: int) -> list[Slice]:
    """By how many known items a case saw."""
    place = np.searchsorted([start for start, _ in LENGTHS], lengths, side="right") - 1
    return _slices(ranks, place, [name for _, name in LENGTHS], k)


def by_popularity(
    ranks: NDArray[np.int64], targets: NDArray[np.int64], clicks: NDArray[np.floating], k: int
) -> list[Slice]:
    """By the popularity of the target among the training clicks; targets nobody clicked before are apart."""
    order = np.argsort(-clicks, kind="stable")
    before = np.cumsum(clicks[order]) - clicks[order]
    group = np.empty(len(clicks), dtype=np.int64)
    # An item belongs to the group in which its first click falls.
    group[order] = np.searchsorted([share * clicks.sum() for share, _ in SHARES[:-1]], before, side="right")
    group[clicks == 0] = len(SHARES)
    place = np.where(targets >= 0, group[np.maximum(targets, 0)], len(SHARES))
    return _slices(ranks, place, [*(name for _, name in SHARES), "never clicked"], k)


def _slices(ranks: NDArray[np.int64], place: NDArray[np.int64], names: list[str], k: int) -> list[Slice]:
    every = measures(ranks, k)
    made = []
    for number, name in enumerate(names):
        own = place == number
        if own.any():
            means = {each: float(values[own].mean()) for each, values in every.items()}
            made.append(Slice(name, int(own.sum()), **means))
    return made


class Paired(msgspec.Struct, frozen=True, kw_only=True):
    """Means over cases with their intervals, and how far they are from the first of several on the same cases."""

    means: dict[str, float]
    intervals: dict[str, Bounds]
    difference: dict[str, float]
    difference_intervals: dict[str, Bounds]


def paired(per_case: Sequence[Measures], groups: NDArray[np.int64], seed: int) -> list[Paired]:
    """Of the measures of several on the same cases; every draw takes the same groups (int64 [n]) for all."""
    names = list(per_case[0])
    values = np.stack([own[name] for own in per_case for name in names])
    draws = drawn_means(values, groups, seed).reshape(DRAWS, len(per_case), len(names))
    from_first = draws - draws[:, :1]
    return [
        Paired(
            means={name: float(own[name].mean()) for name in names},
            intervals={name: interval(draws[:, place, n]) for n, name in enumerate(names)},
            difference={name: float((own[name] - per_case[0][name]).mean()) for name in names},
            difference_intervals={name: interval(from_first[:, place, n]) for n, name in enumerate(names)},
        )
        for place, own in enumerate(per_case)
    ]


def drawn_means(
    values: NDArray[np.float64], groups: NDArray[np.int64], seed: int, draws: int = DRAWS
) -> NDArray[np.float64]:
    """Means [draws, rows] of values [rows, n] over bootstrap draws of whole groups (int64 [n]), the same for every row.

    Cases of one session depend on each other, so sessions are drawn and not cases (Field and Welsh, JRSS B 2007).
    """
    _, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(place, row, minlength=len(sizes)) for row in values])
    rng = np.random.default_rng([seed, 7])
    made = np.empty((draws, len(values)))
    for draw in range(draws):
        taken = np.bincount(rng.integers(len(sizes), size=len(sizes)), minlength=len(sizes)).astype(np.float64)
        made[draw] = sums @ taken / (sizes @ taken)
    return made


def interval(draws: NDArray[np.float64]) -> Bounds:
    """The middle CONFIDENCE of the draws."""
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
