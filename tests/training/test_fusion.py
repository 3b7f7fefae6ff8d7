"""Fusion as it is learned: it beats both alone where both say something, and serves what torch says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import FORMS
from rtp_monolith.training.fusion import (
    WITH_CONTEXT,
    FusionSettings,
    Gain,
    TrainedFusion,
    case_ranks,
    judged,
    train_fusion,
)
from rtp_monolith.training.fusion_model import fused
from rtp_monolith.training.metrics import MISS
from rtp_monolith.training.users import parts_of, strangers_of
from rtp_monolith.training.wishes import Wishes

D, ITEMS = 8, 64
QUICK = FusionSettings(epochs=6, learning_rate=5e-3, batch=128, context_epochs=8)


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


def test_a_seed_gives_the_same_weights_twice() -> None:
    again = [
        train_fusion(
            visitors(200, 1), visitors(50, 2), countries(), QUICK, COUNTRIES, seed=4, tell=lambda _: None
        ).models
        for _ in range(2)
    ]
    for way, model in again[0].items():
        for name, value in model.exported().weights.items():
            np.testing.assert_array_equal(value, again[1][way].exported().weights[name])


COUNTRIES = ContextWords(country=("DE", "FR"))


def countries() -> np.ndarray:
    """Items 0 to 31 lie one way, and are wanted in DE; the others lie another way, and are wanted in FR."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ITEMS, D)) * 0.3
    vectors[: ITEMS // 2, 0] += 1
    vectors[ITEMS // 2 :, 1] += 1
    return (10 * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def visitors(n: int, seed: int, *, decides: bool = True) -> Wishes:
    """Half are users with a past, half have clicked; neither says which country's items are wanted."""
    rng, vectors = np.random.default_rng(seed), countries()
    own = rng.integers(0, 2, n)
    target = rng.integers(0, ITEMS // 2, n) + ITEMS // 2 * (own if decides else rng.integers(0, 2, n))
    noise = rng.normal(size=(2, n, D))
    static, session = noise / np.linalg.norm(noise, axis=2, keepdims=True)
    clicks = np.where(rng.random(n) < 0.5, 0, rng.integers(1, 4, n))
    session = session + 0.05 * vectors[target]
    session[clicks == 0] = 0
    static[rng.random(n) < 0.5] = 0
    numbers = np.full((n, 4), -1, np.int64)
    numbers[:, 1] = own
    return Wishes(
        static.astype(np.float32), np.arange(n), session.astype(np.float32), clicks, target,
        np.full((n, 3), -1, np.int64), np.arange(n, dtype=np.int64), numbers,
    )  # fmt: skip


@pytest.fixture(scope="module")
def placed() -> TrainedFusion:
    torch.set_num_threads(1)
    return train_fusion(
        visitors(1_500, 1), visitors(500, 2), countries(), QUICK, COUNTRIES, seed=3, tell=lambda _: None
    )


def test_where_the_country_decides_a_stranger_gets_its_own_items(placed: TrainedFusion) -> None:
    assert placed.best.endswith(WITH_CONTEXT) and placed.gains.beside.is_shown and placed.gains.alone.is_shown
    for form in FORMS:
        serving = placed.models[form + WITH_CONTEXT].exported()
        for country, own in (("DE", range(32)), ("FR", range(32, 64))):
            asked = serving.fuse(None, None, 0, serving.context_of((None, country, None), 0))
            assert asked is not None
            found = np.argsort(-(countries() @ asked))[:20].tolist()
            assert set(found) <= set(own), (form, country)
        assert serving.context_of((None, "US", None), 0) is None, "an unknown country adds nothing"
    assert placed.serving.alone and placed.serving.exported().alone


def test_the_context_helps_beside_past_and_session_and_leaves_them_as_they_were(placed: TrainedFusion) -> None:
    held = visitors(800, 9)
    for form in FORMS:
        base, wide = placed.models[form], placed.models[form + WITH_CONTEXT]
        np.testing.assert_allclose(fused(wide, held, context=False), fused(base, held), atol=1e-5)
        known = held.of(np.flatnonzero(held.has_past | (held.clicks > 0)))
        ndcg = [judged("", fused(model, known), countries(), known).ndcg for model in (base, wide)]
        assert ndcg[1] > ndcg[0] + 0.01, form


def test_where_nothing_depends_on_it_the_context_stays_out() -> None:
    learned, held = visitors(600, 1, decides=False), visitors(400, 2, decides=False)
    made = train_fusion(learned, held, countries(), QUICK, COUNTRIES, seed=3, tell=lambda _: None)
    assert not made.gains.beside.is_shown
    assert not made.best.endswith(WITH_CONTEXT) and made.serving.words is None and not made.serving.alone
    assert {*made.models} == {*FORMS, *(form + WITH_CONTEXT for form in FORMS)}, "all of them are there to be shown"


def test_a_gain_is_shown_when_its_interval_is_above_nothing() -> None:
    assert Gain(10, 0.1, (0.01, 0.2)).is_shown and not Gain(10, 0.1, (0.0, 0.2)).is_shown


def test_where_sessions_say_it_all_they_are_left_alone() -> None:
    """The item is where the session points, from its first click on; the past says something before."""
    rng, vectors = np.random.default_rng(5), table()

    def made(n: int) -> Wishes:
        target = rng.integers(0, ITEMS, n)
        clicks = np.where(rng.random(n) < 0.4, 0, rng.integers(1, 12, n))
        session = vectors[target] / 10 * (clicks > 0)[:, None]
        noise = rng.normal(size=(n, D))
        static = noise / np.linalg.norm(noise, axis=1, keepdims=True) + 0.05 * vectors[target]
        static /= np.linalg.norm(static, axis=1, keepdims=True)
        return Wishes(
            static.astype(np.float32), np.arange(n), session.astype(np.float32), clicks, target,
            np.full((n, 3), -1, np.int64), np.arange(n, dtype=np.int64),
        )  # fmt: skip

    trained, held = train_fusion(made(800), made(300), vectors, QUICK, seed=3, tell=lambda _: None), made(300)
    for model in trained.models.values():
        asked = fused(model, held)
        ranks = case_ranks(asked, vectors, held)
        assert (ranks[held.clicks > 0] == 1).mean() > 0.95, "no worse than the session"
        assert model.clicks_max is not None
        beyond = held.clicks > model.clicks_max
        np.testing.assert_array_equal(asked[beyond], held.session[beyond])


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


def test_strangers_have_what_is_left(placed: TrainedFusion) -> None:
    held = visitors(400, 5)
    strangers = held.of(np.flatnonzero(~held.has_past))
    first, later = strangers_of(placed, visitors(1_500, 1), strangers, countries(), 0)
    assert [*first.ways] == ["popular", "context"] and first.n + later.n == len(strangers)
    assert first.ways["context"].difference_intervals["ndcg"][0] > 0
    assert next(iter(later.ways)) == "session" and later.ways["gated" + WITH_CONTEXT].difference["ndcg"] > 0
