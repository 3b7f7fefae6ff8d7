"""What each source of recall costs a list, and all of them together.

Invariant: every source is asked by the same people with the same past, and what is timed is the recall of one request,
without the graph of a large catalogue: `rtp bench recall` measures that. It does not know rules nor the ranker.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Core, SurfacePlan
from rtp_monolith.cli.bench_bundle import vectors_of
from rtp_monolith.cli.bench_client import Address
from rtp_monolith.cli.bench_traffic import Catalogue, Visitors, body_of
from rtp_monolith.clock import WallClock
from rtp_monolith.config import parse
from rtp_monolith.config_surfaces import SourceName
from rtp_monolith.state.shard_state import ShardState

SOURCES: tuple[SourceName, ...] = get_args(SourceName)
DIMENSION = 64
TEXT_PART = 2_000
HERE = Address("127.0.0.1", 0)
CONTEXT = (("device", "phone"), ("country", "DE"))


def sources(items: int, users: int, lists: int, quota: int, say: Callable[[str], None]) -> dict[str, Any]:
    """µs of the recall of a request by source alone and by all, medians and P99 over `lists` visitors who have clicked.
    Of a source that finds nothing for them it is what asking costs."""
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        state = ShardState.open(Path(folder), parse(_surface(SOURCES, quota)), WallClock())
        try:
            catalogue, visitors = Catalogue(items), Visitors(users, "b")
            vectors = _stock(state, catalogue, visitors, say)
            rng = np.random.default_rng(0)
            people = rng.permutation(users)[:lists].tolist()
            sessions = vectors[rng.integers(0, len(vectors), lists)]

            whose = [(visitors, number) for number in people]
            whole, found = _recall_us(state, _plan(SOURCES, quota), whose, sessions)
            report = {}
            for name in SOURCES:
                alone, own = _recall_us(state, _plan([name], quota), whose, sessions)
                report[name] = {
                    "us": _round(alone, 50),
                    "p99_us": _round(alone, 99),
                    "candidates": round(own, 1),
                }
        finally:
            state.close()
    say(", ".join(f"{name} {each['us']:.0f}" for name, each in report.items()))
    return {
        "items": items,
        "users": users,
        "lists": len(people),
        "quota": quota,
        "all": {"us": _round(whole, 50), "p99_us": _round(whole, 99), "candidates": round(found, 1)},
        "sources": report,
    }


def _surface(names: Sequence[SourceName], quota: int) -> str:
    return "[surfaces.x]\n" + "".join(f"sources.{name} = {{ quota = {quota} }}\n" for name in names)


def _plan(names: Sequence[SourceName], quota: int) -> SurfacePlan:
    from rtp_monolith.state.surface import surface_plan

    return surface_plan(parse(_surface(names, quota)), "x")


def _stock(
    state: ShardState, catalogue: Catalogue, visitors: Visitors, say: Callable[[str], None]
) -> NDArray[np.float32]:
    """Items, a visit of each visitor, vectors, the index of words; the vectors float32 [items, DIMENSION]."""
    say(f"filling a shard: {catalogue.count} items, one visit of each of {visitors.count} visitors")
    now_ms = state.now_ms()
    for request in catalogue.requests(HERE, now_ms):
        state.ingest_sync("items", body_of(request), "json", trusted=True)
    for request in visitors.past(HERE, catalogue, now_ms):
        state.ingest_sync("events", body_of(request), "json", trusted=True)
    vectors = vectors_of(catalogue, DIMENSION, 1.0)
    state.core.set_vectors([catalogue.id(n) for n in range(catalogue.count)], vectors)
    while state.core.index_text(TEXT_PART):
        pass
    state.refresh_lists()
    return vectors


def _recall_us(
    state: ShardState, plan: SurfacePlan, people: Sequence[tuple[Visitors, int]], sessions: NDArray[np.float32]
) -> tuple[NDArray[np.float64], float]:
    """µs of each person's recall, and how many candidates it found on average."""
    core, now_ms = state.core, state.now_ms()
    took, found = [], 0
    for (visitors, number), session in zip(people, sessions, strict=True):
        ask = _ask(core, plan, visitors, number, now_ms, session)
        began = perf_counter()
        ranked = core.recall(ask)
        took.append((perf_counter() - began) * 1e6)
        found += len(ranked)
    return np.array(took), found / max(1, len(people))


def _ask(
    core: Core, plan: SurfacePlan, visitors: Visitors, number: int, now_ms: int, session: NDArray[np.float32]
) -> Ask:
    user, session_id = visitors.user_id(number), visitors.session_id(number)
    ask = core.ask(plan, user, session_id, now_ms, context=CONTEXT, query=f"item of shelf {number % 200}")
    core.set_session_vector(ask, session)
    return ask


def _round(taken: NDArray[np.float64], percentile: float) -> float:
    return round(float(np.percentile(taken, percentile)), 1)
