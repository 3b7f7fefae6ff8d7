"""`rtp bench freshness`: the table, the drawings and the JSON say the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rtp = Callable[..., tuple[int, Any]]


@pytest.fixture
def asked(tmp_path: Path) -> tuple[object, ...]:
    path = tmp_path / "clicks.tsv"
    rows = [(session, item, session * 100 + 70 * at) for session in range(40) for at, item in enumerate("abcab")]
    path.write_text("SessionId\tItemId\tTime\n" + "".join("\t".join(map(str, row)) + "\n" for row in rows))
    return ("bench", "freshness", "--train", path, "--test", path, "--model", "session-knn", "--k", 1)


def test_the_json_has_every_delay(rtp: Rtp, asked: tuple[object, ...], tmp_path: Path) -> None:
    drawings = [tmp_path / "a.svg", tmp_path / "a.png"]
    code, report = rtp(*asked, "--draw", drawings[0], "--draw", drawings[1], "--json")
    assert code == 0 and (report["command"], report["model"], report["k"]) == ("freshness", "session-knn", 1)
    assert [each["delay"]["name"] for each in report["by_clicks"]] == ["0", "1", "2", "3", "5", "whole"]
    assert [each["delay"]["name"] for each in report["by_time"]] == ["0", "1 min", "10 min", "1 h", "1 d"]
    for each in [*report["by_clicks"], *report["by_time"]]:
        low, high = each["intervals"]["hr"]
        assert low <= each["means"]["hr"] <= high
    assert "1 min" in drawings[0].read_text() and drawings[1].stat().st_size > 1_000


def test_the_table_has_a_line_for_each(rtp: Rtp, asked: tuple[object, ...]) -> None:
    code, shown = rtp(*asked)
    assert code == 0
    names = [line.split("  ")[0] for line in shown.splitlines() if "  [" in line]
    assert names == ["0 clicks", "1 click", "2 clicks", "3 clicks", "5 clicks", "the whole session", *BY_TIME]


def test_files_without_times_have_no_delays_of_time(rtp: Rtp, tmp_path: Path) -> None:
    path = tmp_path / "clicks.txt"
    path.write_text("a b c\n" * 30)
    code, report = rtp("bench", "freshness", "--train", path, "--test", path, "--model", "item-knn", "--json")
    assert code == 0 and report["by_time"] == [] and len(report["by_clicks"]) == 6


def test_wrong_use(rtp: Rtp, asked: tuple[object, ...], tmp_path: Path) -> None:
    assert rtp(*asked, "--draw", tmp_path / "x.gif")[0] == 1
    assert rtp(*asked[:-4], "--model", "sasrek")[0] == 2


BY_TIME = ["1 min", "10 min", "1 h", "1 d"]
