"""Systematic sampling: the promised size, nothing twice, every item as often as it should be."""

from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.training.negatives import Negatives

COUNTS = np.array([1000, 300, 100, 50, 20, 10, 5, 2, 1, 0, 0, 0], dtype=np.int64)


def test_probabilities_add_up_to_the_size_and_grow_with_popularity() -> None:
    drawn = Negatives(COUNTS, 5, 0.75)
    assert drawn.inclusion.sum() == pytest.approx(5.0)
    assert (np.diff(drawn.inclusion) <= 0).all()
    assert drawn.inclusion.max() <= 1.0 and drawn.inclusion.min() > 0.0
    assert drawn.inclusion[8] / drawn.inclusion[11] == pytest.approx(2**0.75)


def test_each_item_comes_as_often_as_it_should() -> None:
    drawn, rng, draws = Negatives(COUNTS, 5, 0.75), np.random.default_rng(0), 20_000
    found = np.zeros(len(COUNTS))
    for _ in range(draws):
        items = drawn.draw(rng)
        assert len(items) == 5 == len(set(items.tolist()))
        found[items] += 1
    assert found / draws == pytest.approx(drawn.inclusion, abs=0.012)


def test_no_more_items_than_asked_for_are_all_of_them() -> None:
    drawn = Negatives(COUNTS, 50, 0.75)
    assert drawn.draw(np.random.default_rng(0)).tolist() == list(range(len(COUNTS)))
    assert drawn.log_inclusion.tolist() == [0.0] * len(COUNTS)


def test_the_same_seed_draws_the_same() -> None:
    drawn = Negatives(COUNTS, 4, 0.5)
    one, other = np.random.default_rng(9), np.random.default_rng(9)
    assert [drawn.draw(one).tolist() for _ in range(5)] == [drawn.draw(other).tolist() for _ in range(5)]
