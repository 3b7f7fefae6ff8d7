"""Session-kNN: what sessions like this one went on with (VMIS-kNN, Kersbergen et al., "Serenade", SIGMOD 2022), by the
index in Rust that also serves.

Invariant: a case's own session never is its neighbour. Later sessions count as more recent; where there are no times
the order of the file is time. It does not know the paper's arithmetic, `native/src/recall/knn` does.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith._native import SessionKnn as Index
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.room import Room
from rtp_monolith.training.sessions import UNKNOWN

VOTED_MAX = 500
TAIL = 1e-6


class KnnSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of the paper, and two beyond it that it leaves off: `with_latest`, the latest item may come again;
    `reach`, over how many places what a neighbour did beside the shared item fades (STAN, Garg et al., SIGIR 2019)."""

    m_most_recent_sessions: int = 1000
    neighborhood_size_k: int = 100
    max_items_in_session: int = 4
    idf_weighting: float = 1.0
    with_latest: bool = False
    reach: float = 0.0


class SessionKnn:
    """The index of the training sessions. Live cases change it; `fresh` is what it was before."""

    def __init__(self, sessions: Sequence[Sequence[int]], items: int, settings: KnnSettings) -> None:
        self.sessions, self.items, self.settings = sessions, items, settings
        self.popular = Popularity.of(sessions, items).share() * TAIL
        self.index = Index(sessions_max=max(1_000_000, 2 * len(sessions)))
        self.now = len(sessions)
        self.room = Room()
        keys = np.fromiter((key for key, own in enumerate(sessions) for i in own if i != UNKNOWN), dtype=np.int64)
        flat = np.fromiter((i for own in sessions for i in own if i != UNKNOWN), dtype=np.uint32)
        self.index.touch_many(keys.astype(np.uint64), flat, keys)

    def fresh(self) -> SessionKnn:
        """Itself if no live case was seen, else one that has not seen any."""
        unchanged = self.now == len(self.sessions)
        return self if unchanged else SessionKnn(self.sessions, self.items, self.settings)

    def with_settings(self, settings: KnnSettings) -> SessionKnn:
        """The same index asked differently."""
        other = object.__new__(SessionKnn)
        other.__dict__.update(self.__dict__)
        other.settings, other.room = settings, Room()
        return other

    def votes(self, cases: Cases, case: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Items and their scores for one case, best first; a live case is then taken into the index."""
        key = cases.keys[int(cases.of[case])] if cases.keys else None
        window = cases.history(case)[-self.settings.max_items_in_session :]
        found = self.index.query(window, VOTED_MAX, exclude=key, **msgspec.structs.asdict(self.settings))
        if cases.live and key is not None and (target := int(cases.targets[case])) != UNKNOWN:
            self.now += 1
            self.index.touch(key, target, self.now)
        items, scores = zip(*found, strict=True) if found else ((), ())
        return np.array(items, dtype=np.int64), np.array(scores, dtype=np.float32)

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        scores = self.room.of(stop - start, self.items).copy_(self.popular).numpy()
        for row in range(stop - start):
            items, votes = self.votes(cases, start + row)
            scores[row, items] += votes
        return torch.from_numpy(scores)
