"""The measurements at a small size: what they print, and that nothing acknowledged is missed. No absolute times."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from rtp_monolith.cli.bench import bench
from rtp_monolith.cli.bench_shard import START_S_MAX, Cores, own_shard
from rtp_monolith.cli.output import Failure
from tests.ranking.bundles import make_bundle

SMALL = ["--seconds", "1", "--items", "500", "--users", "640", "--json"]


def run(*args: str) -> dict[str, Any]:
    result = CliRunner().invoke(bench, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = msgspec.json.decode(result.stdout.splitlines()[-1])
    return report


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield value


def check(report: dict[str, Any], *rates: str) -> None:
    assert all(math.isfinite(value) and value >= 0 for value in numbers(report))
    assert all(report[name] > 0 for name in rates)
    # A machine with other work sheds, in time and with a code; nothing else may go wrong.
    assert set(report["failed"]) <= {"503", "504"}
    assert report["floor"]["ratio"] > 0
    assert report["machine"]["cores"] >= 1


def test_rank_without_a_bundle(tmp_path: Path) -> None:
    report = run("rank", *SMALL, "--models", str(tmp_path))
    check(report, "requests_per_s", "p50_ms", "p99_ms", "sampled", "reply_bytes")
    assert report["p50_ms"] <= report["p99_ms"] <= report["max_ms"]
    assert report["bundle"] is None
    assert report["degraded"] == {"no_model": report["sampled"]}
    assert report["short_lists"] == 0
    assert set(report["stages_ms"]) == {"state", "recall", "prerank", "rank", "rerank", "explore"}
    assert report["floor"]["http_requests_per_s"] > 0


def test_rank_by_the_cascade(tmp_path: Path) -> None:
    make_bundle(tmp_path, "shipped", "3")
    report = run("rank", *SMALL, "--models", str(tmp_path))
    check(report, "requests_per_s", "p50_ms", "p99_ms", "sampled", "reply_bytes")
    assert report["bundle"] == "shipped/3"
    assert set(report["degraded"]) <= {"recall_slow"}, "with a model; a busy machine may make a list late"
    assert report["short_lists"] == 0
    assert report["floor"]["ranker_ms"] > 0 and report["floor"]["encoder_ms"] > 0


def test_rank_with_events_arriving() -> None:
    report = run("rank", *SMALL, "--open-loop", "50", "--events-rate", "200", "--events-batch", "10")
    check(report, "requests_per_s", "p99_ms")
    assert 5 < report["requests_per_s"] < 80, "an open loop keeps its own pace"
    assert 100 < report["arriving"]["events_per_s"] < 300


def test_ingest() -> None:
    report = run("ingest", *SMALL)
    check(report, "events_per_s", "ack_p50_ms", "ack_p99_ms", "events", "log_bytes_per_event")
    assert report["not_accepted"] == 0
    assert {"http_events_per_s", "json_events_per_s", "disk_events_per_s"} < set(report["floor"])


def test_single_events() -> None:
    report = run("ingest", *SMALL, "--batch", "1", "--rate", "100")
    check(report, "events_per_s", "ack_p99_ms")
    assert 50 < report["events_per_s"] < 150


def test_visible() -> None:
    report = run("visible", *SMALL)
    check(report, "pairs", "pairs_per_s")
    assert report["stale"] == 0
    assert report["not_accepted"] == 0


def test_restart() -> None:
    report = run("restart", "--users", "2000", "--items", "500", "--json")
    assert report["open_s"] > 0 and report["events"] == 8000
    assert report["memory_bytes_per_active_user"] > 0 and report["memory_bytes_per_item"] > 0
    assert report["view_bytes_per_user"] > 0 and report["floor"]["ratio"] >= 0


@pytest.mark.parametrize("url", ["https://example.org", "http://example.org/path", "example.org"])
def test_only_plain_http_is_measured(url: str) -> None:
    result = CliRunner().invoke(bench, ["rank", *SMALL, "--url", url])
    assert result.exit_code == 1
    assert "bad_url" in result.output


def test_a_shard_that_ends_before_it_is_ready_says_why_at_once(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.json").write_text("{")
    began_s = time.monotonic()
    with pytest.raises(Failure) as refused, own_shard(Cores(None, None), tmp_path / "data"):
        pass
    assert refused.value.code == "server_failed"
    assert "the server ended with 1" in refused.value.message and "manifest" in refused.value.message
    assert time.monotonic() - began_s < START_S_MAX / 2, "it does not wait until the time is over"


def test_what_a_published_row_costs_a_list() -> None:
    report = run("published", "--seconds", "1", "--rounds", "2", "--items", "100", "--users", "128", "--json")
    arms = ["plain", "embedded", *(["redis", "cached"] if shutil.which("redis-server") else [])]
    assert [name for name in report if name not in ("command", "seconds", "machine")] == arms
    assert report["plain"]["cpu_ratio"] == 1.0
    for name in arms:
        assert all(
            report[name][figure] > 0 for figure in ("lists_per_s", "p99_ms", "shard_cpu_us_per_list", "cpu_ratio")
        )
    assert report["plain"]["without_row"] == report["embedded"]["without_row"] == 0
