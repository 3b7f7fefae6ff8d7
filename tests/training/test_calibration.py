"""Platt's curve and the isotonic one: both find what made the labels, rise everywhere, and leave alone what says
nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtp_monolith.training import calibration
from rtp_monolith.training.calibration import METHODS, Curve, Method, calibrate, isotonic, platt, sigmoid
from rtp_monolith.training.measures import calibration_error

Labels = NDArray[np.uint8]


def drawn(probabilities: NDArray[np.float64], seed: int) -> Labels:
    return (np.random.default_rng(seed).random(len(probabilities)) < probabilities).astype(np.uint8)


def test_platt_finds_the_curve_that_made_the_labels() -> None:
    logits = np.random.default_rng(5).normal(size=200_000)
    labels = drawn(sigmoid(0.5 * logits - 1.5), 6)
    slope, shift = platt(logits, labels)
    assert (slope, shift) == (pytest.approx(0.5, abs=0.02), pytest.approx(-1.5, abs=0.02))
    made = calibrate(logits, labels, "platt")
    assert made.ece_before > 0.2 and made.ece_after < 0.005
    assert (made.rows, made.positives) == (200_000, int(labels.sum()))


def test_the_isotonic_curve_finds_what_no_sigmoid_is() -> None:
    """A model that is too sure of itself at one end alone: held-out rows have the error of chance with one, not with
    the other."""
    rng = np.random.default_rng(1)
    logits = rng.normal(scale=2.0, size=60_000)
    truth = sigmoid(np.where(logits > 0, 0.15 * logits, 2.0 * logits))
    labels = drawn(truth, 2)
    learned, held = slice(0, 40_000), slice(40_000, None)
    curves = {method: calibrate(logits[learned], labels[learned], method).curve for method in METHODS}
    error = {
        method: calibration_error(curve.probabilities(logits[held]), labels[held]) for method, curve in curves.items()
    }
    assert error["isotonic"] < 0.015 < 0.03 < error["platt"]
    assert len(curves["isotonic"].bends) <= calibration.BLOCKS_MAX
    assert np.abs(curves["isotonic"].probabilities(logits) - truth).mean() < 0.01


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 3000), st.sampled_from(["steep", "flat", "falling", "steps"]))
def test_a_curve_never_changes_the_order(seed: int, n: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=n).astype(np.float32)
    if kind == "steps":
        logits = np.round(logits)
    truth = {"steep": 4 * logits, "flat": 0 * logits, "falling": -2 * logits, "steps": logits}[kind]
    labels = drawn(sigmoid(truth.astype(np.float64) - 1.0), seed)
    for method in METHODS:
        curve = calibrate(logits, labels, method).curve
        over = np.linspace(-30.0, 30.0, 2001)
        made = curve.logits(over)
        assert np.isfinite(made).all() and (np.diff(made) > 0).all()


def test_a_curve_is_what_it_says() -> None:
    curve = Curve(2.0, -1.0, [(0.0, 1.0), (1.0, -2.5)])
    assert curve.logits(np.array([-1.0, 0.0, 1.0, 3.0])).tolist() == [-3.0, -1.0, 2.0, 3.0]


def test_blocks_of_neighbours_are_the_known_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates 1/4, 3/4, 1/4 of four rows each: the last two fall, so they are pooled to 1/2 with the centre 2.5."""
    monkeypatch.setattr(calibration, "BLOCK_ROWS_MIN", 4)
    logits = np.repeat([1.0, 2.0, 3.0], 4)
    labels = np.array([1, 0, 0, 0, 1, 1, 1, 0, 1, 0, 0, 0], np.uint8)
    curve = isotonic(logits, labels)
    assert curve.probabilities(np.array([1.0, 2.5])) == pytest.approx([0.25, 0.5])
    assert [at for at, _ in curve.bends] == [1.0, 2.5]


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_are_all_alike_leave_the_logits_alone(method: Method) -> None:
    for said in ([0, 0], [1, 1], []):
        assert calibrate(np.arange(len(said), dtype=np.float64), np.array(said, np.uint8), method).curve == Curve()


def test_too_few_rows_for_blocks_are_platts() -> None:
    logits = np.linspace(-1, 1, 60)
    labels = drawn(sigmoid(logits), 3)
    assert isotonic(logits, labels) == Curve(*platt(logits, labels))
