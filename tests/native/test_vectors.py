"""Item vectors in the core: the scan against brute force, stand-ins, visibility, and the session of a request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rtp_monolith._native import Core, SurfacePlan
from rtp_monolith.errors import RtpError

from .catalogue import Shelf, vectors

N = 3_000
ANN = 1 << 9


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def exact(rows: NDArray[np.float32], query: NDArray[np.float32], n: int) -> list[int]:
    scores = rows @ query
    return np.lexsort((np.arange(len(rows)), -scores))[:n].tolist()


@pytest.mark.parametrize("dimension", [1, 3, 16, 64, 100])
def test_the_scan_finds_what_brute_force_finds(shelf: Shelf, dimension: int) -> None:
    shelf.put(*[{"id": str(n)} for n in range(N)])
    rows = vectors(dimension, N, dimension)
    shelf.core.set_vectors([str(n) for n in range(N)], rows)
    for query in vectors(1, 20, dimension):
        for n in (1, 10, 500, N, 2 * N):
            items, scores = shelf.core.nearest(query, n)
            want = exact(rows, query, n)
            assert np.isin(want, items).mean() >= 0.99
            assert items.dtype == np.uint32 and scores.dtype == np.float32
            # Far above the border of a long list a score is that of the bytes.
            rounding = 1e-4 if n <= 10 else 0.02 * np.abs(rows @ query).max()
            np.testing.assert_allclose(scores, rows[items] @ query, rtol=1e-4, atol=rounding)
            assert (np.diff(scores) <= 0).all() and len(np.unique(items)) == len(items) == len(want)


def test_the_order_of_items_does_not_matter(tmp_path: Path) -> None:
    rows = vectors(2, N, 24)
    order = np.random.default_rng(3).permutation(N)
    ids = [str(n) for n in range(N)]
    shelves = [Shelf(tmp_path / "a"), Shelf(tmp_path / "b")]
    for shelf, places in zip(shelves, (np.arange(N), order), strict=True):
        shelf.put(*[{"id": ids[n]} for n in places])
        shelf.core.set_vectors(ids, rows)
    for query in vectors(4, 10, 24):
        there, first = shelves[0].core.nearest(query, 300)
        back, second = shelves[1].core.nearest(query, 300)
        assert first.tobytes() == second.tobytes()
        assert there.tolist() == order[back].tolist()


@pytest.fixture(scope="module")
def seventy(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    shelf = Shelf(tmp_path_factory.mktemp("seventy"))
    shelf.put(*[{"id": str(i)} for i in range(70)])
    return shelf


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 70), kind=st.sampled_from(["zero", "equal", "tiny", "huge"]))
def test_odd_vectors_keep_the_order_of_their_products(seventy: Shelf, seed: int, n: int, kind: str) -> None:
    rows = vectors(seed, n, 5)
    rows[:: 1 if kind == "zero" else 2] *= {"zero": 0.0, "equal": 1.0, "tiny": 1e-30, "huge": 1e15}[kind]
    if kind == "equal":
        rows[:] = rows[0]
    seventy.core.set_vectors([str(i) for i in range(n)], rows)
    items, scores = seventy.core.nearest(vectors(seed + 1, 1, 5)[0], n)
    assert sorted(items.tolist()) == list(range(n))
    assert (np.diff(scores) <= 0).all()
    if kind in ("zero", "equal"):
        assert items.tolist() == list(range(n)), "of equals the first"


def test_what_is_gone_or_not_available_is_never_found(shelf: Shelf) -> None:
    ids = [str(n) for n in range(200)]
    shelf.put(*[{"id": id} for id in ids])
    shelf.core.set_vectors(ids, vectors(5, 200, 8))
    shelf.delete(*ids[:50])
    shelf.put(*[{"id": id, "available": False} for id in ids[50:100]])
    items, _ = shelf.core.nearest(vectors(6, 1, 8)[0], 1_000)
    assert sorted(items.tolist()) == list(range(100, 200))
    assert shelf.core.vectors_len == 100
    shelf.put({"id": "7"}, {"id": "60"})
    assert {7, 60} < set(shelf.core.nearest(vectors(6, 1, 8)[0], 1_000)[0].tolist())


def test_an_item_put_later_is_found_by_the_next_call(shelf: Shelf) -> None:
    shelf.put({"id": "a", "categories": ["m > s"]})
    rows = np.array([[1, 0], [0, 1]], np.float32)
    shelf.core.set_vectors(["a", "late"], rows)
    shelf.put({"id": "late", "categories": ["m > s"]}, {"id": "new", "categories": ["m > t"]}, {"id": "odd"})
    items, scores = shelf.core.nearest(np.array([0, 2], np.float32), 9)
    assert (items.tolist(), scores.tolist()) == ([1, 2, 0], [2.0, 1.0, 0.0])
    assert shelf.core.gather(np.array([2, 3, 99], np.uint32)).tolist() == [[0.5, 0.5], [0, 0], [0, 0]]
    here, gone = shelf.core.take_vector_changes()
    assert (here.tolist(), gone.tolist()) == ([0, 1, 2], [])
    shelf.delete("late")
    assert [each.tolist() for each in shelf.core.take_vector_changes()] == [[2], [1]]


def test_vectors_are_replaced_and_cleared(shelf: Shelf) -> None:
    shelf.put({"id": "a"}, {"id": "b"})
    core = shelf.core
    assert (core.vectors_len, core.vectors_dimension) == (0, 0)
    core.set_vectors(["a", "b"], np.eye(2, dtype=np.float32))
    core.set_vectors(["b"], np.ones((1, 3), np.float32))
    assert (core.vectors_len, core.vectors_dimension) == (1, 3)
    assert core.nearest(np.ones(3, np.float32), 5)[0].tolist() == [1]
    core.clear_vectors()
    assert (core.vectors_len, core.vectors_dimension) == (0, 0)
    assert core.gather(np.array([0], np.uint32)).shape == (1, 0)


def test_vectors_staged_in_parts_are_those_set_at_once(shelf: Shelf) -> None:
    core = shelf.core
    shelf.put(*[{"id": str(n), "categories": ["m"]} for n in range(60)])
    ids, rows, query = [str(n) for n in range(50)], vectors(1, 50, 6), vectors(2, 1, 6)[0]
    core.set_vectors(ids[:1], np.ones((1, 2), np.float32))
    assert not core.adopt_vectors()
    for start in range(0, 50, 20):
        core.stage_vectors(ids[start : start + 20], rows[start : start + 20])
        assert core.vectors_dimension == 2, "the old ones serve until all are there"
    assert core.adopt_vectors()
    items, scores = core.nearest(query, 100)
    core.set_vectors(ids, rows)
    again = core.nearest(query, 100)
    assert (items.tolist(), scores.tobytes()) == (again[0].tolist(), again[1].tobytes())
    assert len(items) == 60


def test_what_does_not_fit_is_refused(shelf: Shelf) -> None:
    shelf.put({"id": "a"})
    core = shelf.core
    core.set_vectors(["a"], np.ones((1, 2), np.float32))
    ask = make_ask(core)
    nan = np.array([1, np.nan], np.float32)
    three = np.ones(3, np.float32)
    for code, call in (
        ("bad_vectors", lambda: core.set_vectors(["a", "b"], np.ones((1, 2), np.float32))),
        ("bad_vectors", lambda: core.set_vectors([], np.ones((0, 0), np.float32))),
        ("not_finite", lambda: core.set_vectors(["a"], nan[None])),
        ("bad_vectors", lambda: core.nearest(three, 1)),
        ("not_finite", lambda: core.nearest(nan, 1)),
        ("bad_vectors", lambda: core.set_session_vector(ask, three)),
        ("not_finite", lambda: core.set_session_vector(ask, nan)),
        ("bad_vectors", lambda: core.set_nearest(ask, np.zeros(2, np.uint32), np.ones(1, np.float32))),
    ):
        with pytest.raises(RtpError) as refused:
            call()
        assert code in (refused.value.code, getattr(refused.value, "reason", ""))
    assert core.gather(np.array([0], np.uint32)).tolist() == [[1, 1]], "the old ones stay"


def make_ask(core: Core, diversity: float = 0.0, **more: object) -> object:
    plan = SurfacePlan(
        "home", [("ann", 50, 1.0)], hide_clicked=False, hide_bought=False, diversity=diversity, counts_served=False
    )
    return core.ask(plan, None, "s", 2_000, **more)


def test_the_source_ann_brings_what_is_near_the_session_vector(shelf: Shelf) -> None:
    ids = [f"i{n}" for n in range(120)]
    shelf.put(*[{"id": id, "price": n} for n, id in enumerate(ids)])
    rows = vectors(8, 120, 6)
    core = shelf.core
    core.set_vectors(ids, rows)
    assert core.shown(core.recall(make_ask(core))) == [], "without a session vector it has nothing to say"
    query = vectors(9, 1, 6)[0]
    ask = make_ask(core)
    core.set_session_vector(ask, query)
    found = core.shown(core.recall(ask))
    assert [id for id, _, _ in found] == [ids[n] for n in exact(rows, query, 50)]
    assert {sources for _, _, sources in found} == {ANN}
    assert (found[0][1], found[-1][1]) == (1.0, 0.0), "spread from the best to the last"


def test_with_a_filter_the_quota_is_filled_from_further_away(shelf: Shelf) -> None:
    ids = [f"i{n}" for n in range(500)]
    shelf.put(*[{"id": id, "price": n} for n, id in enumerate(ids)])
    rows = vectors(8, 500, 6)
    core = shelf.core
    core.set_vectors(ids, rows)
    query = vectors(9, 1, 6)[0]
    ask = make_ask(core, filter=b'{"field": "price", "op": "lt", "value": 100}')
    core.set_session_vector(ask, query)
    assert [id for id, _, _ in core.shown(core.recall(ask))] == [ids[n] for n in exact(rows[:100], query, 50)]


def test_what_an_index_outside_found_is_taken_instead(shelf: Shelf) -> None:
    shelf.put(*[{"id": str(n)} for n in range(9)])
    core = shelf.core
    core.set_vectors([str(n) for n in range(9)], vectors(1, 9, 4))
    shelf.delete("4")
    ask = make_ask(core)
    core.set_session_vector(ask, np.ones(4, np.float32))
    outside = np.array([7, 4, 2, 4_000_000_000, 3], np.uint32)
    core.set_nearest(ask, outside, np.array([3.0, 2.5, 2.0, 1.5, np.nan], np.float32))
    assert core.shown(core.recall(ask)) == [("7", 1.0, ANN), ("2", 0.0, ANN)]


def test_alike_is_what_points_the_same_way(shelf: Shelf) -> None:
    """MMR parts twins by their vectors, whatever their categories say; without vectors these three have nothing in
    common."""
    shelf.put(*[{"id": id, "categories": [id]} for id in ("a", "twin", "other")])
    core = shelf.core
    core.set_vectors(["a", "twin", "other"], np.array([[1, 0], [0.9, 0.1], [0.85, 5]], np.float32))
    ask = make_ask(core, diversity=1.0)
    core.set_session_vector(ask, np.array([1, 0], np.float32))
    ranked = core.recall(ask)
    assert [id for id, _, _ in core.shown(ranked)] == ["a", "twin", "other"]
    core.diversify(ask, ranked, 3)
    assert [id for id, _, _ in core.shown(ranked)] == ["a", "other", "twin"]
