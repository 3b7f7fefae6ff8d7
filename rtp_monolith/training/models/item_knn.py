"""Item-kNN: items that are in the same sessions as the latest ones (Sarwar et al., WWW 2001; as a baseline for
sessions in Hidasi et al., 2016).

Similarity is the cosine of two items' session sets, shrunk so that a pair seen once in two rare items is not certain.
Invariant: the table of neighbours is symmetric before it is cut. It does not know order within a session, but for the
weight of the latest items.
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

NEIGHBOURS_MAX = 100
SESSION_ITEMS_MAX = 30
"""Distinct items of a session that make pairs, the latest ones: pairs grow with the square."""
LATEST_MAX = 5
DECAY = 0.5
SHRINK = 5.0
PAIRS_PER_CHUNK = 4_000_000
TAIL = 1e-6


class ItemKnn:
    """Neighbours of each item, and their similarities."""

    def __init__(self, sessions: Sequence[Sequence[int]], items: int) -> None:
        self.sessions, self.items = sessions, items
        self.popular = Popularity.of(sessions, items).share() * TAIL
        self.starts, self.near, self.similar = _neighbours(sessions, items)

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        scores = self.popular.expand(stop - start, -1).clone().numpy()
        for row in range(stop - start):
            for back, item in enumerate(reversed(cases.history(start + row)[-LATEST_MAX:])):
                own = slice(self.starts[item], self.starts[item + 1])
                scores[row, self.near[own]] += self.similar[own] * np.float32(DECAY**back)
        return torch.from_numpy(scores)


def _neighbours(
    sessions: Sequence[Sequence[int]], items: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Starts [items + 1], neighbours and similarities, the best NEIGHBOURS_MAX of each item."""
    held = np.zeros(items)
    counted: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    keys: list[NDArray[np.int64]] = []
    pending = 0
    for session in sessions:
        own = np.array(list(dict.fromkeys(i for i in reversed(session) if i != UNKNOWN))[:SESSION_ITEMS_MAX], np.int64)
        held[own] += 1
        if len(own) > 1:
            keys.append((own[:, None] * items + own)[~np.eye(len(own), dtype=bool)])
            pending += len(keys[-1])
            if pending > PAIRS_PER_CHUNK:
                counted = [_sum([*counted, *_counts(keys)])]
                keys, pending = [], 0
    pairs, together = _sum([*counted, *_counts(keys)])
    first, second = pairs // items, pairs % items
    similar = together / (np.sqrt(held[first] * held[second]) + SHRINK)
    order = np.lexsort((second, -similar, first))
    first, second, similar = first[order], second[order], similar[order]
    place = np.arange(len(first)) - np.searchsorted(first, first)
    kept = place < NEIGHBOURS_MAX
    starts = np.searchsorted(first[kept], np.arange(items + 1))
    return starts, second[kept], similar[kept].astype(np.float32)


def _counts(keys: list[NDArray[np.int64]]) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    if not keys:
        return []
    pairs, counts = np.unique(np.concatenate(keys), return_counts=True)
    return [(pairs, counts)]


def _sum(parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    pairs, place = np.unique(np.concatenate([pairs for pairs, _ in parts]), return_inverse=True)
    return pairs, np.bincount(place, np.concatenate([counts for _, counts in parts])).astype(np.int64)
