"""The measurement of training rows at a small size: every figure is there, and adds up."""

from __future__ import annotations

from pathlib import Path

from tests.bench.test_bench import run
from tests.training.shards import MINUTE_MS, event, folder, seen
from tests.training.test_lists import END


def test_rows_of_a_log(tmp_path: Path) -> None:
    events = [*seen("r1", "abc", 0), event("click", "a", MINUTE_MS), *seen("r2", "ab", 2 * MINUTE_MS)]
    report = run("dataset", "--data", str(folder(tmp_path / "data", [*events, *END])), "--json")
    assert (report["events"], report["lists"], report["rows"]) == (7, 2, 5)
    assert report["features"] > 80 and report["bytes_per_row"] > 100
    assert 0 < report["events_per_s"] <= report["floor"]["read_events_per_s"]
    assert report["rows_per_s"] > 0 and report["lists_events_per_s"] > 0
    assert report["plan_events_per_s"] > 0 and report["floor"]["fold_events_per_s"] > 0
