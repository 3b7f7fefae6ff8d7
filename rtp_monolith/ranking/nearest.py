"""Which items are near a session vector: the scan inside the core, or a graph of hnswlib beside it.

Invariant: both answer the same question in the same form, items of the catalogue with their dot products, best first,
and neither brings an item that is deleted or not available. The graph is built in a child process, never in the loop,
and follows the catalogue afterwards. It does not know what made the vector.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hnswlib
import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Core

SCAN_ONLY_MAX = 500_000
"""Up to here no graph is built; above, `Nearest.adopt` measures both and takes the quicker.

Measured with 64 dimensions for the nearest 1,000, clustered, on two busy cores of an AMD EPYC (Zen 3), best of each:
at 100,000 items the scan takes 0.26 ms with recall 1.0, the graph 1.0 ms at ef 1,000 with recall 0.94, 1.7 ms at
ef 2,000 with 0.975, and needs ef 3,000 to 4,500 for 0.99. The scan grows with the catalogue, to 11 ms at 1,000,000,
where it waits for memory that others use too; the graph hardly grows, so they meet somewhere between. The graph costs
31 s of a processor per 100,000 items to build and 400 bytes an item.
"""
RECALL_MIN = 0.99
REACH = 1.2
"""Room for vectors longer than the longest that a graph was built of."""
EF_MAX = 20_000
Found = tuple[NDArray[np.uint32], NDArray[np.float32]]


class Shape(msgspec.Struct, frozen=True):
    """Of a graph: neighbours per node, width of the search while building and seed of the levels."""

    m: int = 16
    ef_construction: int = 200
    seed: int = 0
    threads: int = 2


class _Plan(msgspec.Struct, frozen=True):
    """What the child is told: the graph's shape, and how many items a search will ask for."""

    shape: Shape
    n: int


class _Made(msgspec.Struct, frozen=True):
    """What the child says of the graph it made."""

    ef: int
    reach: float


class Graph:
    """Hierarchical navigable small worlds (Malkov and Yashunin, 2018) for the largest inner products.

    A product is no distance, and a graph built by it falls apart between clusters: over 30,000 clustered vectors it
    found 0.934 of the nearest 1,000 at ef 4,000. So a vector x gets one more dimension, sqrt(reach² - |x|²), which
    makes all equally long and the Euclidean order that of the products (Bachrach et al., RecSys 2014): 0.9986 at the
    same ef.
    """

    def __init__(self, index: hnswlib.Index, items: NDArray[np.uint32], ef: int, reach: float) -> None:
        """`items[label]` is the item of a node: a graph that came with a bundle counts in the bundle's order.

        `reach` is a length that no vector should exceed; a longer one is found less often than it deserves.
        """
        self.reach = reach
        self._index = index
        self._items = items
        self._labels = np.empty(0, np.int64)
        self._label(items, 0)
        self._gone: set[int] = set()
        self.ef = 0
        self.widen(ef)

    @classmethod
    def build(cls, vectors: NDArray[np.float32], items: NDArray[np.uint32], shape: Shape, ef: int) -> Graph:
        """`vectors` float32 [n, dimension], the row of `items[i]` at i."""
        longest = float(np.linalg.norm(vectors, axis=1).max()) if len(vectors) else 0.0
        reach = REACH * longest or 1.0
        index = hnswlib.Index(space="l2", dim=vectors.shape[1] + 1)
        index.init_index(
            max_elements=max(16, len(vectors) + len(vectors) // 8),
            M=shape.m,
            ef_construction=shape.ef_construction,
            random_seed=shape.seed,
        )
        if len(vectors):
            index.add_items(_lengthened(vectors, reach), np.arange(len(vectors)), num_threads=shape.threads)
        return cls(index, items, ef, reach)

    @classmethod
    def load(cls, path: Path, dimension: int, items: NDArray[np.uint32], ef: int, reach: float) -> Graph:
        """A graph that `save` wrote. Raises RuntimeError when the file is not one."""
        index = hnswlib.Index(space="l2", dim=dimension + 1)
        index.load_index(str(path), max_elements=len(items) + len(items) // 8 + 16)
        return cls(index, items, ef, reach)

    def save(self, path: Path) -> None:
        self._index.save_index(str(path))

    def __len__(self) -> int:
        """Items that can be found."""
        return len(self._items) - len(self._gone)

    def widen(self, ef: int) -> None:
        """`ef`: how many nodes a search keeps in view; more is slower and finds more."""
        self.ef = ef
        self._index.set_ef(ef)

    def find(self, vector: NDArray[np.float32], n: int) -> Found:
        """At most `n` items. Fewer when the graph has no way to more of them at this `ef`."""
        n = min(n, len(self), self.ef)
        if n == 0:
            return np.empty(0, np.uint32), np.empty(0, np.float32)
        try:
            labels, distances = self._index.knn_query(np.append(vector, np.float32(0)), k=n, num_threads=1)
        except RuntimeError:
            # hnswlib refuses to give fewer than it was asked for, as where many nodes near by are marked deleted.
            return self.find(vector, n // 2)
        # |q - x|² = |q|² + reach² - 2 q·x
        products = (float(vector @ vector) + self.reach**2 - distances[0]) / 2
        return self._items[labels[0]], products.astype(np.float32)

    def follow(self, core: Core) -> int:
        """Takes in what changed in the core's vectors since the last call; how many items that were."""
        here, gone = core.take_vector_changes()
        self._put(here, core.gather(here))
        for label in self._labels_of(gone).tolist():
            if label >= 0 and label not in self._gone:
                self._index.mark_deleted(label)
                self._gone.add(label)
        return len(here) + len(gone)

    def _labels_of(self, items: NDArray[np.uint32]) -> NDArray[np.int64]:
        """-1 for an item without a node."""
        known = items < len(self._labels)
        return np.where(known, self._labels[np.where(known, items, 0)] if len(self._labels) else -1, -1)

    def _label(self, items: NDArray[np.uint32], first: int) -> None:
        """Numbers the nodes of new items from `first` on."""
        size = int(items.max()) + 1 if len(items) else 0
        if size > len(self._labels):
            more = np.full(size + size // 8 - len(self._labels), -1, np.int64)
            self._labels = np.concatenate([self._labels, more])
        self._labels[items] = np.arange(first, first + len(items))

    def _put(self, items: NDArray[np.uint32], vectors: NDArray[np.float32]) -> None:
        if not len(items):
            return
        new = items[self._labels_of(items) < 0]
        if len(new):
            self._label(new, len(self._items))
            self._items = np.concatenate([self._items, new])
        if len(self._items) > self._index.get_max_elements():
            self._index.resize_index(len(self._items) + len(self._items) // 8)
        labels = self._labels_of(items)
        for label in self._gone.intersection(labels.tolist()):
            self._index.unmark_deleted(label)
            self._gone.remove(label)
        self._index.add_items(_lengthened(vectors, self.reach), labels, num_threads=1)

    def tune(self, queries: NDArray[np.float32], exact: Callable[[NDArray[np.float32]], Found], n: int) -> float:
        """Widens the search until it finds `RECALL_MIN` of the `n` nearest; answers the recall reached.

        `exact` gives the true answer for one row of `queries` [q, dimension].
        """
        wanted = [np.unique(exact(query)[0]) for query in queries]
        ef = max(16, n)
        while True:
            self.widen(ef)
            found = [np.isin(want, self.find(query, n)[0]).mean() for want, query in zip(wanted, queries, strict=True)]
            reached = float(np.mean(found)) if found else 1.0
            if reached >= RECALL_MIN or ef >= EF_MAX:
                return reached
            ef = min(EF_MAX, ef + ef // 2)


def _lengthened(vectors: NDArray[np.float32], reach: float) -> NDArray[np.float32]:
    """The vectors with the dimension that makes each `reach` long."""
    squares = np.einsum("ij,ij->i", vectors, vectors)
    return np.column_stack([vectors, np.sqrt(np.maximum(reach**2 - squares, 0))]).astype(np.float32)


class Build:
    """A graph under way in a child process; the loop asks now and then whether it is `done`."""

    def __init__(self, core: Core, folder: Path, shape: Shape, n: int) -> None:
        """Writes the vectors of the core to `folder` and starts; changes from here on wait for `Graph.follow`."""
        self._folder = folder
        self._dimension = core.vectors_dimension
        self._items, _ = core.take_vector_changes()
        np.save(folder / "vectors.npy", core.gather(self._items))
        (folder / "plan.json").write_bytes(msgspec.json.encode(_Plan(shape, n)))
        command = [
            sys.executable,
            "-c",
            "from rtp_monolith.ranking.nearest import build_here; build_here()",
            str(folder),
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def done(self) -> Graph | None:
        """The graph once it is built. Raises ChildProcessError when the child failed."""
        status = self._process.poll()
        if status is None:
            return None
        if status != 0:
            raise ChildProcessError(f"building the graph of item vectors ended with status {status}")
        made = msgspec.json.decode((self._folder / "made.json").read_bytes(), type=_Made)
        return Graph.load(self._folder / "graph.hnsw", self._dimension, self._items, made.ef, made.reach)

    def stop(self) -> None:
        """Ends the child, if it still runs."""
        self._process.kill()
        self._process.wait()


def build_here() -> None:
    """The child: builds and tunes the graph whose plan lies in the folder of the first argument."""
    if hasattr(os, "nice"):
        os.nice(10)  # Lists come first.
    folder = Path(sys.argv[1])
    plan = msgspec.json.decode((folder / "plan.json").read_bytes(), type=_Plan)
    vectors = np.load(folder / "vectors.npy")
    n = plan.n
    items = np.arange(len(vectors), dtype=np.uint32)
    graph = Graph.build(vectors, items, plan.shape, n)
    rng = np.random.default_rng(0)
    queries = vectors[rng.integers(0, len(vectors), 32)] if len(vectors) else vectors
    graph.tune(queries, lambda query: brute_force(vectors, query, n), n)
    graph.save(folder / "graph.hnsw")
    (folder / "made.json").write_bytes(msgspec.json.encode(_Made(graph.ef, graph.reach)))


def brute_force(vectors: NDArray[np.float32], query: NDArray[np.float32], n: int) -> Found:
    """The `n` rows with the largest dot product, best first."""
    scores = vectors @ query
    n = min(n, len(scores))
    best = np.argpartition(-scores, n - 1)[:n] if n else np.empty(0, np.int64)
    best = best[np.lexsort((best, -scores[best]))]
    return best.astype(np.uint32), scores[best]


class Nearest:
    """The source `ann` of a shard. Asks the graph where there is one that is quicker, and the scan otherwise."""

    def __init__(self, core: Core, stopwatch: Callable[[], float]) -> None:
        """`stopwatch` counts seconds from any start."""
        self._core = core
        self._stopwatch = stopwatch
        self._graph: Graph | None = None

    @property
    def graph(self) -> Graph | None:
        """The graph that is asked, if one is."""
        return self._graph

    def wants_graph(self) -> bool:
        """True when the catalogue is so large that a graph may be quicker than the scan."""
        return self._core.vectors_len > SCAN_ONLY_MAX

    def adopt(self, graph: Graph | None, n: int) -> bool:
        """Takes the graph if `n` items come quicker from it than from the scan, measured here; None drops it."""
        self._graph = None
        if graph is None:
            return False
        graph.follow(self._core)
        step = max(1, self._core.vectors_len // 16)
        queries = self._core.gather(np.arange(0, self._core.items_len, step, dtype=np.uint32))
        if self._took_s(lambda query: graph.find(query, n), queries) < self._took_s(
            lambda query: self._core.nearest(query, n), queries
        ):
            self._graph = graph
        return self._graph is not None

    def attach(self, ask: Ask, vector: NDArray[np.float32], n: int, *, filtered: bool, user: bool = False) -> None:
        """Gives a request its session vector, or with `user` its user's, and with a graph the `n` items near it.

        A request with a filter is scanned for: of what a graph finds too much would fall. Raises InvalidField
        `bad_vectors`, `not_finite`.
        """
        if user:
            self._core.set_user_vector(ask, vector)
        else:
            self._core.set_session_vector(ask, vector)
        if self._graph is not None and not filtered:
            self._core.set_nearest(ask, *self._graph.find(vector, n), user=user)

    def follow(self) -> None:
        """Between requests: the graph takes in what changed in the catalogue."""
        if self._graph is not None:
            self._graph.follow(self._core)

    def _took_s(self, find: Callable[[NDArray[np.float32]], Found], queries: NDArray[np.float32]) -> float:
        """Median seconds of a search."""
        took = []
        for query in queries:
            began_s = self._stopwatch()
            find(query)
            took.append(self._stopwatch() - began_s)
        return float(np.median(took)) if took else 0.0
