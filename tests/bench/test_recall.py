"""`rtp bench recall` at a small size: what it prints, and that the scan finds what brute force finds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from rtp_monolith.cli.bench import bench

SMALL = ["recall", "--items", "600,1500", "--dimension", "24", "--k", "100", "--seconds", "0.01", "--json"]


def run(*args: str) -> dict[str, Any]:
    result = CliRunner().invoke(bench, list(args), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    report: dict[str, Any] = msgspec.json.decode(result.stdout.splitlines()[-1])
    return report


def test_recall() -> None:
    report = run(*SMALL)
    assert (report["command"], report["k"], report["dimension"]) == ("recall", 100, 24)
    for items in (600, 1500):
        for kind in ("clustered", "uniform"):
            part = report[f"{kind}_{items}"]
            assert (part["items"], part["vectors"]) == (items, kind)
            assert part["scan"]["recall"] >= 0.99 and part["scan"]["recall_min"] <= part["scan"]["recall"]
            assert 0 < part["scan"]["p50_us"] <= part["scan"]["p99_us"]
            assert part["scan"]["bytes_per_item"] > 24 * 5, "f32 and a byte for each dimension"
            assert part["hnswlib"]["recall"] >= 0.95 and part["hnswlib"]["ef"] >= 100
            assert part["hnswlib"]["bytes_per_item"] > 24 * 4
            assert part["floor"]["ratio"] > 0


def test_without_hnswlib() -> None:
    assert "hnswlib" not in run(*SMALL, "--without-hnswlib")["uniform_600"]


@pytest.mark.parametrize("items", ["", "ten", "0", "5,-1"])
def test_sizes_that_are_none_are_refused(items: str) -> None:
    result = CliRunner().invoke(bench, ["recall", "--items", items])
    assert result.exit_code == 2
    assert "is not a list of sizes" in result.output
