"""Which of several encoders serves: the first, unless another is shown to be better."""

from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.training.loop import History
from rtp_monolith.training.models.build import build
from rtp_monolith.training.session_vectors import Judged, Sessions, SessionVectors, Tried, judge_by, preferred
from rtp_monolith.training.settings import Settings

SMALL = Settings(width=8, heads=2, layers=1, length_max=5, loss="full")


def tried(gains: list[float]) -> Tried:
    vectors = SessionVectors(build(4, SMALL, 0, None), {})
    return Tried(vectors, History(), Judged(0.0, float(np.mean(gains)), np.array(gains)))


def test_the_first_stays_unless_another_is_better_by_more_than_chance() -> None:
    first = tried([0.2, 0.4, 0.6, 0.8])
    noisy, worse, better = tried([0.9, 0.1, 0.9, 0.2]), tried([0.1] * 4), tried([0.3, 0.5, 0.7, 0.9])
    assert preferred([first, noisy]) is first, "better on average, but by less than the standard error"
    assert preferred([first, worse]) is first
    assert preferred([first, noisy, better]) is better
    assert preferred([first]) is first


def test_a_tie_is_not_better() -> None:
    first, same = tried([0.5, 0.5]), tried([0.5, 0.5])
    assert preferred([first, same]) is first


def test_the_gains_of_sessions_are_their_ndcg() -> None:
    model = build(4, SMALL, 0, None).eval()
    judged = judge_by(model, Sessions([[0, 1], [2, 3, 0], [1, 1]], []))
    assert judged.gains.shape == (3,) and judged.ndcg == pytest.approx(judged.gains.mean())
    # Four items: every target is within twenty, so every session has a gain.
    assert judged.hit_rate == 1.0 and (judged.gains > 0.4).all()
    nothing = judge_by(model, Sessions([], []))
    assert np.isnan(nothing.ndcg) and len(nothing.gains) == 0
