"""Popularity, item-kNN and session-kNN as scorers: against plain loops, and under a live protocol."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch

from rtp_monolith.training.models.item_knn import DECAY, LATEST_MAX, SHRINK, TAIL, ItemKnn
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.models.popularity_context import PLACES, PRIOR_CLICKS, ContextPopularity
from rtp_monolith.training.models.session_knn import KnnSettings, SessionKnn
from rtp_monolith.training.protocols import Cases, prefix_cases, stream_cases
from tests.oracles.vmis_knn import VmisKnn

ITEMS = 25


def random_sessions(seed: int, count: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(ITEMS, size=int(rng.integers(1, 8))).tolist() for _ in range(count)]


TRAIN, TEST = random_sessions(0, 80), random_sessions(1, 12)


def cases(sessions: list[list[int]] = TEST) -> Cases:
    return prefix_cases(sessions, np.ones(ITEMS, dtype=bool))


def test_popularity_counts_clicks() -> None:
    popular = Popularity.of(TRAIN, ITEMS)
    want = [sum(session.count(item) for session in TRAIN) for item in range(ITEMS)]
    assert popular.scores(cases(), 2, 4).tolist() == [want, want]


def test_live_popularity_knows_what_happened_and_not_what_will() -> None:
    popular = Popularity.of([[0, 0, 1]], 3)
    live = stream_cases([[0, 0, 1]], [(1, 1), (2, 1), (1, 2)], np.ones(3, dtype=bool))
    before = popular.copy()
    assert popular.scores(live, 0, 3).tolist() == [[2, 1, 0], [2, 2, 0], [2, 3, 0]]
    assert before.counts.tolist() == [2, 1, 0]


def test_a_half_life_halves_a_click_for_every_so_many_later_sessions() -> None:
    popular = Popularity.of([[0, 1], [-1, 1], [2]], 3, half_life=2.0)
    assert popular.counts.tolist() == pytest.approx([0.5, 0.5 + 0.5**0.5, 1.0])
    assert Popularity.of([[0, 1], [1]], 2, half_life=1e9).counts.tolist() == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize("described", [False, True])
def test_popularity_in_a_context_is_a_shrunk_count(described: bool) -> None:
    attributes = [[item % 3, 3 + item % 2] if item % 5 else [] for item in range(ITEMS)] if described else None
    clicks = np.array([sum(session.count(item) for session in TRAIN) for item in range(ITEMS)])
    share = clicks / clicks.sum()

    def contexts(history: list[int]) -> list[object]:
        if attributes is not None and (own := attributes[history[-1]]):
            return list(own)
        return [("place", sum(len(history) >= place for place in PLACES))]

    counts: dict[object, np.ndarray] = {}
    for session in TRAIN:
        for place in range(1, len(session)):
            for context in contexts(session[:place]):
                counts.setdefault(context, np.zeros(ITEMS))[session[place]] += 1
    model, asked = ContextPopularity(TRAIN, ITEMS, attributes), cases()
    for case in range(len(asked)):
        own = [counts.get(context, np.zeros(ITEMS)) for context in contexts(asked.history(case))]
        want = sum((each + PRIOR_CLICKS * share) / (each.sum() + PRIOR_CLICKS) for each in own) / len(own)
        assert model.scores(asked, case, case + 1)[0].numpy() == pytest.approx(want, rel=1e-5)


def test_without_a_context_it_is_popularity() -> None:
    live = stream_cases(TRAIN, [(len(TRAIN), 1)], np.ones(ITEMS, dtype=bool))
    got = ContextPopularity(TRAIN, ITEMS, None).scores(live, 0, 1)[0]
    want = Popularity.of(TRAIN, ITEMS).counts
    assert got.numpy() == pytest.approx((want / want.sum()).numpy(), rel=1e-6)


@pytest.mark.parametrize("described", [False, True])
def test_popularity_in_a_context_learns_what_comes_live(described: bool) -> None:
    attributes = [[item % 3] for item in range(ITEMS)] if described else None
    events = [(len(TRAIN), 1), (len(TRAIN) + 1, 2), (len(TRAIN), 3), (len(TRAIN) + 1, 3), (len(TRAIN), 1)]
    live = stream_cases(TRAIN, events, np.ones(ITEMS, dtype=bool))
    got = ContextPopularity(TRAIN, ITEMS, attributes).scores(live, 0, len(events))
    one_by_one = ContextPopularity(TRAIN, ITEMS, attributes)
    for case in range(len(events)):
        # Trained on everything that came before, it says the same.
        grown = [list(session) for session in TRAIN] + [[], []]
        for session, item in events[:case]:
            grown[session].append(item)
        want = ContextPopularity(grown, ITEMS, attributes).scores(live, case, case + 1)[0]
        torch.testing.assert_close(got[case], want, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(one_by_one.scores(live, case, case + 1)[0], want, rtol=1e-5, atol=1e-7)


def test_item_knn_is_the_shrunk_cosine() -> None:
    held = [{n for n, session in enumerate(TRAIN) if item in session} for item in range(ITEMS)]
    model, asked = ItemKnn(TRAIN, ITEMS), cases()
    clicks = np.array([sum(session.count(item) for session in TRAIN) for item in range(ITEMS)])
    for case in range(0, len(asked), 5):
        want = TAIL * clicks / clicks.max()
        for back, item in enumerate(reversed(asked.history(case)[-LATEST_MAX:])):
            for other in range(ITEMS):
                if other != item:
                    similar = len(held[item] & held[other]) / (math.sqrt(len(held[item]) * len(held[other])) + SHRINK)
                    want[other] += similar * DECAY**back
        assert model.scores(asked, case, case + 1)[0].numpy() == pytest.approx(want, rel=1e-4, abs=1e-7)


def test_item_knn_counts_pairs_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ItemKnn(TRAIN, ITEMS).scores(cases(), 0, 5)
    monkeypatch.setattr("rtp_monolith.training.models.item_knn.PAIRS_PER_CHUNK", 10)
    assert ItemKnn(TRAIN, ITEMS).scores(cases(), 0, 5).tolist() == whole.tolist()


def test_item_knn_of_lonely_items_is_popularity() -> None:
    model = ItemKnn([[0], [1], [1]], 3)
    assert (
        model.scores(prefix_cases([[0, 1]], np.ones(3, dtype=bool)), 0, 1)[0].argsort(descending=True).tolist()[0] == 1
    )


@pytest.mark.parametrize("settings", [KnnSettings(), KnnSettings(max_items_in_session=2, idf_weighting=0.0)])
def test_session_knn_is_its_oracle(settings: KnnSettings) -> None:
    oracle = VmisKnn()
    for key, session in enumerate(TRAIN):
        for item in session:
            oracle.touch(key, item, key)
    model, asked = SessionKnn(TRAIN, ITEMS, settings), cases()
    clicks = np.array([sum(session.count(item) for session in TRAIN) for item in range(ITEMS)])
    for case in range(len(asked)):
        want = 1e-6 * clicks / clicks.max()
        for item, score in oracle.query(asked.history(case), 500, **msgspec.structs.asdict(settings)):
            want[item] += score
        assert model.scores(asked, case, case + 1)[0].numpy() == pytest.approx(want, rel=1e-5, abs=1e-7)


def test_live_session_knn_learns_from_other_sessions_but_not_from_its_own() -> None:
    past, events = [[0, 1]], [(1, 2), (1, 3), (2, 2), (2, 3)]
    live = stream_cases(past, events, np.ones(4, dtype=bool))
    model = SessionKnn(past, 4, KnnSettings())
    votes = [model.votes(live, case)[0].tolist() for case in range(4)]
    assert votes == [[], [], [], [3]]
    assert model.fresh() is not model
    assert [model.fresh().votes(live, case)[0].tolist() for case in range(1)] == [[]]


def test_other_settings_share_the_index() -> None:
    model = SessionKnn(TRAIN, ITEMS, KnnSettings())
    other = model.with_settings(KnnSettings(neighborhood_size_k=1))
    assert other.index is model.index and model.settings.neighborhood_size_k == 100
    assert model.fresh() is model
