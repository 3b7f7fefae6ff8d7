"""Fusion as it is learned: it beats both alone where both say something, and serves what torch says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.features.fusion import FORMS, Form
from rtp_monolith.training.fusion import (
    PARITY_MAX,
    FusionModel,
    FusionSettings,
    TrainedFusion,
    case_ranks,
    fused,
    fusion_parity,
    judged,
    train_fusion,
)
from rtp_monolith.training.metrics import MISS
from rtp_monolith.training.users import parts_of
from rtp_monolith.training.wishes import Wishes

D, ITEMS = 8, 64
QUICK = FusionSettings(epochs=6, learning_rate=5e-3, batch=64)


def table() -> np.ndarray:
    vectors = np.random.default_rng(0).normal(size=(ITEMS, D))
    return (10 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def cases(n: int, seed: int) -> Wishes:
    """The item is what the past, turned, and the session point at together; one session in five is empty, one past
    missing in ten."""
    rng, vectors = np.random.default_rng(seed), table()
    turn = np.linalg.qr(np.random.default_rng(9).normal(size=(D, D)))[0]
    static, session = rng.normal(size=(n, D)), rng.normal(size=(n, D))
    static /= np.linalg.norm(static, axis=1, keepdims=True)
    session /= np.linalg.norm(session, axis=1, keepdims=True)
    clicks = np.where(rng.random(n) < 0.2, 0, rng.integers(1, 6, n))
    session[clicks == 0] = 0
    target = ((static @ turn.T + session) @ vectors.T).argmax(axis=1)
    static[rng.random(n) < 0.1] = 0
    return Wishes(
        static.astype(np.float32), np.arange(n), session.astype(np.float32), clicks, target,
        np.full((n, 3), -1, np.int64), np.arange(n, dtype=np.int64),
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> TrainedFusion:
    torch.set_num_threads(1)
    return train_fusion(cases(2_000, 1), cases(400, 2), table(), QUICK, seed=3, tell=lambda _: None)


def test_each_form_beats_the_past_and_the_session_alone(trained: TrainedFusion) -> None:
    own = cases(600, 5)
    own = own.of(np.flatnonzero(own.has_past))
    alone = [judged("", each, table(), own).ndcg for each in (own.pasts, own.session)]
    for form in FORMS:
        assert judged(form, fused(trained.models[form], own), table(), own).ndcg > max(alone) + 0.03, form
    best = max(trained.tried, key=lambda each: each.ndcg)
    assert trained.best == best.name


def test_what_is_missing_is_as_documented(trained: TrainedFusion) -> None:
    own = cases(300, 6)
    for model in trained.models.values():
        made = fused(model, own)
        assert np.isfinite(made).all()
        stranger = ~own.has_past
        np.testing.assert_array_equal(made[stranger], own.session[stranger])
        new = own.has_past & (own.clicks == 0)
        projected = own.pasts[new] @ model.own["project"].detach().numpy().T
        wanted = model.scale * projected / np.linalg.norm(projected, axis=1, keepdims=True)
        np.testing.assert_allclose(made[new], wanted, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_what_serves_says_what_torch_says(trained: TrainedFusion, form: Form) -> None:
    assert fusion_parity(trained.models[form], cases(100, 7)) < PARITY_MAX


@pytest.mark.parametrize("form", FORMS)
def test_it_begins_near_the_session(form: Form) -> None:
    own = cases(200, 8)
    own = own.of(np.flatnonzero(own.has_past & (own.clicks > 0)))
    cosines = (fused(FusionModel(form, D, 1.0), own) * own.session).sum(axis=1)
    assert cosines.min() > 0.85


def test_a_seed_gives_the_same_weights_twice() -> None:
    again = [
        train_fusion(cases(200, 1), cases(50, 2), table(), QUICK, seed=4, tell=lambda _: None)
        .serving.exported()
        .weights
        for _ in range(2)
    ]
    for name, value in again[0].items():
        np.testing.assert_array_equal(value, again[1][name])


def test_a_large_catalogue_is_learned_by_a_sample(trained: TrainedFusion) -> None:
    sampled = FusionSettings(("gated",), epochs=6, learning_rate=5e-3, batch=64, items_max=10, negatives=32)
    made = train_fusion(cases(2_000, 1), cases(400, 2), table(), sampled, seed=3, tell=lambda _: None)
    own = cases(600, 5)
    whole, part = (judged("", fused(m.models["gated"], own), table(), own).ndcg for m in (trained, made))
    assert part > whole - 0.05


def test_ranks_leave_out_what_the_session_wanted() -> None:
    vectors = np.eye(4, dtype=np.float32)
    asked = np.array([[3, 2, 1, 0], [3, 2, 1, 0], [0, 0, 0, 0]], np.float32)
    before = np.array([[-1], [0], [-1]])
    one = Wishes(asked, np.arange(3), asked, np.ones(3, np.int64), np.array([2, 2, 2]), before, np.arange(3))
    assert case_ranks(asked, vectors, one).tolist() == [3, 2, MISS]


def test_parts_hold_every_case_once(trained: TrainedFusion) -> None:
    own = cases(300, 5)
    own = own.of(np.flatnonzero(own.has_past))
    whole, some, *by_clicks = parts_of(trained, own, table(), 0)
    assert whole.n == len(own) == sum(each.n for each in by_clicks) and some.n == int((own.clicks > 0).sum())
    assert [each.name for each in by_clicks] == ["0", "1", "2-4", "5 and more"]
    assert by_clicks[0].ways["session"].means["hr"] == 0.0
    for way, found in whole.ways.items():
        mean = sum(each.n * each.ways[way].means["ndcg"] for each in by_clicks) / whole.n
        assert abs(found.means["ndcg"] - mean) < 1e-9
