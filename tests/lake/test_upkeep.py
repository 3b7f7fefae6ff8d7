"""Merging and retention change which files there are, and no row that stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.config import Lake as Settings
from rtp_monolith.lake import journal as journals
from rtp_monolith.lake import upkeep
from rtp_monolith.lake.journal import GRACE_MS, Lake, load
from rtp_monolith.lake.query import query
from tests.lake.shelf import DAY_MS, HOUR_MS, MINUTE_MS, Shelf

EVERYTHING = "select log_offset, event_id, item_id, props from events order by log_offset"


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.glob("*/*/*/*.parquet")}


def filled(shelf: Shelf, hours: int = 3, times: int = 3) -> None:
    """So many files in each of the hours."""
    for time in range(times):
        for hour in range(hours):
            shelf.tell("click", "abc"[time], hour * HOUR_MS + time * MINUTE_MS)
            shelf.show(f"r{time}-{hour}", "ab", hour * HOUR_MS + time * MINUTE_MS)
        shelf.state.log.wait_durable(shelf.state.log.end(), 10_000)
        from rtp_monolith.lake.writer import LakeWriter, windows_of

        with Lake(shelf.folder, windows_of(shelf.settings)) as lake:
            LakeWriter(lake, shelf.data, shelf.settings, shelf.clock).write()


def test_files_of_an_hour_become_one_with_the_same_rows(shelf: Shelf) -> None:
    filled(shelf)
    rows = shelf.ask(EVERYTHING)
    assert len(rows) == 9 and len(load(shelf.folder).of("events")) == 9
    with Lake(shelf.folder, load(shelf.folder).windows) as lake:
        made = upkeep.compact(lake, 1000, shelf.clock.wall_ms())
        assert (made.merged, made.into) == (12, 4), "the newest hour is still being written"
        assert upkeep.compact(lake, 1000, shelf.clock.wall_ms()).merged == 0
        assert shelf.ask(EVERYTHING) == rows
        upkeep.compact(lake, 1000, shelf.clock.wall_ms(), everything=True)
    assert shelf.ask(EVERYTHING) == rows
    assert [file.rows for file in load(shelf.folder).of("events")] == [3, 3, 3]


def test_a_merged_file_has_no_more_rows_than_allowed(shelf: Shelf) -> None:
    filled(shelf, hours=2)
    with Lake(shelf.folder, load(shelf.folder).windows) as lake:
        upkeep.compact(lake, 2, 0, everything=True)
    assert sorted(file.rows for file in load(shelf.folder).of("events")) == [1, 1, 2, 2]


def test_a_reader_of_the_version_before_still_finds_its_files(shelf: Shelf) -> None:
    filled(shelf)
    before = load(shelf.folder)
    with Lake(shelf.folder, before.windows) as lake:
        upkeep.compact(lake, 1000, 1_000_000, everything=True)
        parts = {file.path for file in before.files}
        assert parts <= names(shelf.folder)
        assert lake.forget_retired(1_000_000 + GRACE_MS - 1) == 0
        assert lake.forget_retired(1_000_000 + GRACE_MS) == len(parts)
    assert names(shelf.folder) == {file.path for file in load(shelf.folder).files}


def test_a_merge_that_is_killed_before_its_commit_never_happened(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(shelf)
    rows, before = shelf.ask(EVERYTHING), load(shelf.folder)

    def killed(*given: object) -> None:
        raise KeyboardInterrupt

    with Lake(shelf.folder, before.windows) as lake:
        monkeypatch.setattr(journals, "write_durably", killed)
        with pytest.raises(KeyboardInterrupt):
            upkeep.compact(lake, 1000, 0)
    monkeypatch.undo()
    assert load(shelf.folder) == before and names(shelf.folder) > {file.path for file in before.files}
    assert query(shelf.folder, EVERYTHING).rows == rows
    with Lake(shelf.folder, before.windows):
        assert names(shelf.folder) == {file.path for file in before.files}, "what no commit names is swept"


def test_old_days_go_whole(shelf: Shelf) -> None:
    shelf.settings = Settings(retain_days=2)
    for day in range(5):
        shelf.show(f"r{day}", "a", day * DAY_MS)
        shelf.tell("click", "a", day * DAY_MS)
    report = shelf.write()
    assert report.retained > 0
    assert shelf.ask("select distinct date::varchar from events order by all") == [
        ("2024-10-06",),
        ("2024-10-07",),
        ("2024-10-08",),
    ]
    assert shelf.ask("select distinct date::varchar from impressions order by all")[0] == ("2024-10-06",)
    # What arrives later for a day that is gone goes with the next pass.
    shelf.tell("click", "b", 0)
    assert shelf.write().rows["events"] == 3
