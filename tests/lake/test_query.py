"""One SELECT over committed files; nothing is written, and nothing else is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.errors import LakeError
from rtp_monolith.lake.query import query
from tests.lake.shelf import HOUR_MS, Shelf


def refused(folder: Path, sql: str) -> str:
    with pytest.raises(LakeError) as caught:
        query(folder, sql)
    return caught.value.code


def test_an_answer_has_names_types_and_rows(shelf: Shelf) -> None:
    shelf.tell("click", "a", 0)
    shelf.tell("click", "b", HOUR_MS)
    shelf.write()
    answer = query(shelf.folder, "select item_id, count(*) n, count(*) n from events group by 1 order by 1;")
    assert (answer.columns, answer.types) == (["item_id", "n", "n_2"], ["VARCHAR", "BIGINT", "BIGINT"])
    assert answer.rows == [("a", 1, 1), ("b", 1, 1)]
    assert shelf.ask("with w as (select * from events) select count(*) from w") == [(2,)]


def test_tables_without_a_file_are_empty_and_have_their_columns(shelf: Shelf) -> None:
    shelf.write()
    assert shelf.ask("select request_id, value, date, hour from rewards") == []
    assert shelf.ask("select count(*) from events") == [(0,)]


def test_a_partition_that_is_not_asked_for_is_not_read(shelf: Shelf) -> None:
    for hour in range(6):
        shelf.tell("click", "a", hour * HOUR_MS)
    shelf.write()
    (plan,) = [row[1] for row in shelf.ask("explain select * from events where hour = 14")]
    assert "1/6" in plan, plan


@pytest.mark.parametrize(
    "sql",
    [
        "insert into events select * from events",
        "create table mine as select 1",
        "drop view events",
        "copy (select 1) to 'stolen.csv'",
        "copy events to 'stolen.parquet'",
        "attach 'other.db'",
        "set enable_external_access = true",
        "pragma database_list",
        "install httpfs",
        "select 1; select 2",
        "explain analyze select 1",
        "",
    ],
)
def test_anything_but_one_select_is_forbidden(shelf: Shelf, sql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.write()
    monkeypatch.chdir(shelf.folder)
    before = sorted(shelf.folder.rglob("*"))
    assert refused(shelf.folder, sql) == "query_forbidden"
    assert sorted(shelf.folder.rglob("*")) == before


@pytest.mark.parametrize(
    "sql",
    [
        "select nothing from events",
        "select * from nowhere",
        "selec 1",
        "select * from read_text('{outside}')",
        "select * from read_csv('{outside}')",
        "select * from '{outside}'",
        "select * from glob('{folder}/*')",
        "select * from read_text('{folder}/journal.json')",
        "select * from read_parquet('https://example.invalid/a.parquet')",
    ],
)
def test_what_cannot_be_answered_says_why(shelf: Shelf, tmp_path: Path, sql: str) -> None:
    shelf.tell("click", "a", 0)
    shelf.write()
    outside = tmp_path / "secret.csv"
    outside.write_text("a,b\n1,2\n")
    assert refused(shelf.folder, sql.format(outside=outside, folder=shelf.folder)) == "bad_query"
