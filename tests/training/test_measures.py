"""Figures on cases small enough for the head, and calibration that repairs a skew."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rtp_monolith.training.measures import auc, calibration_error, log_loss, ndcg


def labels(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)


def test_auc_counts_pairs_and_a_tie_as_half() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    assert auc(scores, labels(1, 0, 1, 0)) == 0.75
    assert auc(scores, labels(1, 1, 0, 0)) == 1.0
    assert auc(np.ones(4), labels(1, 0, 1, 0)) == 0.5
    assert math.isnan(auc(scores, labels(1, 1, 1, 1)))


def test_ndcg_is_of_lists_and_ties_stand_worst() -> None:
    lists = np.array([0, 0, 0, 1, 1], np.int32)
    found = ndcg(np.array([3.0, 2.0, 1.0, 1.0, 2.0]), labels(0, 1, 0, 0, 0), lists)
    assert found == pytest.approx(1 / math.log2(3)), "the second list has nothing to find"
    assert ndcg(np.ones(3), labels(1, 0, 0), lists[:3]) == pytest.approx(0.5)
    assert ndcg(np.array([2.0, 3.0, 1.0]), labels(1, 1, 0), lists[:3]) == 1.0
    assert ndcg(np.array([3.0, 2.0, 1.0]), labels(0, 0, 1), lists[:3], k=2) == 0.0


def test_log_loss_is_the_mean_of_what_was_missed() -> None:
    assert log_loss(np.array([0.5, 0.25]), labels(1, 0)) == pytest.approx(-(math.log(0.5) + math.log(0.75)) / 2)
    assert log_loss(np.array([0.0]), labels(1)) < 20.0


def test_calibration_error_is_the_gap_of_bins() -> None:
    p = np.repeat([0.1, 0.6], 10)
    assert calibration_error(p, labels(*[0] * 10, *[1] * 10), bins=2) == pytest.approx(0.25)
    assert calibration_error(p, labels(1, *[0] * 9, *[1] * 6, *[0] * 4), bins=2) == pytest.approx(0.0)
