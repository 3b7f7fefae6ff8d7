"""The store of refused events: ids, bounds, restarts and torn files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.ingest.dead_letters import DeadLetter, DeadLetters


def filled(path: Path, n: int, *, bytes_max: int = 64 << 20, payload: bytes = b'{"a":1}') -> DeadLetters:
    letters = DeadLetters(path, bytes_max=bytes_max)
    for i in range(n):
        letters.put(1_000 + i, "bad_ts" if i % 2 else "wrong_type", f"message {i}", payload)
    return letters


def test_ids_count_up_from_one_and_what_was_put_is_found(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead_letters")
    assert letters.last_id == 0
    assert letters.put(5, "bad_ts", "not a time", b'{"ts_ms":"x"}') == 1
    assert letters.put(6, "too_long", "id", b"{}") == 2
    assert letters.get(1) == DeadLetter(1, 5, "bad_ts", "not a time", '{"ts_ms":"x"}')
    assert letters.get(3) is None
    assert letters.get(0) is None


def test_nothing_is_written_before_the_first_letter(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead_letters")
    assert letters.list() == []
    assert not (tmp_path / "dead_letters").exists()


def test_list_pages_by_id_and_filters_by_code(tmp_path: Path) -> None:
    letters = filled(tmp_path, 10)
    assert [one.id for one in letters.list(limit=3)] == [1, 2, 3]
    assert [one.id for one in letters.list(after=3, limit=3)] == [4, 5, 6]
    assert [one.id for one in letters.list(code="bad_ts")] == [2, 4, 6, 8, 10]
    assert [one.id for one in letters.list(after=4, limit=2, code="bad_ts")] == [6, 8]
    assert letters.list(after=10) == []
    assert letters.list(limit=0) == []


def test_ids_go_on_after_a_restart_and_marks_stay(tmp_path: Path) -> None:
    letters = filled(tmp_path, 3)
    letters.mark_replayed([2, 2, 99])
    letters.close()
    again = DeadLetters(tmp_path)
    assert [one.replayed for one in again.list()] == [False, True, False]
    assert again.put(9, "bad_ts", "", b"{}") == 4


def test_without_close_everything_is_on_disk(tmp_path: Path) -> None:
    filled(tmp_path, 3).mark_replayed([1])
    assert [(one.id, one.replayed) for one in DeadLetters(tmp_path).list()] == [(1, True), (2, False), (3, False)]


def test_the_oldest_go_first_and_the_bound_holds(tmp_path: Path) -> None:
    bound = 32 << 10
    letters = filled(tmp_path, 1_000, bytes_max=bound, payload=b"x" * 200)
    letters.mark_replayed(range(1, 1_001))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound
    kept = [one.id for one in letters.list(limit=1_000)]
    assert kept == list(range(kept[0], 1_001))
    assert kept[0] > 800
    assert letters.get(1) is None
    assert all(one.replayed for one in DeadLetters(tmp_path, bytes_max=bound).list())
    assert DeadLetters(tmp_path, bytes_max=bound).put(1, "c", "m", b"{}") == 1_001


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_is_cut_and_the_rest_stays(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, 3).close()
    segment = next(tmp_path.iterdir())
    segment.write_bytes(segment.read_bytes()[:-cut])
    letters = DeadLetters(tmp_path)
    assert [one.id for one in letters.list()] == [1, 2]
    assert letters.put(7, "bad_ts", "", b"{}") == 3
    assert [one.received_ms for one in DeadLetters(tmp_path).list()] == [1_000, 1_001, 7]


def test_a_line_that_cannot_be_read_is_counted_and_its_id_is_not_given_again(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    segment = next(tmp_path.iterdir())
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(lines[0] + lines[1] + b"#" * (len(lines[2]) - 1) + b"\n")
    letters = DeadLetters(tmp_path)
    assert letters.unreadable == 1
    assert letters.put(7, "bad_ts", "", b"{}") == 4
    assert [one.id for one in letters.list()] == [1, 2, 4]


def test_a_payload_that_is_too_long_is_cut_and_says_so(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path, bytes_max=64 << 10)
    letters.put(1, "too_long", "m", b"x" * 100_000)
    one = letters.get(1)
    assert one is not None
    assert one.cut
    assert len(one.payload) == 4 << 10


def test_a_payload_that_is_not_utf8_is_kept_readable(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.put(1, "malformed_body", "m", b'"\xff"')
    one = letters.get(1)
    assert one is not None
    assert one.payload == '"�"'


def test_a_bound_below_two_segments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 8192"):
        DeadLetters(tmp_path, bytes_max=1_000)


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.jsonl").write_text("mine")
    letters = filled(tmp_path, 1)
    assert [one.id for one in letters.list()] == [1]
    assert (tmp_path / "notes.jsonl").read_text() == "mine"
