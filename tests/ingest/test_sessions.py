"""Files of sessions read as clicks."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.ingest.sessions import (
    MADE_END_MS,
    Click,
    RefusedLine,
    click_event,
    count_clicks,
    is_timed,
    read_clicks,
)


def test_a_tsv_is_sorted_by_time_over_sessions_and_ties_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("SessionId\tItemId\tTime\n27\tb\t20.0\n27\ta\t10.0\n30\tc\t10.0\n27\td\t20.0\n")
    assert is_timed(path)
    assert list(read_clicks(path)) == [
        Click(2, "27", 0, "a", 10_000),
        Click(3, "30", 0, "c", 10_000),
        Click(1, "27", 1, "b", 20_000),
        Click(4, "27", 2, "d", 20_000),
    ]


def test_columns_of_a_tsv_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("Time\textra\tsessionid\tItemId\n10\tx\ts\ti\n")
    assert list(read_clicks(path)) == [Click(1, "s", 0, "i", 10_000)]


def test_bad_lines_of_a_tsv_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_bytes(b"SessionId\tItemId\tTime\ns\ti\ns\t\t5\ns\ti\tsoon\n\xff\ti\t5\ns\ti\t5\n")
    made = list(read_clicks(path))
    assert [one.why.code for one in made if isinstance(one, RefusedLine)] == [
        "malformed_row",
        "missing_field",
        "bad_ts",
        "malformed_row",
    ]
    assert made[-1] == Click(5, "s", 0, "i", 5_000)


def test_lines_get_times_one_second_apart_that_end_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("1 2\n\n1 2\n3\n")
    clicks = [one for one in read_clicks(path, 100_000) if isinstance(one, Click)]
    assert not is_timed(path)
    assert count_clicks(path) == 5
    assert [one.ts_ms for one in clicks] == [96_000, 97_000, 98_000, 99_000, 100_000]
    assert [one.item_id for one in clicks] == ["1", "2", "1", "2", "3"]
    assert [one.n for one in clicks] == [0, 1, 0, 1, 0]
    assert len({one.session_id for one in clicks}) == 3
    assert [one.ts_ms for one in read_clicks(path) if isinstance(one, Click)][-1] == MADE_END_MS


def test_the_same_file_gives_the_same_ids_and_a_longer_one_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("1 2\n1 2\n")
    before = [click_event(one)["event_id"] for one in read_clicks(path) if isinstance(one, Click)]
    sessions = [one.session_id for one in read_clicks(path) if isinstance(one, Click)]
    path.write_text("1 2\n1 2\n9 9\n")
    after = [one for one in read_clicks(path, 5_000_000) if isinstance(one, Click)]
    assert [click_event(one)["event_id"] for one in after][:4] == before
    assert [one.session_id for one in after][:4] == sessions
    assert len({(one.session_id, click_event(one)["event_id"]) for one in after}) == 6


def test_a_click_is_an_event_of_an_anonymous_session() -> None:
    assert click_event(Click(3, "s", 2, "i", 7)) == {
        "event_id": "2-1bc1bdaa3ac382e9",
        "session_id": "s",
        "event_type": "click",
        "item_id": "i",
        "ts_ms": 7,
    }


def test_an_overlong_id_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("a " + "x" * 129 + " b\n")
    assert [type(one) for one in read_clicks(path)] == [Click, RefusedLine, Click]


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_file_has_no_clicks(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.txt"
    path.write_text(text)
    assert list(read_clicks(path)) == []
