"""The weight of the sources' score, on pools small enough to count places in."""

from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.training.ranker import WantedRows
from rtp_monolith.training.recall_weight import WEIGHTS, gains_by_weight


def pools(gain: list[float], stands_for: list[float], numbers: list[int]) -> WantedRows:
    features = np.zeros((len(gain), 1), np.float32)
    return WantedRows(
        features, np.array(gain, np.float32), np.array(stands_for, np.float32), np.array(numbers, np.int32)
    )


def test_a_place_counts_what_stands_before_it() -> None:
    wanted = pools([0, 1, 0, 1, 0], [1, 1, 1, 1, 12], [0, 0, 0, 1, 1])
    found, worth = np.array([0.9, 0.3, 0.5, 1.0, 2.0]), np.array([1.0, 7.0, 2.0, 5.0, 1.0])
    made = gains_by_weight(wanted, found, worth)
    assert list(made) == [str(weight) for weight in WEIGHTS]
    # By worth both wanted items are first; by the sources one is third of its pool and one stands behind twelve.
    assert made["0.0"] == pytest.approx(1.0) and made["1.0"] == pytest.approx((1 / np.log2(4)) / 2, abs=1e-5)


def test_pools_are_scaled_each_for_itself() -> None:
    wanted = pools([1, 0, 0, 1], [1] * 4, [0, 0, 1, 1])
    found, worth = np.array([100.0, 0.0, 0.001, 0.0]), np.array([0.0, 0.001, 0.0, 1000.0])
    made = gains_by_weight(wanted, found, worth)
    second = 1 / np.log2(3)
    # Each pool has one judge that is right, whatever numbers it speaks in; half and half they are even.
    for weight, gain in made.items():
        assert gain == pytest.approx(second if weight == "0.5" else (1 + second) / 2, abs=1e-5), weight


def test_ties_do_not_help_and_nothing_is_nothing() -> None:
    wanted = pools([1, 0], [1, 1], [0, 0])
    assert gains_by_weight(wanted, np.zeros(2), np.zeros(2))["0.5"] == pytest.approx(1 / np.log2(3), abs=1e-5)
    assert gains_by_weight(pools([], [], []), np.zeros(0), np.zeros(0)) == {}
