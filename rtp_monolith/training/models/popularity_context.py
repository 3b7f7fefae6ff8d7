"""Popularity in a context: what people clicked next in a like situation.

The situation is the attributes of the latest item where the data describes items, else how far the session is (its
first, second, third click, …). Each context's counts are shrunk to the popularity of all clicks by a Dirichlet prior
(Zhai and Lafferty, TOIS 2004), and contexts of one moment are averaged. Of live cases it learns: counts of what came
are kept beside those of training. Invariant: without a context it is popularity, and clicks that are learned live
count as if they had been there. It does not know which item of an attribute was clicked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.sessions import UNKNOWN

PRIOR_CLICKS = 20.0
PLACES = (1, 2, 3, 5, 8, 13)
"""Where a next bucket of places in the session begins."""


class ContextPopularity:
    """Counts of next items per context: those of context c are at starts[c] … starts[c + 1]."""

    def __init__(
        self, sessions: Sequence[Sequence[int]], items: int, attributes: Sequence[Sequence[int]] | None
    ) -> None:
        self.attributes = attributes
        self.clicks: NDArray[np.float32] = Popularity.of(sessions, items).counts.numpy()
        # What came live: counts of next items by context.
        self.live: dict[int, dict[int, float]] = {}
        contexts = len(PLACES)
        if attributes is not None:
            contexts += 1 + max((max(own, default=-1) for own in attributes), default=-1)
        keys = [
            context * items + session[place]
            for session in sessions
            for place in range(1, len(session))
            if session[place] != UNKNOWN
            for context in self._contexts(session[:place])
        ]
        pairs, counts = np.unique(np.array(keys, dtype=np.int64), return_counts=True)
        self.next, self.counts = pairs % max(1, items), counts.astype(np.float32)
        self.starts: NDArray[np.int64] = np.searchsorted(pairs // max(1, items), np.arange(contexts + 1))

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        scores = np.empty((stop - start, len(self.clicks)), dtype=np.float32)
        share = self._share()
        for row in range(stop - start):
            contexts = self._contexts(cases.history(start + row))
            scores[row] = 0.0 if contexts else share
            for context in contexts:
                own, came = slice(self.starts[context], self.starts[context + 1]), self.live.get(context, {})
                clicks = self.counts[own].sum() + sum(came.values())
                weight = 1.0 / (len(contexts) * (clicks + PRIOR_CLICKS))
                scores[row] += weight * PRIOR_CLICKS * share
                scores[row, self.next[own]] += weight * self.counts[own]
                if came:
                    scores[row, list(came)] += weight * np.array(list(came.values()), dtype=np.float32)
            if cases.live and (target := int(cases.targets[start + row])) != UNKNOWN:
                self._learn(contexts, target)
                share = self._share()
        return torch.from_numpy(scores)

    def _share(self) -> NDArray[np.float32]:
        share: NDArray[np.float32] = self.clicks / np.float32(max(1.0, self.clicks.sum()))
        return share

    def _learn(self, contexts: Sequence[int], target: int) -> None:
        """Counts a click that came, in the contexts it was asked in."""
        self.clicks[target] += 1.0
        for context in contexts:
            came = self.live.setdefault(context, {})
            came[target] = came.get(target, 0.0) + 1.0

    def _contexts(self, history: Sequence[int]) -> list[int]:
        if not history:
            return []
        if self.attributes is not None and history[-1] != UNKNOWN and (own := self.attributes[history[-1]]):
            return [len(PLACES) + each for each in own]
        return [int(np.searchsorted(PLACES, len(history), side="right")) - 1]
