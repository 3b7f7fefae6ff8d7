"""Training rows that arrive as the log goes on: those of the whole log, each once, wherever the writing was cut off."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as parquet
import pytest

from rtp_monolith.cli.lake_child import Said, said
from rtp_monolith.config import ApiKey, Config, FeatureTable, Lake
from rtp_monolith.errors import DataError
from rtp_monolith.lake import journal, upkeep
from rtp_monolith.lake.journal import Arrived
from rtp_monolith.lake.passes import LakePasses, PassReport
from rtp_monolith.training import arriving
from rtp_monolith.training.arriving import ArrivingRows
from rtp_monolith.training.lists import Windows
from rtp_monolith.training.point_in_time import DatasetSettings, write_dataset
from tests.lake.shelf import HOUR_MS, MINUTE_MS, NOON, Shelf

COLUMNS = "list, request_id, item_id, position, label_click, label_purchase, dwell_ms, item_clicks_1d, session_clicks"
SETTINGS = Lake(rows=True, click_window_ms=10 * MINUTE_MS, conversion_window_ms=20 * MINUTE_MS)
CONFIG = Config(lake=SETTINGS)
PASS = """
import sys
from pathlib import Path
from rtp_monolith.clock import WallClock
from rtp_monolith.lake.passes import LakePasses
from rtp_monolith.training import arriving
from tests.lake.test_arriving_rows import CONFIG, SETTINGS
arriving.CHUNK_BYTES, arriving.GROUP_ROWS = 2_000, 4
data, lake = Path(sys.argv[1]), Path(sys.argv[2])
print("begun", flush=True)
with LakePasses(data, lake, SETTINGS, WallClock(), arriving.ArrivingRows(data, CONFIG)) as passes:
    passes.once()
"""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few events, commits of a few lists."""
    monkeypatch.setattr(arriving, "CHUNK_BYTES", 2_000)
    monkeypatch.setattr(arriving, "GROUP_ROWS", 4)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    made = Shelf(tmp_path, SETTINGS)
    yield made
    made.close()


def live(shelf: Shelf, first: int, n: int) -> None:
    """Lists half an hour apart; some of what they show is looked at, clicked, bought."""
    for k in range(first, first + n):
        at = k * HOUR_MS // 2
        items = "abcdef"[k % 3 : k % 3 + 3]
        shelf.show(f"r{k}", items, at, session=f"s{k % 4}")
        for position, item in enumerate(items):
            shelf.tell("impression", item, at + 1_000, session_id=f"s{k % 4}", request_id=f"r{k}", position=position)
        if k % 2:
            shelf.tell("click", items[1], at + MINUTE_MS, session_id=f"s{k % 4}", request_id=f"r{k}")
        if k % 5 == 0:
            shelf.tell("purchase", items[0], at + 5 * MINUTE_MS, session_id=f"s{k % 4}", request_id=f"r{k}",
                       props={"order_id": f"o{k}", "price": "3"})  # fmt: skip
    shelf.state.log.wait_durable(shelf.state.log.end(), 10_000)


def passed(shelf: Shelf, source: ArrivingRows | None = None) -> PassReport:
    """A pass of a process that has just begun, or of one that has the source already."""
    shelf.state.log.wait_durable(shelf.state.log.end(), 10_000)
    with LakePasses(shelf.data, shelf.folder, SETTINGS, shelf.clock, source or ArrivingRows(shelf.data, CONFIG)) as one:
        return one.once()


def whole(shelf: Shelf, folder: Path) -> list[tuple[Any, ...]]:
    """The rows of `rtp replay dataset` over the log as it is."""
    windows = Windows(SETTINGS.click_window_ms, SETTINGS.conversion_window_ms, SETTINGS.refund_window_ms)
    settings = DatasetSettings(NOON, NOON + 10_000 * HOUR_MS, windows)
    write_dataset(shelf.data, Config(), folder, settings)
    rows = parquet.read_table(folder, columns=COLUMNS.split(", ")).to_pylist()
    return sorted(tuple(row.values()) for row in rows)


def kept(shelf: Shelf) -> list[tuple[Any, ...]]:
    return shelf.ask(f"select {COLUMNS} from training order by all")


def test_rows_arrive_when_their_windows_are_over_and_are_those_of_the_whole_log(shelf: Shelf, tmp_path: Path) -> None:
    counts = []
    source = ArrivingRows(shelf.data, CONFIG)
    passes = LakePasses(shelf.data, shelf.folder, SETTINGS, shelf.clock, source)
    for part in range(5):
        live(shelf, 8 * part, 8)
        report = passes.once()
        counts.append(report.training_rows)
        assert passes.once().training_rows == 0, "nothing new, nothing written"
    passes.lake.close()
    rows, every = kept(shelf), whole(shelf, tmp_path / "run")
    assert rows == every[: len(rows)] and len(rows) == sum(counts)
    assert min(counts) > 0 and len(every) - 12 <= len(rows) < 40 * 3, "all but what lies in the last piece"
    assert sum(row[4] for row in rows) > 10 and sum(row[5] for row in rows) > 3
    again = passed(shelf)
    source.close()
    assert (again.training_rows, kept(shelf)) == (0, rows), "a process that begins anew has nothing to add"


def test_a_pass_that_fails_anywhere_leaves_rows_that_the_next_one_goes_on_from(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(shelf, 0, 24)
    commit, failures = journal.Lake.commit, 0
    for allowed in range(40):
        left = allowed

        def fail(self: journal.Lake, *args: Any, **changes: Any) -> None:
            nonlocal left
            if "arrived" in changes:
                if left == 0:
                    raise OSError("the disk is full")
                left -= 1
            commit(self, *args, **changes)

        monkeypatch.setattr(journal.Lake, "commit", fail)
        try:
            passed(shelf)
        except OSError:
            failures += 1
        else:
            break
    rows = kept(shelf)
    assert failures > 3 and rows == whole(shelf, tmp_path / "run")[: len(rows)] and len(rows) > 50


def test_a_process_that_is_killed_leaves_no_row_out_and_writes_none_twice(shelf: Shelf, tmp_path: Path) -> None:
    live(shelf, 0, 40)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    seen = set()
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", PASS, str(shelf.data), str(shelf.folder)],
                                 stdout=subprocess.PIPE, env=environment)  # fmt: skip
        assert child.stdout is not None and child.stdout.readline() == b"begun\n"
        # Killed when it has committed something since: at a different place each time.
        path = shelf.folder / "journal.json"
        before = path.read_bytes() if path.exists() else b""
        while child.poll() is None and (not path.exists() or path.read_bytes() == before):
            time.sleep(0.002)
        ended = child.poll()
        if ended is None:
            child.send_signal(signal.SIGKILL)
            child.wait()
        child.stdout.close()
        seen.add(journal.load(shelf.folder).arrived.lists)
        if ended == 0:
            break
    passed(shelf)
    rows = kept(shelf)
    assert rows == whole(shelf, tmp_path / "run")[: len(rows)] and len(rows) > 100
    assert len(seen) > 3, "it was killed between its commits"


def test_small_files_of_an_hour_become_one_and_keep_their_columns(shelf: Shelf) -> None:
    live(shelf, 0, 12)
    passed(shelf)
    before, rows = journal.load(shelf.folder).of("training"), kept(shelf)
    with journal.Lake(shelf.folder, journal.load(shelf.folder).windows) as lake:
        upkeep.compact(lake, 1_000, 0, everything=True)
        after = lake.journal.of("training")
    assert len(after) == len({file.hour for file in before}) <= len(before)
    assert kept(shelf) == rows
    live(shelf, 12, 12)
    assert passed(shelf).training_rows > 0
    assert kept(shelf)[: len(rows)] == rows


def test_other_features_begin_anew_in_place_of_what_was_there(shelf: Shelf) -> None:
    live(shelf, 0, 12)
    passed(shelf)
    n = len(kept(shelf))
    table = msgspec.convert({"meaning": "m", "aggregate": "count", "window": "1d"}, FeatureTable)
    more = Config(lake=SETTINGS, features={"user": {"all": table}})
    assert ArrivingRows(shelf.data, more).run != ArrivingRows(shelf.data, CONFIG).run
    assert passed(shelf, ArrivingRows(shelf.data, more)).training_rows == n
    assert shelf.ask("select count(*), count(user_all) from training") == [(n, n)]


def test_rows_that_a_command_put_there_are_replaced(shelf: Shelf) -> None:
    live(shelf, 0, 12)
    passed(shelf)
    rows = kept(shelf)
    with journal.Lake(shelf.folder, journal.load(shelf.folder).windows) as lake:
        lake.commit([], lake.journal.of("training"), 0, training="another run")
    assert shelf.ask("select count(*) from training") == [(0,)]
    passed(shelf)
    assert kept(shelf) == rows


def test_a_log_without_its_beginning_has_no_rows_and_the_rest_is_written(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(shelf, 0, 12)

    def gone(*_: object) -> None:
        raise DataError("what came before is gone", code="log_truncated")

    monkeypatch.setattr(ArrivingRows, "_begin", gone)
    with pytest.raises(DataError, match="is gone"):
        passed(shelf)
    assert shelf.ask("select (select count(*) from events) > 30, count(*) from training") == [(True, 0)]
    assert journal.load(shelf.folder).arrived == Arrived()


def test_the_child_is_told_the_whole_configuration_in_one_line(tmp_path: Path) -> None:
    config = Config(lake=SETTINGS, keys=[ApiKey("k" * 20, ["admin"])], features=Config().features)
    line = said(config, tmp_path)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert msgspec.json.decode(line, type=Said) == Said(config, str(tmp_path))
