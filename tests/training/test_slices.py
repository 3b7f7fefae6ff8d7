"""Slices against loops, and intervals that hold what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtp_monolith.training import slices

RANKS = np.array([1, 0, 3, 11, 2, 1, 0, 5])


def test_measures_by_hand() -> None:
    made = slices.measures(RANKS, 10)
    assert made["hr"].tolist() == [1, 0, 1, 0, 1, 1, 0, 1]
    assert made["mrr"].tolist() == pytest.approx([1, 0, 1 / 3, 0, 1 / 2, 1, 0, 1 / 5])
    assert made["ndcg"].tolist() == pytest.approx([1, 0, 1 / 2, 0, 1 / math.log2(3), 1, 0, 1 / math.log2(6)])


def test_lengths_by_hand() -> None:
    made = slices.by_length(RANKS, np.array([0, 1, 1, 4, 3, 25, 20, 4]), 10)
    assert [(each.name, each.n, each.hr) for each in made] == [
        ("0", 1, 1.0), ("1", 2, 0.5), ("3-4", 3, pytest.approx(2 / 3)), ("20 and more", 2, 0.5)
    ]  # fmt: skip
    assert made[1].mrr == pytest.approx(1 / 6)


def test_popularity_by_hand() -> None:
    # Of 20 clicks the head takes the first ten (item 2, and item 0 which the tenth falls in), the middle up to 16.
    clicks = np.array([4.0, 3.0, 8.0, 0.0, 3.0, 2.0])
    made = slices.by_popularity(RANKS, np.array([2, 0, 1, 4, 5, 3, -1, 2]), clicks, 10)
    assert [(each.name, each.n) for each in made] == [("head", 3), ("middle", 2), ("tail", 1), ("never clicked", 2)]
    assert sum(each.n * each.ndcg for each in made) == pytest.approx(slices.measures(RANKS, 10)["ndcg"].sum())


def test_draws_take_whole_sessions_and_the_same_for_every_row() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((2, 60))
    values[1] = values[0] + 0.25
    groups = np.repeat(np.arange(20), 3)
    draws = slices.drawn_means(values, groups, seed=1, draws=200)
    assert draws[:, 1] - draws[:, 0] == pytest.approx(np.full(200, 0.25))
    assert np.array_equal(draws, slices.drawn_means(values, groups, seed=1, draws=200))
    for draw in range(3):
        taken = np.random.default_rng([1, 7])
        sizes = [taken.integers(20, size=20) for _ in range(draw + 1)][draw]
        want = np.concatenate([values[0][groups == group] for group in sizes]).mean()
        assert draws[draw, 0] == pytest.approx(want)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng, covered = np.random.default_rng(3), 0
    for trial in range(200):
        values = np.repeat(rng.normal(size=40), 2)[None] + 0.1 * rng.normal(size=(1, 80))
        low, high = slices.interval(slices.drawn_means(values, np.repeat(np.arange(40), 2), trial, draws=200)[:, 0])
        covered += low <= 0.0 <= high
    assert 0.87 <= covered / 200 <= 0.98
