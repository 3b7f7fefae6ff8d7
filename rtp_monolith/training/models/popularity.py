"""Popularity: the most clicked items for everybody, the floor that every model must pass; with a half-life, of late.

As in the comparisons of Ludewig and Jannach (UMUAI 2018), and Ji et al., "A Re-visit of the Popularity Baseline in
Recommender Systems" (SIGIR 2020), for the half-life. Invariant: the score is a count, so equal counts are ties and
count against us. It does not know sessions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.sessions import UNKNOWN


class Popularity:
    """Clicks per item, [items]."""

    def __init__(self, counts: NDArray[np.float32]) -> None:
        self.counts = torch.from_numpy(counts)

    @classmethod
    def of(cls, sessions: Sequence[Sequence[int]], items: int, half_life: float = math.inf) -> Popularity:
        """A click counts half for every `half_life` sessions that came after its own."""
        flat = np.fromiter((item for session in sessions for item in session if item != UNKNOWN), dtype=np.int64)
        if math.isinf(half_life):
            return cls(np.bincount(flat, minlength=items).astype(np.float32))
        known = [sum(item != UNKNOWN for item in session) for session in sessions]
        age = np.repeat(len(sessions) - 1 - np.arange(len(sessions)), known)
        return cls(np.bincount(flat, 0.5 ** (age / half_life), minlength=items).astype(np.float32))

    def copy(self) -> Popularity:
        return Popularity(self.counts.numpy().copy())

    def share(self) -> Tensor:
        """Counts scaled into 0 … 1, to order what nothing else has an opinion on."""
        return self.counts / max(1.0, float(self.counts.max()) if len(self.counts) else 1.0)

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        if not cases.live:
            return self.counts.expand(stop - start, -1).clone()
        rows = []
        for target in cases.targets[start:stop].tolist():
            rows.append(self.counts.clone())
            if target != UNKNOWN:
                self.counts[target] += 1.0
        return torch.stack(rows)
