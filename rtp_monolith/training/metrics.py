"""Exact ranks over the whole catalogue, and what is made of them: HR, MRR, NDCG, coverage, popularity of the lists.

Ties are broken against us: an item is ranked behind every item of equal score. Invariant: the rank of a target is the
number of items that score at least as much, its own included; a target that is unknown or removed from the list is a
miss whatever k is. It does not know what gave the scores.
"""

from __future__ import annotations

import math
from array import array

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.errors import DataError

MISS = 0


class Metrics(msgspec.Struct, frozen=True):
    """Means over n lists of k; `coverage` is the share of the training items that were in a list."""

    hr: float
    mrr: float
    ndcg: float
    coverage: float
    n: int


def ranks(scores: Tensor, targets: Tensor) -> Tensor:
    """float32 [n, items], int64 [n] (-1 unknown) → ranks from 1, MISS for unknown and for removed (-inf) targets.

    Raises DataError `scores_not_finite` for NaN.
    """
    own = scores.gather(1, targets.clamp(min=0).unsqueeze(1))
    above = (scores >= own).sum(1)
    # NaN compares false with everything: a target that is NaN has rank 0 here, a NaN elsewhere makes the sum NaN.
    if bool(torch.isnan(own).any()) or bool(torch.isnan(scores.amax(1)).any()):
        raise DataError("the model gives scores that are not numbers", code="scores_not_finite")
    missed = (targets < 0) | torch.isneginf(own.squeeze(1))
    return above.masked_fill(missed, MISS)


class Tally:
    """Adds up lists of at most k out of `items` items, of which `trained` (bool [items]) count for coverage; `clicks`
    [items] says how popular what was listed is."""

    def __init__(self, k: int, trained: Tensor, clicks: Tensor | None = None) -> None:
        self.k = k
        self.clicks, self.listed_clicks = clicks, 0.0
        # Numbers and not tensors: what stays must not lie between the large blocks that come and go.
        self.found = array("q")
        self.trained = trained
        self.recommended = torch.zeros(len(trained), dtype=torch.bool)
        self.n = 0
        self.hits, self.reciprocal, self.gain = 0, 0.0, 0.0

    def add(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Takes a block of lists and returns the ranks of the targets."""
        found = ranks(scores, targets)
        top = scores.topk(min(self.k, scores.shape[1]), dim=1)
        shown = top.values > -torch.inf
        self.recommended[top.indices[shown]] = True
        if self.clicks is not None:
            sums = (self.clicks[top.indices] * shown).sum(1) / shown.sum(1).clamp(min=1)
            self.listed_clicks += float(sums.double().sum())
        self.add_ranks(found)
        return found

    def add_ranks(self, found: Tensor) -> None:
        """Ranks alone, where nobody asks for coverage."""
        hits = found[(found != MISS) & (found <= self.k)].double()
        self.found.extend(found.tolist())
        self.n += len(found)
        self.hits += len(hits)
        self.reciprocal += float(hits.reciprocal().sum())
        self.gain += float((1.0 / torch.log2(hits + 1.0)).sum())

    def ranks(self) -> NDArray[np.int64]:
        """Of every target so far, in the order of the lists."""
        return np.array(self.found, dtype=np.int64)

    def popularity(self) -> float:
        """Mean clicks of a listed item (average recommendation popularity, Yin et al., VLDB 2012)."""
        return self.listed_clicks / max(1, self.n)

    def metrics(self) -> Metrics:
        n = max(1, self.n)
        trained = int(self.trained.sum())
        covered = int((self.recommended & self.trained).sum()) / max(1, trained)
        made = Metrics(self.hits / n, self.reciprocal / n, self.gain / n, covered, self.n)
        assert all(math.isfinite(value) for value in (made.hr, made.mrr, made.ndcg))
        return made
