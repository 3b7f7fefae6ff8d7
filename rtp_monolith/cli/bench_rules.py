"""What each rule of a surface costs a list of 200 candidates, against the same list without rules.

Invariant: every variant orders the same candidates by the same scores, and what is timed is what a shard does between
the ranker and the exploration, and where filters are asked. It does not know recall, nor the ranker.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import msgspec
import numpy as np

from rtp_monolith._native import Ask, Core, Ranked
from rtp_monolith.clock import WallClock
from rtp_monolith.config import Config, parse
from rtp_monolith.config_surfaces import Rules
from rtp_monolith.ranking.prerank import CHOICE
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.state.surface import surface_plan

CANDIDATES = 200
K = 20
ITEMS = 2_000
BATCH = 1_000
DECLINED = 12
"""Items that the visitor skipped a moment ago: as many refusals as a list looks at."""
DECLARED = """
[events.attributes]
margin = "number"
[surfaces.x.sources.new]
quota = 200
"""
VARIANTS: dict[str, str] = {
    "none": "",
    "mmr": "[surfaces.x]\ndiversity = 0.35\n",
    "dpp": '[surfaces.x]\ndiversity = 0.35\ndiversify = "dpp"\n',
    "filter": "[surfaces.x.rules.filter]\na = \"item.price > 0 and not item.brand == 'nobody'\"\n",
    "boost": '[surfaces.x.rules.boost.a]\nwhere = "item.attributes.margin > 0.5"\ntimes = 1.2\n',
    "bury": '[surfaces.x.rules.bury]\na = "item.price < 30"\n',
    "pin": '[surfaces.x.rules.pin.a]\nitem = "7"\nposition = 3\n',
    "cap_list": '[surfaces.x.rules.cap.a]\nby = "seller"\nmost = 2\n',
    "cap_window": '[surfaces.x.rules.cap.a]\nby = "top_category"\nmost = 2\nwithin = 6\n',
    "mix": "[surfaces.x.rules.mix.a]\nwhere = \"item.categories contains 'c3'\"\nleast = 0.2\nmost = 0.5\n",
    "floor": "[surfaces.x.rules.floor.a]\nshare = 0.2\nbelow = 0.05\n",
    "stability": "[surfaces.x]\nstability = { moves_max = 5 }\n",
    "negative": "[surfaces.x.negative]\n",
}
EVERYTHING = "mmr_and_all_rules"


def rules(rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """µs of a list by variant, the median of `rounds`, and what each adds to the list without rules, the floor."""
    variants = dict(VARIANTS)
    head = "[surfaces.x]\ndiversity = 0.35\nstability = { moves_max = 5 }\n"
    others = [
        text for name, text in VARIANTS.items() if ("rules" in text or name == "negative") and name != "cap_window"
    ]
    variants[EVERYTHING] = head + "".join(others)
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        state = ShardState.open(Path(folder), parse(DECLARED), WallClock())
        try:
            _stock(state)
            us = {name: _measure(state, parse(DECLARED + text), rounds) for name, text in variants.items()}
        finally:
            state.close()
    say(", ".join(f"{name} {value:.0f}" for name, value in us.items()))
    return {
        "candidates": CANDIDATES,
        "k": K,
        "rounds": rounds,
        "floor": {"list_us": us["none"]},
        "lists": {name: {"list_us": value, "added_us": round(value - us["none"], 1)} for name, value in us.items()},
    }


def _stock(state: ShardState) -> None:
    rng = np.random.default_rng(0)
    items = [
        {
            "id": str(n),
            "brand": f"b{rng.integers(40)}",
            "seller": f"s{rng.integers(30)}",
            "categories": [f"c{rng.integers(8)} > d{rng.integers(20)}"],
            "price": float(rng.integers(1, 100)),
            "attributes": {"margin": float(rng.random()), "colour": f"k{rng.integers(6)}"},
        }
        for n in range(ITEMS)
    ]
    for start in range(0, ITEMS, BATCH):
        state.ingest_sync("items", msgspec.json.encode(items[start : start + BATCH]), "json", trusted=True)
    skips = [
        {"event_id": str(n), "session_id": "s", "event_type": "skip", "item_id": str(n), "ts_ms": state.now_ms()}
        for n in range(DECLINED)
    ]
    state.ingest_sync("events", msgspec.json.encode(skips), "json", trusted=True)
    state.refresh_lists()


def _measure(state: ShardState, config: Config, rounds: int) -> float:
    core, surface = state.core, config.surfaces["x"]
    ask = core.ask(surface_plan(config, "x"), None, "s", state.now_ms())
    rng = np.random.default_rng(1)
    # As `ranking/surfaces.py` has it: what declares no more than MMR goes the short way.
    rules = msgspec.structs.replace(surface.rules, filter={})
    bare = rules == Rules() and surface.negative is None
    plain = surface.diversify == "mmr" and surface.stability is None and bare
    last: Ranked | None = None
    taken = []
    for _ in range(rounds + 1):
        ranked = core.recall(ask)
        core.prerank(ask, ranked, CANDIDATES, K)
        core.set_scores(ranked, rng.random(len(ranked)).astype(np.float32))
        moves_max = None if surface.stability is None else surface.stability.moves_max
        taken.append(_seconds(core, ask, ranked, plain, bare, last, moves_max))
        last = ranked
    return round(median(taken[1:]) * 1e6, 1)


def _seconds(
    core: Core, ask: Ask, ranked: Ranked, plain: bool, bare: bool, last: Ranked | None, moves_max: int | None
) -> float:
    began = perf_counter()
    core.prerank(ask, ranked, CANDIDATES, K)
    if plain:
        core.diversify(ask, ranked, K)
    else:
        if bare:
            ranked.truncate(CHOICE * K)
        core.arrange(ask, ranked, K, last, moves_max)
    return perf_counter() - began
