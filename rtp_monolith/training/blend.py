"""Several models as one list: a weighted sum of log-probabilities, its weights tuned on validation.

A neural model's log-probability is the log-softmax of its scores. Session-kNN names few items; with a share λ of its
probability spread evenly, log q = constant + log(1 + sharpness · vote share) and only the named items move, so blending
costs no second pass over the catalogue. Invariant: a weight of zero leaves a part out altogether. It does not know
which parts there should be.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.training.metrics import Tally, ranks
from rtp_monolith.training.models.session_knn import SessionKnn
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.room import Room
from rtp_monolith.training.scoring import BLOCK_ROWS, Scorer, hide

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.4, 2.0)
SHARPNESS = (30.0, 300.0, 3_000.0)
SHARES = (0.3, 0.5, 0.7)
GAIN_MIN = 1.002
"""A blend must be this much better on validation, or the simpler model stays."""


class Mix(msgspec.Struct, frozen=True):
    """`shares` of the neural models (they sum to one), `weight` and `sharpness` of session-kNN."""

    shares: tuple[float, ...]
    weight: float = 0.0
    sharpness: float = 300.0


class Blend:
    """Neural scorers and maybe session-kNN under a mix; without a neural one it is session-kNN alone."""

    def __init__(self, neural: Sequence[Scorer], knn: SessionKnn | None, mix: Mix) -> None:
        self.neural, self.knn, self.mix = list(neural), knn, mix
        self.total, self.rooms = Room(), [Room() for _ in self.neural]

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        if not self.neural:
            assert self.knn is not None
            return self.knn.scores(cases, start, stop)
        scores = self._mixed(cases, start, stop)
        if self.knn is not None and self.mix.weight:
            add_votes(scores, [self.knn.votes(cases, case) for case in range(start, stop)], self.mix)
        return scores

    def _mixed(self, cases: Cases, start: int, stop: int) -> Tensor:
        """Σ share · log-softmax; one part alone is not normalized, as that moves nothing."""
        if len(self.neural) == 1 and self.mix.shares[0]:
            return self.neural[0].scores(cases, start, stop)
        parts = [each.scores(cases, start, stop) for each in self.neural]
        logs = [torch.log_softmax(part, 1, out=room.like(part)) for part, room in zip(parts, self.rooms, strict=True)]
        return mixed(logs, self.mix.shares, self.total.like(parts[0]))

    def alone(self) -> list[Scorer]:
        """Each part that has a share by itself, session-kNN last and without what it learned while it was asked."""
        return [*self.neural, *([self.knn.fresh()] if self.knn is not None and self.mix.weight else [])]


def mixed(parts: Sequence[Tensor], shares: Sequence[float], total: Tensor) -> Tensor:
    """Σ share · part, in `total`."""
    total.zero_()
    for part, share in zip(parts, shares, strict=True):
        if share:
            total.add_(part, alpha=share)
    return total


Votes = tuple[NDArray[np.int64], NDArray[np.float32]]


def add_votes(scores: Tensor, votes: Sequence[Votes], mix: Mix) -> None:
    """Adds weight · log(1 + sharpness · share of the votes), in place."""
    array = scores.numpy()
    for row, (items, voted) in enumerate(votes):
        positive = np.maximum(voted, 0.0)
        if (total := float(positive.sum())) > 0.0:
            array[row, items] += np.float32(mix.weight) * np.log1p(np.float32(mix.sharpness / total) * positive)


def add_plain(scores: Tensor, votes: Sequence[Votes]) -> None:
    """Adds the votes as they are, in place: session-kNN alone."""
    array = scores.numpy()
    for row, (items, voted) in enumerate(votes):
        array[row, items] += voted


def tune(
    neural: Sequence[Scorer],
    knn: SessionKnn | None,
    cases: Cases,
    known: NDArray[np.bool_],
    k: int,
) -> tuple[Mix, dict[Mix, float]]:
    """The mix with the best validation NDCG, and the NDCG of everything tried; gains below GAIN_MIN go to the simpler.

    First the shares of the neural models, one more joining those before it at a time (Caruana et al., "Ensemble
    Selection from Libraries of Models", ICML 2004), then the weight of session-kNN beside the best of those.
    """
    alone = [Mix(tuple(float(n == place) for n in range(len(neural)))) for place in range(len(neural))]
    tried = _judged(neural, None, cases, known, k, alone)
    best = _simplest_good(tried)
    while 0.0 in best.shares:
        joined = [
            Mix(tuple(share * kept + (1.0 - share) * (n == place) for n, kept in enumerate(best.shares)))
            for place, own in enumerate(best.shares)
            for share in SHARES
            if own == 0.0
        ]
        more = _judged(neural, None, cases, known, k, joined)
        tried |= more
        if (better := _simplest_good({best: tried[best], **more})) == best:
            break
        best = better
    if knn is not None:
        beside = [Mix(best.shares, weight, sharpness) for weight in WEIGHTS[1:] for sharpness in SHARPNESS]
        beside.append(Mix((0.0,) * len(neural), 1.0))
        with_knn = _judged(neural, knn, cases, known, k, beside)
        best = _simplest_good({best: tried[best], **with_knn})
        tried |= with_knn
    return best, tried


def _simplest_good(tried: dict[Mix, float]) -> Mix:
    """The best, unless the first is as good but for GAIN_MIN."""
    first = next(iter(tried))
    best = max(tried, key=lambda mix: tried[mix])
    return best if tried[best] > tried[first] * GAIN_MIN else first


def _judged(
    neural: Sequence[Scorer],
    knn: SessionKnn | None,
    cases: Cases,
    known: NDArray[np.bool_],
    k: int,
    mixes: Sequence[Mix],
) -> dict[Mix, float]:
    """NDCG of each mix. Cases without a history are left out: popularity answers them under every mix."""
    tallies = {mix: Tally(k, torch.from_numpy(known)) for mix in mixes}
    by_shares: dict[tuple[float, ...], list[Mix]] = {}
    for mix in mixes:
        by_shares.setdefault(mix.shares, []).append(mix)
    knn = None if knn is None else knn.fresh()
    rooms, total, changed = [Room() for _ in neural], Room(), Room()
    with torch.inference_mode():
        for start in range(0, len(cases), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(cases))
            asked = torch.from_numpy(cases.upto[start:stop] > 0)
            targets = torch.from_numpy(cases.targets[start:stop])[asked]
            parts = [each.scores(cases, start, stop) for each in neural]
            votes = [] if knn is None else [knn.votes(cases, case) for case in range(start, stop)]
            if len(parts) > 1:  # one alone is not normalized, as in a blend
                parts = [
                    torch.log_softmax(each, 1, out=room.like(each)) for each, room in zip(parts, rooms, strict=True)
                ]
            for shares, own in by_shares.items():
                base = mixed(parts, shares, total.like(parts[0]))
                if knn is not None and not any(shares):
                    base += knn.popular
                hide(base, cases, start, stop, known)
                for mix in own:
                    scores = changed.like(base).copy_(base)
                    if not any(shares):
                        add_plain(scores, votes)
                    elif mix.weight:
                        add_votes(scores, votes, mix)
                    tallies[mix].add_ranks(ranks(scores if bool(asked.all()) else scores[asked], targets))
    return {mix: tally.metrics().ndcg for mix, tally in tallies.items()}
