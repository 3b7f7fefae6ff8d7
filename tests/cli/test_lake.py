"""`rtp lake`: what it prints, and how it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.cli.main import run
from tests.lake.shelf import HOUR_MS, Shelf


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of a stopped shard with two clicks and a list."""
    shelf = Shelf(tmp_path)
    shelf.show("r1", "ab", 0)
    shelf.tell("click", "a", 1, props={"surface": "home"})
    shelf.tell("click", "b", HOUR_MS)
    shelf.close()
    return shelf.data


def document(capsys: pytest.CaptureFixture[str], *args: str, code: int = 0) -> Any:
    assert run([*args, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_write_then_ask(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = document(capsys, "lake", "write", "--data", str(data), "--unfinished")
    assert (report["written"]["events"], report["written"]["impressions"]) == (2, 2)
    assert report["rows"] == {"events": 2, "impressions": 2, "rewards": 2}
    assert document(capsys, "lake", "write", "--data", str(data))["written"]["commits"] == 0
    ask = ("lake", "query", "select item_id, clicked, ts from rewards order by position", "--data", str(data))
    answer = document(capsys, *ask)
    assert answer["columns"] == {"item_id": "VARCHAR", "clicked": "BOOLEAN", "ts": "TIMESTAMP WITH TIME ZONE"}
    assert {row["item_id"]: row["clicked"] for row in answer["rows"]} == {"a": True, "b": False}
    assert answer["rows"][0]["ts"] == "2024-10-04T12:00:00+00:00"
    status = document(capsys, "lake", "status", "--data", str(data))
    assert (status["behind_bytes"], status["rewards_due_hours"]) == (0, 1)
    assert status["tables"]["events"]["last"] == "date=2024-10-04/hour=13"


def test_tables_and_csv(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lake", "write", "--data", str(data), "--to", str(data / "there")]) == 0
    assert "2 events and 2 shown items" in capsys.readouterr().out
    at = ("--lake", str(data / "there"))
    sql = "select item_id, props, dwell_ms from events order by log_offset"
    assert run(["lake", "query", sql, *at, "--csv"]) == 0
    assert capsys.readouterr().out == 'item_id,props,dwell_ms\na,"{""surface"":""home""}",\nb,{},\n'
    assert run(["lake", "query", sql, *at]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["item_id", "props", "dwell_ms"] and lines[1].split() == ["a", '{"surface":"home"}']
    assert run(["lake", "status", *at]) == 0
    assert "impressions" in capsys.readouterr().out


def test_compact_and_register(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document(capsys, "lake", "write", "--data", str(data))
    assert document(capsys, "lake", "compact", "--data", str(data), "--all")["merged"] == 0
    catalog = ("--catalog", f"sqlite:///{data}/catalog.db")
    first = document(capsys, "lake", "register", "--data", str(data), *catalog)
    assert first["added"] == first["files"] > 0
    assert document(capsys, "lake", "register", "--data", str(data), *catalog)["added"] == 0
    forget = ("lake", "register", "--data", str(data), "--forget")
    assert document(capsys, *forget, *catalog)["forgotten"] == catalog[1]
    assert document(capsys, *forget, *catalog, code=1)["error"]["code"] == "bad_catalog"
    kept = document(capsys, "lake", "compact", "--data", str(data), "--retain-days", "1")
    assert kept["retained"] == 0


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("query", "select 1"), "lake_missing"),
        (("status",), "lake_missing"),
        (("compact",), "lake_missing"),
        (("register", "--catalog", "sqlite:///x.db"), "lake_missing"),
    ],
)
def test_no_lake_is_a_failure_with_a_code(
    args: tuple[str, ...], code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert document(capsys, "lake", *args, "--lake", str(tmp_path / "none"), code=1)["error"]["code"] == code
    assert not (tmp_path / "none").exists()


def test_refusals_have_codes(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "lake", "write", "--data", str(tmp_path), code=1)["error"]["code"] == "data_missing"
    document(capsys, "lake", "write", "--data", str(data))
    for sql, code in (("select x from events", "bad_query"), ("drop view events", "query_forbidden")):
        assert document(capsys, "lake", "query", sql, "--data", str(data), code=1)["error"]["code"] == code
    assert run(["lake", "query", "select 1", "--data", str(data), "--csv", "--json"]) == 2
    assert run(["lake", "write"]) == 2
    assert run(["lake", "status"]) == 2
    assert run(["lake", "register", "--data", str(data)]) == 2
