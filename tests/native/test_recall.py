"""The native session-kNN against its oracle, and MMR against the form of the paper."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtp_monolith._native import SessionKnn, mmr
from rtp_monolith.errors import LogFailure
from tests.oracles.vmis_knn import VmisKnn

QUERY_SHAPES = [
    {"m_most_recent_sessions": 500, "neighborhood_size_k": 50, "max_items_in_session": 2, "idf_weighting": 1.0},
    {"m_most_recent_sessions": 5, "neighborhood_size_k": 3, "max_items_in_session": 4, "idf_weighting": 0.0},
    {"m_most_recent_sessions": 12, "neighborhood_size_k": 6, "max_items_in_session": 14, "idf_weighting": 2.5},
    {"neighborhood_size_k": 9, "max_items_in_session": 3, "with_latest": True},
    {"neighborhood_size_k": 9, "max_items_in_session": 3, "reach": 1.5},
    {"neighborhood_size_k": 4, "max_items_in_session": 5, "with_latest": True, "reach": 4.0, "idf_weighting": 0.0},
]


def assert_same_answers(index: SessionKnn, oracle: VmisKnn, rng: random.Random, items: int) -> None:
    for shape in QUERY_SHAPES:
        session = [rng.randrange(items) for _ in range(rng.randrange(1, 16))]
        exclude = rng.choice([None, *oracle.sessions])
        want = oracle.query(session, 9, exclude=exclude, **shape)
        got = index.query(session, 9, exclude=exclude, **shape)
        assert [item for item, _ in got] == [item for item, _ in want]
        assert [score for _, score in got] == pytest.approx([score for _, score in want], rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_oracle_through_touches_late_touches_forgetting_and_eviction(seed: int) -> None:
    rng = random.Random(seed)
    items = rng.choice([6, 25])
    limits = {"sessions_max": rng.choice([15, 60]), "session_items_max": rng.choice([3, 10])}
    index, oracle = SessionKnn(posting_max=1000, **limits), VmisKnn(**limits)
    now = 1_000_000
    for step in range(700):
        now += rng.choice([0, 1, 5, 50])
        session = rng.randrange(90)
        if rng.random() < 0.07:
            index.forget(session)
            oracle.forget(session)
        else:
            item, ts_ms = rng.randrange(items), now - rng.choice([0, 0, 0, 30, 4000])
            index.touch(session, item, ts_ms)
            oracle.touch(session, item, ts_ms)
        if step % 7 == 0:
            assert_same_answers(index, oracle, rng, items)
    assert index.sessions() == len(oracle.sessions)
    assert len(index) == sum(len(s.items) for s in oracle.sessions.values())


@pytest.mark.parametrize("seed", range(6))
def test_truncated_postings_still_answer_exactly_for_half_their_length(seed: int) -> None:
    rng = random.Random(seed)
    index, oracle = SessionKnn(posting_max=8, session_items_max=3), VmisKnn(session_items_max=3)
    shape = {"m_most_recent_sessions": 4, "neighborhood_size_k": 3, "max_items_in_session": 3}
    for now in range(1500):
        session, item = rng.randrange(120), rng.randrange(5)
        if rng.random() < 0.25:
            index.forget(session)
            oracle.forget(session)
        else:
            ts_ms = now - rng.choice([0, 0, 200])
            index.touch(session, item, ts_ms)
            oracle.touch(session, item, ts_ms)
        asked = [rng.randrange(5) for _ in range(3)]
        assert [i for i, _ in index.query(asked, 9, **shape)] == [i for i, _ in oracle.query(asked, 9, **shape)]
    most = index.query([0], 9, m_most_recent_sessions=500)
    assert most == index.query([0], 9, m_most_recent_sessions=4), "more than half of posting_max is not looked at"


@settings(max_examples=60, deadline=None)
@given(
    touches=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 7), st.integers(0, 40)), max_size=60),
    session=st.lists(st.integers(0, 9), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_a_restored_index_gives_the_same_answers(
    touches: list[tuple[int, int, int]], session: list[int], order: random.Random
) -> None:
    limits = {"sessions_max": 9, "session_items_max": 4}
    index, oracle = SessionKnn(**limits), VmisKnn(**limits)
    for key, item, ts_ms in touches:
        index.touch(key, item, ts_ms)
        oracle.touch(key, item, ts_ms)
    dirty = index.take_dirty_sessions()
    assert dirty == sorted({key for key, _, _ in touches})
    assert index.take_dirty_sessions() == []
    assert {key for key in dirty if index.session_entry(key) is not None} == set(oracle.sessions)
    order.shuffle(dirty)
    restored = SessionKnn(**limits)
    for key in dirty:
        entry = index.session_entry(key)
        if entry is not None:
            restored.restore(key, entry)
    assert restored.take_dirty_sessions() == []
    for shape in QUERY_SHAPES:
        assert restored.query(session, 20, **shape) == index.query(session, 20, **shape)
    assert restored.sessions() == len(oracle.sessions)


def test_what_is_refused_and_what_is_ignored() -> None:
    index = SessionKnn(items_max=10)
    index.touch(1, 3, 5)
    entry = index.session_entry(1)
    assert entry is not None
    for damaged in [b"", entry[:-1], entry + b"\0", b"\x02\x02\x03\x03", b"\x02\x01\x0a"]:
        with pytest.raises(LogFailure, match=r"log_corrupt: .*(item|record|session)"):
            index.restore(1, damaged)
    index.touch(1, 10, 6)
    assert len(index) == 1
    assert index.session_entry(2) is None
    assert index.query([], 5) == []
    assert index.query([9999], 5) == []
    assert index.query([3], 0) == []
    with pytest.raises(ValueError, match="equally long"):
        index.touch_many(np.zeros(2, np.uint64), np.zeros(1, np.uint32), np.zeros(2, np.int64))


def test_the_evolving_session_is_not_its_own_neighbour() -> None:
    index = SessionKnn()
    for session, item, ts_ms in [(1, 0, 1), (1, 1, 2), (2, 0, 3), (2, 2, 4)]:
        index.touch(session, item, ts_ms)
    assert [item for item, _ in index.query([0], 5, exclude=2)] == [1]
    assert [item for item, _ in index.query(np.array([0], np.uint32), 5)] == [1, 2]


def test_touching_many_is_touching_each() -> None:
    rng = np.random.default_rng(5)
    sessions, items = rng.integers(0, 40, 500, np.uint64), rng.integers(0, 30, 500, np.uint32)
    times = rng.integers(0, 1000, 500, np.int64)
    one, many = SessionKnn(sessions_max=20), SessionKnn(sessions_max=20)
    many.touch_many(sessions, items, times)
    for session, item, ts_ms in zip(sessions.tolist(), items.tolist(), times.tolist(), strict=True):
        one.touch(session, item, ts_ms)
    assert one.take_dirty_sessions() == many.take_dirty_sessions()
    assert [one.session_entry(key) for key in range(40)] == [many.session_entry(key) for key in range(40)]


def textbook_mmr(scores: np.ndarray, sim: np.ndarray, k: int, lam: float) -> list[int]:
    relevance = (scores - scores.min()) / (scores.max() - scores.min())
    picks: list[int] = []
    while len(picks) < k:
        rest = [i for i in range(len(scores)) if i not in picks]
        likeness = [max((sim[i, p] for p in picks), default=0.0) for i in rest]
        values = [lam * relevance[i] - (1 - lam) * like for i, like in zip(rest, likeness, strict=True)]
        picks.append(rest[int(np.argmax(values))])
    return picks


@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 1.0])
def test_mmr_equals_the_textbook_form(diversity: float) -> None:
    rng = np.random.default_rng(11)
    scores = rng.normal(size=60).astype(np.float32)
    half = rng.random((60, 60)).astype(np.float32)
    sim = (half + half.T) / 2
    got = mmr(scores, sim, 20, diversity)
    assert got == textbook_mmr(scores.astype(np.float64), sim.astype(np.float64), 20, 1 / (1 + diversity))
    if diversity == 0.0:
        assert got == np.argsort(-scores, kind="stable")[:20].tolist()


def test_mmr_refuses_a_matrix_of_another_shape() -> None:
    with pytest.raises(ValueError, match="one row and one column per score"):
        mmr(np.zeros(3, np.float32), np.zeros((3, 2), np.float32), 2, 0.5)
