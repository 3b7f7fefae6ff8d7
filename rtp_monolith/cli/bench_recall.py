"""How many of the nearest items are found, how fast, in how much memory: the scan, hnswlib, and brute force below both.

Invariant: recall is measured against float32 brute force over the same vectors, and queries are points beside items, as
sessions are. It does not know how a session vector is made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Core
from rtp_monolith.clock import WallClock
from rtp_monolith.ranking.nearest import Found, Graph, Shape, brute_force

KINDS = ("clustered", "uniform")
CLUSTERS = 200
QUERIES = 100
BATCH = 1_000
Rows = NDArray[np.float32]
Report = dict[str, Any]


def recall(
    sizes: Sequence[int],
    dimension: int,
    k: int,
    seconds: float,
    shape: Shape | None,
    say: Callable[[str], None],
) -> list[Report]:
    """A report for each size and kind of vectors; `shape` None leaves hnswlib out. `seconds` bound each timing."""
    reports = []
    for size in sizes:
        say(f"recall: {size} items")
        with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
            core = _core_of(Path(folder) / "data", size)
            for kind in KINDS:
                vectors, queries = _vectors(kind, size, dimension)
                say(f"recall: {size} {kind} vectors of {dimension}")
                reports.append(_measure(core, kind, vectors, queries, k, seconds, shape))
    return reports


def _core_of(data: Path, size: int) -> Core:
    """The core of a shard whose catalogue has items `0`, `1`, …, in this order."""
    from rtp_monolith.config import Config
    from rtp_monolith.state.shard_state import ShardState

    state = ShardState.open(data, Config(), WallClock())
    for start in range(0, size, BATCH):
        items = [{"id": str(number)} for number in range(start, min(size, start + BATCH))]
        state.ingest_sync("items", msgspec.json.encode(items), "json", trusted=True)
    core = state.core
    state.close()
    return core


def _vectors(kind: str, size: int, dimension: int) -> tuple[Rows, Rows]:
    """Items of lengths around 1, in clusters or all over the sphere, and queries beside some of them."""
    rng = np.random.default_rng(size)
    vectors = rng.standard_normal((size, dimension), np.float32)
    if kind == "clustered":
        share = rng.dirichlet(np.full(CLUSTERS, 0.7))
        centres = rng.standard_normal((CLUSTERS, dimension), np.float32)
        vectors = centres[rng.choice(CLUSTERS, size, p=share)] + 0.6 * vectors
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors *= rng.uniform(0.8, 1.2, (size, 1)).astype(np.float32)
    beside = vectors[rng.integers(0, size, QUERIES)]
    noise = rng.standard_normal((QUERIES, dimension), np.float32) * np.float32(0.5 / dimension**0.5)
    return np.ascontiguousarray(vectors), np.ascontiguousarray(beside + noise)


def _measure(
    core: Core, kind: str, vectors: Rows, queries: Rows, k: int, seconds: float, shape: Shape | None
) -> Report:
    began_s = perf_counter()
    core.set_vectors([str(number) for number in range(len(vectors))], vectors)
    built_s = perf_counter() - began_s
    exact = [brute_force(vectors, query, k)[0] for query in queries]
    floor = _timed(lambda query: brute_force(vectors, query, k), queries, seconds)
    scan = _timed(lambda query: core.nearest(query, k), queries, seconds)
    found = _recalls(lambda query: core.nearest(query, k), queries, exact)
    report: Report = {
        "items": len(vectors),
        "vectors": kind,
        "scan": {
            **found,
            **scan,
            "build_s": round(built_s, 3),
            "bytes_per_item": round(dict(core.stats())["vector_bytes"] / len(vectors), 1),
        },
    }
    if shape is not None:
        report["hnswlib"] = _graph(vectors, queries, exact, k, seconds, shape)
    report["floor"] = {**floor, "ratio": round(floor["p50_us"] / scan["p50_us"], 3)}
    return report


def _graph(
    vectors: Rows, queries: Rows, exact: list[NDArray[np.uint32]], k: int, seconds: float, shape: Shape
) -> Report:
    """hnswlib as the shard would use it: as wide a search as the recall needs."""
    items = np.arange(len(vectors), dtype=np.uint32)
    began_s = perf_counter()
    graph = Graph.build(vectors, items, shape, k)
    built_s = perf_counter() - began_s
    half = len(queries) // 2
    graph.tune(queries[:half], lambda query: brute_force(vectors, query, k), k)
    with tempfile.NamedTemporaryFile(prefix="rtp-bench-") as file:
        graph.save(Path(file.name))
        size = Path(file.name).stat().st_size
    return {
        **_recalls(lambda query: graph.find(query, k), queries[half:], exact[half:]),
        **_timed(lambda query: graph.find(query, k), queries, seconds),
        "ef": graph.ef,
        "m": shape.m,
        "ef_construction": shape.ef_construction,
        "build_s": round(built_s, 3),
        "bytes_per_item": round(size / len(vectors), 1),
    }


def _recalls(find: Callable[[Rows], Found], queries: Rows, exact: list[NDArray[np.uint32]]) -> Report:
    shares = [np.isin(want, find(query)[0]).mean() for query, want in zip(queries, exact, strict=True)]
    return {"recall": round(float(np.mean(shares)), 5), "recall_min": round(float(np.min(shares)), 5)}


def _timed(find: Callable[[Rows], Found], queries: Rows, seconds: float) -> Report:
    """Microseconds of a search, one at a time, every query at least once."""
    took: list[float] = []
    until_s = perf_counter() + seconds
    while len(took) < len(queries) or perf_counter() < until_s:
        query = queries[len(took) % len(queries)]
        began_s = perf_counter()
        find(query)
        took.append((perf_counter() - began_s) * 1e6)
    low, middle, high = (float(x) for x in np.percentile(took, [1, 50, 99]))
    return {"p1_us": round(low, 1), "p50_us": round(middle, 1), "p99_us": round(high, 1)}
