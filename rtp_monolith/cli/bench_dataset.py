"""How fast a log becomes training rows, beside what reading and folding it costs, and the parts of it.

Invariant: all figures are of one core and one run over the same log. It does not know how a row is made.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from rtp_monolith.config import Config
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.state.recovery import CHUNK_BYTES, open_log
from rtp_monolith.training.lists import ListReader, SeenList, Windows
from rtp_monolith.training.logged import LoggedRows
from rtp_monolith.training.past import Past
from rtp_monolith.training.point_in_time import DatasetSettings, without_cycles, write_dataset
from rtp_monolith.training.replay import RowCounts, list_rows

EVER_MS = 2**62


def dataset(data: Path, config: Config, say: Callable[[str], None]) -> dict[str, Any]:
    """Events per second: `lists` finds the lists and their outcomes, `plan` folds the log and makes their rows, the
    whole command does both and writes Parquet. `floor`: reading the log, and folding it."""
    say("dataset: reading and folding")
    events, read_s, fold_s = _floor(data, config)
    say("dataset: lists, then rows")
    with without_cycles():
        lists, lists_s = _lists(data, config)
        plan_s = _plan_s(data, config, lists)
    rows = sum(len(each.items) for each in lists)
    del lists
    say("dataset: the whole command")
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        began = perf_counter()
        written = write_dataset(data, config, Path(folder) / "rows", DatasetSettings(0, EVER_MS))
        whole_s = perf_counter() - began
        size = sum(each.stat().st_size for each in (Path(folder) / "rows").glob("*.parquet"))
    return {
        "events": events,
        "lists": written.counts["lists"],
        "rows": rows,
        "features": len(declared(config).features),
        "bytes_per_row": round(size / max(1, rows), 1),
        "events_per_s": round(events / whole_s),
        "rows_per_s": round(rows / whole_s),
        "lists_events_per_s": round(events / lists_s),
        "plan_events_per_s": round(events / plan_s),
        "floor": {"read_events_per_s": round(events / read_s), "fold_events_per_s": round(events / fold_s)},
    }


def _floor(data: Path, config: Config) -> tuple[int, float, float]:
    """Events of the log, seconds to read it, seconds to read and fold it."""
    log = open_log(data, config, read_only=True)
    try:
        offset, end, began = log.start(), log.end(), perf_counter()
        while offset < end:
            _, offset = log.read(offset, CHUNK_BYTES)
        read_s = perf_counter() - began
        with Past(data, log, config) as past:
            began = perf_counter()
            past.advance(end)
            fold_s = perf_counter() - began
            return dict(past.core.stats())["events"], read_s, fold_s
    finally:
        log.close()


def _lists(data: Path, config: Config) -> tuple[list[SeenList], float]:
    log = open_log(data, config, read_only=True)
    try:
        began = perf_counter()
        found = list(ListReader(log, Windows(), dwell=True))
        return found, perf_counter() - began
    finally:
        log.close()


def _plan_s(data: Path, config: Config, lists: list[SeenList]) -> float:
    features = declared(config).features
    plan = compile_plan(features)
    logged, counts = LoggedRows(plan.names, None, features), RowCounts()
    log = open_log(data, config, read_only=True)
    try:
        with Past(data, log, config) as past:
            began = perf_counter()
            for seen in lists:
                list_rows(past, None, seen, plan, logged, counts)
            past.advance(log.end())
            return perf_counter() - began
    finally:
        log.close()
