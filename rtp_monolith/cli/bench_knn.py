"""How long session-kNN takes to answer one session, and in how much memory: a file of sessions, or generated clicks.

Invariant: every query is timed by itself, through the same call that serves and evaluates. It does not know quality.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import SessionKnn

PARAMETERS = {
    "m_most_recent_sessions": 1000,
    "neighborhood_size_k": 100,
    "max_items_in_session": 4,
    "idf_weighting": 1.0,
}
NAMED = 100
CHUNK_SESSIONS = 200_000
MEAN_CLICKS = 5.0
Chunk = tuple[NDArray[np.uint64], NDArray[np.uint32]]


def of_file(train: Path, test: Path, queries: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The index of a file's sessions asked with the prefixes of another's, evenly spread."""
    from rtp_monolith.training.sessions import UNKNOWN, Vocabulary, read

    learned = read(train).sessions
    vocabulary = Vocabulary.of(learned)
    sizes = [len(each) for each in learned]
    flat = np.array([item for each in learned for item in vocabulary.encode(each)], dtype=np.uint32)
    keys = np.repeat(np.arange(len(learned), dtype=np.uint64), sizes)
    prefixes = []
    for session in read(test).sessions:
        known = [item for item in vocabulary.encode(session) if item != UNKNOWN]
        prefixes += [known[:upto] for upto in range(1, len(known))]
    step = max(1, len(prefixes) // queries)
    return _measure(iter([(keys, flat)]), len(learned), prefixes[::step], say)


def of_clicks(clicks: int, items: int, queries: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Sessions of geometric length over items of Zipf's popularity; queries are more of the same."""
    sessions = max(1, round(clicks / MEAN_CLICKS))
    rng = np.random.default_rng(seed)
    share = np.cumsum(1.0 / np.arange(1, items + 1))
    share /= share[-1]

    def draw(count: int) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        lengths = rng.geometric(1.0 / MEAN_CLICKS, count)
        return lengths, np.searchsorted(share, rng.random(int(lengths.sum()))).astype(np.uint32)

    def chunks() -> Iterator[Chunk]:
        for start in range(0, sessions, CHUNK_SESSIONS):
            count = min(CHUNK_SESSIONS, sessions - start)
            lengths, flat = draw(count)
            yield np.repeat(np.arange(start, start + count, dtype=np.uint64), lengths), flat

    lengths, flat = draw(queries)
    asked = [each.tolist() for each in np.split(flat, np.cumsum(lengths)[:-1])]
    return _measure(chunks(), sessions, asked, say)


def _measure(
    chunks: Iterator[Chunk], sessions: int, asked: list[list[int]], say: Callable[[str], None]
) -> dict[str, Any]:
    index, clicks, began_s = SessionKnn(sessions_max=sessions), 0, perf_counter()
    for keys, flat in chunks:
        index.touch_many(keys, flat, keys.astype(np.int64))
        clicks += len(flat)
    built_s = perf_counter() - began_s
    say(f"knn: {clicks} clicks of {sessions} sessions in {built_s:.1f} s, {index.memory_bytes() / 1e6:.0f} MB")
    took, named = np.empty(len(asked)), 0
    for number, session in enumerate(asked):
        window = np.array(session[-4:], dtype=np.uint32)
        started_s = perf_counter()
        found = index.query(window, NAMED, **PARAMETERS)  # type: ignore[arg-type]
        took[number] = perf_counter() - started_s
        named += len(found)
    p50, p99 = np.quantile(took, [0.5, 0.99]) * 1e6
    return {
        "clicks": clicks, "sessions": sessions, "queries": len(asked),
        "p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1), "mean_us": round(float(took.mean() * 1e6), 1),
        "named_mean": round(named / max(1, len(asked)), 1), "build_s": round(built_s, 2),
        "memory_bytes": index.memory_bytes(), "bytes_per_click": round(index.memory_bytes() / max(1, clicks), 1),
    }  # fmt: skip
