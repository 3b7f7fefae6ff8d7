"""The graph beside the scan: the same answers in the same form, following the catalogue, used where it is quicker."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rtp_monolith._native import SurfacePlan
from rtp_monolith.ranking.nearest import RECALL_MIN, SCAN_ONLY_MAX, Build, Graph, Nearest, Shape, brute_force
from tests.native.catalogue import Shelf, vectors

N, DIMENSION = 2_000, 16
IDS = [str(n) for n in range(N)]
SHAPE = Shape(m=12, ef_construction=60, threads=1)
ROWS = vectors(1, N, DIMENSION)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    made = Shelf(tmp_path)
    made.put(*[{"id": id} for id in IDS])
    made.core.set_vectors(IDS, ROWS)
    return made


def recall(graph: Graph, rows: NDArray[np.float32], n: int) -> float:
    queries = vectors(9, 20, DIMENSION)
    return float(np.mean([np.isin(brute_force(rows, q, n)[0], graph.find(q, n)[0]).mean() for q in queries]))


def test_a_search_is_widened_until_it_finds_enough(tmp_path: Path) -> None:
    graph = Graph.build(ROWS, np.arange(N, dtype=np.uint32), SHAPE, ef=1)
    reached = graph.tune(vectors(2, 20, DIMENSION), lambda query: brute_force(ROWS, query, 100), 100)
    assert reached >= RECALL_MIN and graph.ef >= 100
    assert recall(graph, ROWS, 100) >= RECALL_MIN - 0.01
    items, scores = graph.find(ROWS[5] * 2, 100)
    assert items.dtype == np.uint32 and scores.dtype == np.float32
    np.testing.assert_allclose(scores, ROWS[items] @ ROWS[5] * 2, rtol=1e-4, atol=1e-4)
    assert (np.diff(scores) <= 0).all()
    graph.save(tmp_path / "graph")
    again = Graph.load(tmp_path / "graph", DIMENSION, np.arange(N, dtype=np.uint32), graph.ef, graph.reach)
    assert again.find(ROWS[5], 100)[0].tolist() == graph.find(ROWS[5], 100)[0].tolist()


def test_clusters_and_lengths_do_not_tear_the_graph_apart() -> None:
    rng = np.random.default_rng(4)
    rows = (6 * vectors(5, 40, DIMENSION)[rng.integers(0, 40, N)] + ROWS) * rng.uniform(0.5, 2.0, (N, 1))
    rows = rows.astype(np.float32)
    graph = Graph.build(rows, np.arange(N, dtype=np.uint32), SHAPE, ef=200)
    queries = rows[rng.integers(0, N, 30)]
    assert graph.tune(queries, lambda query: brute_force(rows, query, 200), 200) >= RECALL_MIN
    assert graph.ef < N


def test_nothing_in_finds_nothing() -> None:
    empty = np.empty((0, DIMENSION), np.float32)
    graph = Graph.build(empty, np.empty(0, np.uint32), SHAPE, ef=10)
    assert len(graph) == 0 and graph.find(ROWS[0], 5)[0].tolist() == []
    assert brute_force(empty, ROWS[0], 5)[0].tolist() == []


def test_a_graph_follows_the_catalogue(shelf: Shelf) -> None:
    core = shelf.core
    items, _ = core.take_vector_changes()
    graph = Graph.build(core.gather(items), items, SHAPE, ef=N)
    query = ROWS[7] * 10
    assert graph.find(query, N)[0][0] == core.nearest(query, 1)[0][0]
    best = core.nearest(query, 20)[0]
    shelf.delete(*[IDS[item] for item in best[:10]])
    shelf.put(*[{"id": IDS[item], "available": False} for item in best[10:]])
    assert graph.follow(core) == 20 and graph.follow(core) == 0
    assert len(graph) == N - 20
    assert not np.isin(best, graph.find(query, N)[0]).any()
    assert graph.find(query, 50)[0].tolist() == core.nearest(query, 50)[0].tolist()
    shelf.put({"id": IDS[best[3]]}, *[{"id": f"new{n}"} for n in range(400)])
    fresh = vectors(3, 400, DIMENSION)
    core.set_vectors([*IDS, *[f"new{n}" for n in range(400)]], np.concatenate([ROWS, fresh]))
    graph.follow(core)
    assert len(graph) == N - 20 + 1 + 400
    assert best[3] in graph.find(query, 5)[0]
    assert graph.find(fresh[11] * 10, 1)[0].tolist() == core.nearest(fresh[11] * 10, 1)[0].tolist()


def test_labels_of_a_bundle_are_other_numbers_than_the_catalogue_s() -> None:
    items = np.arange(N, dtype=np.uint32)[::-1] + 5
    graph = Graph.build(ROWS, items.copy(), SHAPE, ef=N)
    assert graph.find(ROWS[0] * 10, 3)[0].tolist() == [int(items[n]) for n in brute_force(ROWS, ROWS[0] * 10, 3)[0]]


def wait_for(build: Build) -> Graph:
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        graph = build.done()
        if graph is not None:
            return graph
        time.sleep(0.02)
    build.stop()
    pytest.fail("the child did not build the graph in a minute")


def test_a_child_builds_while_the_catalogue_changes(shelf: Shelf, tmp_path: Path) -> None:
    build = Build(shelf.core, tmp_path, SHAPE, 100)
    shelf.delete(IDS[0])
    graph = wait_for(build)
    graph.follow(shelf.core)
    assert len(graph) == N - 1 and 0 not in graph.find(ROWS[0], 100)[0]
    assert recall(graph, ROWS, 100) >= RECALL_MIN - 0.02


def test_a_child_that_fails_says_so(shelf: Shelf, tmp_path: Path) -> None:
    build = Build(shelf.core, tmp_path, Shape(m=0), 100)
    with pytest.raises(ChildProcessError, match="ended with status"):
        wait_for(build)


class Stopwatch:
    """Says that the first searches took `first` seconds each and the later ones `second`."""

    def __init__(self, first: float, second: float, searches: int) -> None:
        self._now = 0.0
        self._calls = 0
        self._steps = (first, second)
        self._searches = searches

    def __call__(self) -> float:
        self._calls += 1
        if self._calls % 2 == 0:
            self._now += self._steps[(self._calls - 1) // 2 >= self._searches]
        return self._now


def test_the_quicker_of_the_two_is_asked(shelf: Shelf) -> None:
    core = shelf.core
    items, _ = core.take_vector_changes()
    graph = Graph.build(core.gather(items), items, SHAPE, ef=N)
    assert not Nearest(core, Stopwatch(2.0, 1.0, 16)).adopt(graph, 10), "the scan is quicker"
    nearest = Nearest(core, Stopwatch(1.0, 2.0, 16))
    assert nearest.graph is None and not nearest.wants_graph() and core.vectors_len < SCAN_ONLY_MAX
    assert nearest.adopt(graph, 10) and nearest.graph is graph
    plan = SurfacePlan(
        "home", [("ann", 10, 1.0)], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False
    )

    def found(*, filtered: bool) -> list[str]:
        ask = core.ask(plan, None, "s", 1_000)
        nearest.attach(ask, ROWS[3], 10, filtered=filtered)
        return [id for id, _, _ in core.shown(core.recall(ask))]

    by_scan = [str(n) for n in core.nearest(ROWS[3], 10)[0]]
    assert found(filtered=False) == found(filtered=True) == by_scan
    shelf.delete(by_scan[0])
    nearest.follow()
    assert by_scan[0] not in found(filtered=False) and len(found(filtered=False)) == 10
    assert not nearest.adopt(None, 10) and nearest.graph is None
