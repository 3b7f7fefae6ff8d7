"""Every accepted event and every shown item, once, as they were, whatever happens to the writer."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from rtp_monolith.config import Lake as Settings
from rtp_monolith.errors import DataError, LakeError
from rtp_monolith.lake import journal as journals
from rtp_monolith.lake.journal import Lake, Windows, load
from rtp_monolith.manifest import write_durably
from tests.lake.shelf import DAY_MS, HOUR_MS, MINUTE_MS, NOON, Shelf

AT = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=NOON)


def test_an_event_is_a_row_with_all_that_it_said(shelf: Shelf) -> None:
    shelf.tell("click", "a", 5, user_id="u", request_id="r", position=3, props={"surface": "home", "dwell_ms": "7.5"})
    lines = '[{"item_id":"a","quantity":2,"price":1.5},{"item_id":"b"}]'
    shelf.tell("purchase", None, 6, props={"items": lines, "value": "9"})
    shelf.tell("refund", "a", 7, props={"order_id": "o"})
    report = shelf.write()
    assert (report.written.events, report.written.impressions, report.rows["events"]) == (3, 0, 3)
    columns = "event_id, event_type, user_id, linked, session_id, item_id, ts, received, request_id, position, trusted"
    first, second, third = shelf.ask(f"select {columns} from events order by log_offset")
    moment = AT + timedelta(milliseconds=5)
    assert first == ("e1", "click", "u", False, "s", "a", moment, moment, "r", 3, True)
    # The session belongs to the user since the first event.
    assert second[:6] == ("e2", "purchase", "u", True, "s", None)
    assert (third[1], third[8], third[9]) == ("refund", None, None)
    values = shelf.ask("select dwell_ms, value, props, lines, date, hour from events order by log_offset")
    home = {"surface": "home", "dwell_ms": "7.5"}
    assert values[0][:4] == (7.5, None, home, None)
    assert values[1][1] == 9.0 and values[1][2] == {"items": lines, "value": "9"}
    assert values[1][3] == [
        {"item_id": "a", "quantity": 2, "price": 1.5},
        {"item_id": "b", "quantity": 1, "price": None},
    ]
    assert values[2][3] == [{"item_id": "a", "quantity": None, "price": None}]
    assert values[0][4:] == (AT.date(), 12)


def test_a_shown_item_is_a_row(shelf: Shelf) -> None:
    reply = shelf.show("r1", "abc", 0, user="u")
    shelf.show("r2", "d", HOUR_MS)
    assert shelf.write().written.impressions == 4
    columns = "request_id, item_id, position, user_id, session_id, surface, model, explored, propensity, state_version"
    rows = shelf.ask(f"select {columns} from impressions where request_id = 'r1' order by position")
    shown = [item["id"] for item in reply["items"]]
    assert rows == [("r1", item, n, "u", "s", "home", None, False, 1.0, 0) for n, item in enumerate(shown)]
    scores = shelf.ask("select score, source, degraded from impressions where request_id = 'r1' order by position")
    assert [row[0] for row in scores] == pytest.approx([item["score"] for item in reply["items"]], rel=1e-6)
    assert [row[1] for row in scores] == [item["source"] for item in reply["items"]]
    assert all(row[2] == reply["degraded"] == ["no_model"] for row in scores)
    assert shelf.ask("select hour, count(*) from impressions group by hour order by hour") == [(12, 3), (13, 1)]


def test_a_duplicate_is_no_row_also_after_a_restart_and_a_sign_in(shelf: Shelf) -> None:
    again = {"event_id": "same"}
    shelf.tell("click", "a", 0, **again)
    assert shelf.tell("click", "a", 0, **again).duplicates == 1
    shelf.write()
    assert shelf.tell("click", "a", 0, **again).duplicates == 1
    shelf.tell("identify", None, 1, user_id="u")
    assert shelf.tell("click", "a", 2, **again).duplicates == 1
    assert shelf.tell("click", "a", 2, **again, session_id="elsewhere").accepted == 1
    assert shelf.write().written.events == 2
    names = shelf.ask("select event_id, session_id, user_id from events order by log_offset")
    assert names == [("same", "s", None), ("e4", "s", "u"), ("same", "elsewhere", None)]


def test_only_what_is_new_is_written_and_late_events_find_their_hour(shelf: Shelf) -> None:
    shelf.tell("click", "a", 0)
    first = shelf.write()
    assert shelf.write().written.commits == 0
    shelf.tell("click", "b", 3 * HOUR_MS)
    shelf.tell("click", "c", MINUTE_MS)
    second = shelf.write()
    assert second.written.events == 2 and second.written.position > first.written.position
    assert second.written.behind_bytes == 0
    hours = shelf.ask("select date::varchar || ' ' || hour, count(*) from events group by all order by all")
    assert hours == [("2024-10-04 12", 2), ("2024-10-04 15", 1)]


def test_small_commits_give_the_rows_of_a_large_one(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(40):
        shelf.show(f"r{n}", "abcdef", n * 10 * MINUTE_MS)
        shelf.tell("click", "a", n * 10 * MINUTE_MS)
    shelf.write()
    whole = shelf.ask("select * from events order by log_offset"), shelf.ask("select * from impressions order by all")
    shutil.rmtree(shelf.folder)
    monkeypatch.setattr("rtp_monolith.lake.writer.CHUNK_BYTES", 700)
    shelf.settings = Settings(file_rows_max=5)
    assert shelf.write().written.commits > 10
    parts = shelf.ask("select * from events order by log_offset"), shelf.ask("select * from impressions order by all")
    assert parts == whole and len(whole[0]) == 40 and len(whole[1]) == 240


def test_a_disk_that_is_full_loses_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.tell("click", "a", 0)
    shelf.write()
    shelf.tell("click", "b", 1)
    shelf.show("r", "ab", 2)

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journals, "write_durably", full)
    with pytest.raises(OSError, match="No space left"):
        shelf.write()
    monkeypatch.setattr(journals, "write_durably", write_durably)
    assert len(list(shelf.folder.glob("events/*/*/*.parquet"))) == 2, "the file of the commit that failed is there"
    assert shelf.ask("select event_id from events") == [("e1",)], "and nobody reads it"
    report = shelf.write()
    assert report.rows == {"events": 2, "impressions": 2, "rewards": 0}
    assert len(list(shelf.folder.glob("events/*/*/*.parquet"))) == len(load(shelf.folder).of("events"))


def test_a_pass_that_fails_is_told_and_the_next_one_goes_on(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    from rtp_monolith.lake.background import Status
    from rtp_monolith.lake.passes import LakePasses

    shelf.tell("click", "a", 0)
    shelf.state.log.wait_durable(shelf.state.log.end(), 10_000)
    with LakePasses(shelf.data, shelf.folder, shelf.settings, shelf.clock) as passes:

        def full(*given: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Lake, "write", full)
        failed = passes.run(Status())
        assert (failed.failures, failed.passes, failed.rows, failed.caught_up_ms) == (1, 1, 0, 0)
        assert "No space left" in failed.error
        monkeypatch.undo()
        mended = passes.run(failed)
        assert (mended.failures, mended.rows, mended.error, mended.caught_up_ms) == (1, 1, "", NOON)


def test_the_lake_of_another_log_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.tell("click", "a", 0)
    shelf.write()
    other = Shelf(tmp_path / "other")
    try:
        other.folder = shelf.folder
        with pytest.raises(LakeError) as caught:
            other.write()
        assert caught.value.code == "lake_other_log", "a shorter one"
        for n in range(50):
            other.tell("click", "b", n)
        with pytest.raises(LakeError) as caught:
            other.write()
        assert caught.value.code == "lake_other_log", "a longer one"
    finally:
        other.close()
    assert shelf.write().written.commits == 0


def test_a_log_that_lost_its_beginning_is_refused_and_may_be_skipped(tmp_path: Path) -> None:
    from rtp_monolith._native import Log
    from rtp_monolith.clock import ManualClock
    from rtp_monolith.lake.passes import LakePasses

    shelf = Shelf(tmp_path)
    shelf.tell("click", "a", 0)
    shelf.write()
    shelf.close()
    log = Log(shelf.data / "log", segment_bytes=65_536)
    while len(log.segments()) < 3:
        log.wait_durable(log.append_frame(5, 0, 1, 1, b"x" * 30_000), 10_000)
    assert log.retain(max_bytes=1, older_than_ms=None, keep_from=log.end()) > 0
    start = log.start()
    log.close()
    with LakePasses(shelf.data, shelf.folder, shelf.settings, ManualClock(NOON)) as passes:
        position = passes.lake.journal.position
        with pytest.raises(DataError) as caught:
            passes.once()
        assert caught.value.code == "log_truncated" and start > position
        assert passes.once(skip_lost=True).rows["events"] == 1
        assert passes.lake.journal.gaps == [(position, start)]


def test_one_writer_at_a_time_and_only_beside_a_shard(shelf: Shelf, tmp_path: Path) -> None:
    from rtp_monolith.lake.passes import LakePasses

    with Lake(shelf.folder, Windows(1, 1, 1)), pytest.raises(LakeError) as caught:
        shelf.write()
    assert caught.value.code == "lake_locked"
    with pytest.raises(DataError) as none:
        LakePasses(tmp_path / "nothing", tmp_path / "made", shelf.settings, shelf.clock)
    assert none.value.code == "data_missing" and not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "lake_missing"),
        (b"{", "lake_unreadable"),
        (b'{"layout":9,"windows":{"click_ms":1,"conversion_ms":1,"refund_ms":1}}', "lake_layout"),
    ],
)
def test_what_is_no_lake_says_so(tmp_path: Path, content: bytes | None, code: str) -> None:
    if content is not None:
        (tmp_path / journals.NAME).write_bytes(content)
    with pytest.raises(LakeError) as caught:
        load(tmp_path)
    assert caught.value.code == code


def test_times_of_every_century_have_a_folder(shelf: Shelf) -> None:
    shelf.tell("click", "a", 1 - NOON)
    shelf.tell("click", "b", -1000 * DAY_MS)
    shelf.write()
    assert shelf.ask("select date::varchar, hour from events order by date") == [("1970-01-01", 0), ("2022-01-08", 12)]
