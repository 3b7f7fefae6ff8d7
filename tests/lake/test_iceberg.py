"""The lake as Iceberg tables, read by others than us: pyiceberg, DuckDB and Spark."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.errors import LakeError
from rtp_monolith.lake import iceberg, upkeep
from rtp_monolith.lake.iceberg import Registered, listed, open_catalog, register
from rtp_monolith.lake.journal import GRACE_MS, Lake, load
from tests.lake.shelf import HOUR_MS, Shelf


def uri(shelf: Shelf) -> str:
    return f"sqlite:///{shelf.folder}/catalog.db"


def told(shelf: Shelf, now_ms: int = 0) -> Registered:
    with Lake(shelf.folder, load(shelf.folder).windows) as lake:
        return register(lake, uri(shelf), now_ms)


def table_of(shelf: Shelf, name: str) -> Any:
    return open_catalog(uri(shelf), shelf.folder).load_table(f"rtp.{name}")


def filled(shelf: Shelf) -> None:
    for hour in range(3):
        shelf.show(f"r{hour}", "ab", hour * HOUR_MS)
        shelf.tell("click", "a", hour * HOUR_MS, user_id="u", props={"surface": "home"})
    shelf.write(unfinished=True)


def test_tables_have_the_rows_of_the_lake(shelf: Shelf) -> None:
    filled(shelf)
    files = len(load(shelf.folder).files)
    assert told(shelf) == Registered(files, 0, files)
    for name in ("events", "impressions", "rewards"):
        scanned = table_of(shelf, name).scan().to_arrow()
        (count,) = shelf.ask(f"select count(*) from {name}")[0]
        assert len(scanned) == count > 0, name
    rows = table_of(shelf, "events").scan().to_arrow().sort_by("log_offset").to_pylist()
    columns = "event_id, event_type, ts, item_id"
    assert [(r["event_id"], r["event_type"], r["ts"], r["item_id"]) for r in rows] == shelf.ask(
        f"select {columns} from events order by log_offset"
    )
    assert [dict(r["props"]) for r in rows] == [{"surface": "home"}] * 3


def test_registering_again_changes_nothing_and_new_files_enter_once(shelf: Shelf) -> None:
    filled(shelf)
    told(shelf)
    snapshots = len(table_of(shelf, "events").metadata.snapshots)
    assert told(shelf).added == 0
    assert len(table_of(shelf, "events").metadata.snapshots) == snapshots
    shelf.tell("click", "b", 3 * HOUR_MS)
    shelf.write()
    assert told(shelf).added >= 1
    assert len(table_of(shelf, "events").scan().to_arrow()) == 4


def test_a_registration_that_died_between_two_tables_is_completed(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(shelf)
    bring, calls = iceberg._bring, []

    def dies(*given: Any) -> tuple[int, int]:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return bring(*given)

    monkeypatch.setattr(iceberg, "_bring", dies)
    with pytest.raises(KeyboardInterrupt):
        told(shelf)
    monkeypatch.undo()
    told(shelf)
    for name in ("events", "impressions", "rewards"):
        (count,) = shelf.ask(f"select count(*) from {name}")[0]
        assert len(table_of(shelf, name).scan().to_arrow()) == count


def test_what_was_merged_leaves_the_table_and_its_files_wait_for_that(shelf: Shelf) -> None:
    filled(shelf)
    shelf.tell("click", "b", 0)
    shelf.write()
    told(shelf)
    shelf.tell("click", "c", 0)
    shelf.write()
    later = shelf.clock.wall_ms() + 2 * GRACE_MS
    with Lake(shelf.folder, load(shelf.folder).windows) as lake:
        upkeep.compact(lake, 1000, 0, everything=True)
        known = lake.journal.catalogs[uri(shelf)]
        waiting = [each for each in lake.journal.retired if each.version > known]
        lake.forget_retired(later)
        assert waiting and lake.journal.retired == waiting, "the catalog still lists them"
    ids = {row["event_id"] for row in table_of(shelf, "events").scan().to_arrow().to_pylist()}
    assert len(ids) == 4, "it reads as it was told"
    assert told(shelf).removed > 0
    assert len(table_of(shelf, "events").scan().to_arrow()) == 5
    with Lake(shelf.folder, load(shelf.folder).windows) as lake:
        assert lake.forget_retired(later) == len(waiting)
    assert len(table_of(shelf, "events").scan().to_arrow()) == 5


def test_a_filter_on_time_reads_only_its_hours(shelf: Shelf) -> None:
    filled(shelf)
    told(shelf)
    table = table_of(shelf, "events")
    assert len(listed(table)) == 3
    assert len(list(table.scan("ts >= '2024-10-04T14:00:00+00:00'").plan_files())) == 1


def test_duckdb_reads_a_table(shelf: Shelf) -> None:
    filled(shelf)
    told(shelf)
    with table_of(shelf, "rewards").scan().to_duckdb("rewards") as connection:
        answer = connection.execute("select item_id, sum(clicked::int) from rewards group by 1 order by 1").fetchall()
    assert answer == [("a", 3), ("b", 0)]


@pytest.mark.parametrize("bad", ["postgres://somewhere", "sqlite:////no/such/folder/catalog.db"])
def test_a_catalog_that_cannot_be_had_says_so(shelf: Shelf, bad: str) -> None:
    filled(shelf)
    with Lake(shelf.folder, load(shelf.folder).windows) as lake, pytest.raises(LakeError) as caught:
        register(lake, bad, 0)
    assert caught.value.code == "bad_catalog"


@pytest.mark.slow
def test_spark_reads_the_snapshot(shelf: Shelf, tmp_path: Path) -> None:
    """Spark's own Parquet reader on the files that the table's current snapshot lists."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip(
            "pyspark is not installed: it is 450 MB and only this test wants it; pip install pyspark, and Java 17"
        )
    from pyspark.sql import SparkSession

    filled(shelf)
    told(shelf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
        session = session.config("spark.sql.session.timeZone", "UTC").config("spark.local.dir", str(tmp_path))
        spark = session.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
        try:
            for name in ("events", "impressions", "rewards"):
                files = sorted(listed(table_of(shelf, name)))
                frame = spark.read.option("basePath", f"file://{shelf.folder}/{name}").parquet(*files)
                (count,) = shelf.ask(f"select count(*) from {name}")[0]
                assert frame.count() == count > 0
                if name == "rewards":
                    rows = frame.groupBy("item_id").agg({"value": "sum", "*": "count"}).orderBy("item_id").collect()
                    assert [(row["item_id"], row["count(1)"]) for row in rows] == [("a", 3), ("b", 3)]
                if name == "events":
                    hours = sorted((str(row["date"]), row["hour"]) for row in frame.select("date", "hour").collect())
                    assert hours == [("2024-10-04", hour) for hour in (12, 13, 14)]
        finally:
            spark.stop()
