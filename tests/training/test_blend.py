"""Blends: a weighted sum of log-probabilities, and no blend where it does not pay."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rtp_monolith.training import blend
from rtp_monolith.training.blend import Blend, Mix
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.models.session_knn import KnnSettings, SessionKnn
from rtp_monolith.training.protocols import Cases, prefix_cases
from rtp_monolith.training.scoring import measure

ITEMS = 12
ALL = np.ones(ITEMS, dtype=bool)


class Fixed:
    """A scorer that knows the answer with noise: the smaller, the better."""

    def __init__(self, noise: float, seed: int) -> None:
        self.noise, self.seed = noise, seed

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        rng = np.random.default_rng([self.seed, start])
        scores = rng.normal(size=(stop - start, ITEMS)) * self.noise
        scores[np.arange(stop - start), cases.targets[start:stop]] += 1.0
        return torch.from_numpy(scores.astype(np.float32))


def asked(count: int = 300) -> Cases:
    rng = np.random.default_rng(0)
    return prefix_cases([rng.integers(ITEMS, size=2).tolist() for _ in range(count)], ALL)


def test_shares_weigh_log_probabilities() -> None:
    one, other = torch.randn(3, ITEMS), torch.randn(3, ITEMS) + 5.0
    want = 0.3 * one.log_softmax(1) + 0.7 * other.log_softmax(1)
    room = torch.full((3, ITEMS), torch.nan)
    torch.testing.assert_close(blend.mixed([one.log_softmax(1), other.log_softmax(1)], [0.3, 0.7], room), want)
    torch.testing.assert_close(blend.mixed([one, other], [1.0, 0.0], room), one)

    class Fixed:
        def __init__(self, scores: torch.Tensor) -> None:
            self.kept = scores

        def scores(self, cases: Cases, start: int, stop: int) -> torch.Tensor:
            return self.kept[start:stop]

    cases = asked(3)
    both = blend.Blend([Fixed(one), Fixed(other)], None, Mix((0.3, 0.7)))
    for _ in range(2):
        torch.testing.assert_close(torch.cat([both.scores(cases, 0, 2).clone(), both.scores(cases, 2, 3)]), want)
    torch.testing.assert_close(blend.Blend([Fixed(one)], None, Mix((1.0,))).scores(cases, 0, 3), one)


def test_votes_are_a_log_linear_blend_but_for_a_constant() -> None:
    scores, votes = torch.zeros(1, ITEMS), np.array([3.0, 1.0], dtype=np.float32)
    mix = Mix((1.0,), weight=0.4, sharpness=600.0)
    blend.add_votes(scores, [(np.array([4, 7]), votes)], mix)
    # A share λ of q spread evenly over the items, the rest as the votes are: sharpness = items (1 - λ) / λ.
    even = ITEMS / (600.0 + ITEMS)
    q = np.full(ITEMS, even / ITEMS)
    q[[4, 7]] += (1 - even) * votes / 4.0
    want = 0.4 * (np.log(q) - np.log(even / ITEMS))
    assert scores[0].numpy() == pytest.approx(want, rel=1e-4)


def test_no_votes_change_nothing() -> None:
    scores = torch.zeros(2, ITEMS)
    blend.add_votes(scores, [(np.array([], dtype=np.int64), np.array([], dtype=np.float32))] * 2, Mix((1.0,), 0.5))
    assert scores.abs().sum() == 0


def test_two_independent_models_are_better_than_one() -> None:
    best, tried = blend.tune([Fixed(1.0, 1), Fixed(1.0, 2)], None, asked(), ALL, 3)
    assert 0.0 < best.shares[0] < 1.0
    assert tried[best] > max(tried[Mix((1.0, 0.0))], tried[Mix((0.0, 1.0))])


def test_models_join_one_at_a_time_as_long_as_it_helps() -> None:
    three = [Fixed(1.0, seed) for seed in (1, 2, 3)]
    best, tried = blend.tune([*three, Fixed(50.0, 4)], None, asked(), ALL, 3)
    assert all(0.0 < share < 1.0 for share in best.shares[:3]) and best.shares[3] == 0.0
    assert sum(best.shares) == pytest.approx(1.0)
    pairs = [ndcg for mix, ndcg in tried.items() if mix.shares.count(0.0) == 2]
    assert tried[best] > max(pairs), "three are better than any two of them"


def test_a_model_that_knows_nothing_gets_no_share() -> None:
    best, _ = blend.tune([Fixed(0.05, 1), Fixed(50.0, 2)], None, asked(), ALL, 3)
    assert best.shares == (1.0, 0.0)
    best, _ = blend.tune([Fixed(50.0, 1), Fixed(0.05, 2)], None, asked(), ALL, 3)
    assert best.shares == (0.0, 1.0)


def test_session_knn_joins_only_when_it_helps() -> None:
    cases = asked()
    knows = SessionKnn([cases.sessions[n] for n in range(len(cases.sessions))], ITEMS, KnnSettings())
    best, _ = blend.tune([Fixed(2.0, 1)], knows, cases, ALL, 3)
    assert best.weight > 0.0
    rng = np.random.default_rng(9)
    guesses = SessionKnn([rng.integers(ITEMS, size=2).tolist() for _ in range(300)], ITEMS, KnnSettings())
    best, _ = blend.tune([Fixed(0.05, 1)], guesses, cases, ALL, 3)
    assert best.weight == 0.0


def test_session_knn_stays_alone_beside_a_model_that_knows_nothing() -> None:
    cases = asked()
    knows = SessionKnn(cases.sessions, ITEMS, KnnSettings())
    best, tried = blend.tune([Fixed(50.0, 1)], knows, cases, ALL, 3)
    assert best == Mix((0.0,), 1.0)
    found = measure(Blend([], knows, best), cases, Popularity.of([], ITEMS), ALL, 3, ALL)
    assert found.ndcg == pytest.approx(tried[best])


def test_a_blend_scores_what_was_tuned() -> None:
    cases, knn = asked(), SessionKnn(asked().sessions, ITEMS, KnnSettings())
    mix, tried = blend.tune([Fixed(2.0, 1)], knn, cases, ALL, 3)
    found = measure(Blend([Fixed(2.0, 1)], knn, mix), cases, Popularity.of([], ITEMS), ALL, 3, ALL)
    assert found.ndcg == pytest.approx(tried[mix])
    assert math.isfinite(found.mrr)
