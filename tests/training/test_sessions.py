"""Files of sessions: both forms, compressed or not, ids of any kind, and every way to be refused."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
import zstandard

from rtp_monolith.errors import DataError
from rtp_monolith.training.sessions import UNKNOWN, Vocabulary, read, read_attributes


def test_lines_plain_and_compressed(tmp_path: Path) -> None:
    text = b"a b c\n\n  b   c\t d \r\nz\n"
    want = [["a", "b", "c"], ["b", "c", "d"], ["z"]]
    for name, data in (("s.txt", text), ("s.txt.gz", gzip.compress(text)), ("s.zst", zstandard.compress(text))):
        (tmp_path / name).write_bytes(data)
        found = read(tmp_path / name)
        assert (found.sessions, found.names, found.times_s) == (want, [], None)
        assert found.items() == 7


def test_users_come_first_on_their_lines(tmp_path: Path) -> None:
    (tmp_path / "u.txt").write_text("u1 a b\nu2 c\nu3\n")
    found = read(tmp_path / "u.txt", users=True)
    assert found.names == ["u1", "u2", "u3"]
    assert found.sessions == [["a", "b"], ["c"], []]


def test_a_table_is_sorted_by_time(tmp_path: Path) -> None:
    rows = "SessionId\tItemId\tTime\ns2\tx\t30\ns1\tb\t20.5\ns1\ta\t10\ns2\ty\t30\ns3\tq\t5\n"
    (tmp_path / "t.tsv").write_text(rows)
    found = read(tmp_path / "t.tsv")
    assert found.names == ["s3", "s1", "s2"]
    assert found.sessions == [["q"], ["a", "b"], ["x", "y"]]
    assert found.times_s == [[5.0], [10.0, 20.5], [30.0, 30.0]]


def test_columns_are_found_by_name_and_others_passed_over(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("Time\tCategory\titemid\tSESSIONID\n7\tk\tä b\ts\n3\tk\tc\ts\n")
    assert read(tmp_path / "t.txt", users=True).sessions == [["c", "ä b"]]


@pytest.mark.parametrize(
    "item", ["0", "-1", "007", "7", "NaN", "ключ", "🧦", "a/b?c=d", "'", '"', "1e5", "None", "x" * 3000]
)
def test_ids_are_text_of_any_kind(tmp_path: Path, item: str) -> None:
    (tmp_path / "s.txt").write_text(f"{item} other\n", encoding="utf-8")
    assert read(tmp_path / "s.txt").sessions == [[item, "other"]]


def test_bytes_that_are_not_text_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_bytes(b"\xff \xfe a\n")
    (session,) = read(tmp_path / "s.txt").sessions
    assert len(set(session)) == 3


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("s.txt", b"", "empty_file"),
        ("s.txt", b"\n \n", "empty_file"),
        ("s.tsv", b"SessionId\tItemId\tTime\n", "empty_file"),
        ("s.tsv", b"SessionId\tItem\tTime\n1\t2\t3\n", "bad_header"),
        ("s.tsv", b"SessionId\tItemId\tTime\n1\t2\n", "bad_line"),
        ("s.tsv", b"SessionId\tItemId\tTime\n1\t2\tsoon\n", "bad_line"),
        ("s.tsv", b"SessionId\tItemId\tTime\n1\t2\tnan\n", "bad_line"),
        ("s.tsv", b"SessionId\tItemId\tTime\n1\t\t3\n", "bad_line"),
        ("s.gz", b"a b c\n", "bad_compression"),
        ("s.zst", b"a b c\n", "bad_compression"),
        ("s.gz", gzip.compress(b"a b c\n" * 5000)[:-20], "bad_compression"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_code(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError) as error:
        read(tmp_path / name)
    assert error.value.code == code
    assert name in error.value.message


def test_the_vocabulary_numbers_in_order_of_appearance() -> None:
    vocabulary = Vocabulary.of([["b", "a"], ["a", "c"]])
    assert vocabulary.ids() == ["b", "a", "c"]
    assert vocabulary.encode(["c", "?", "b"]) == [2, UNKNOWN, 0]


def test_attributes(tmp_path: Path) -> None:
    path = tmp_path / "a.json.zst"
    path.write_bytes(zstandard.compress(b'{"x": [1, "red", 1], "y": "blue", "z": []}'))
    assert read_attributes(path) == {"x": ["1", "red"], "y": ["blue"], "z": []}


@pytest.mark.parametrize("text", ["", "[]", '{"x": [null]}', '{"x": [[1]]}', "{"])
def test_attributes_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError) as error:
        read_attributes(tmp_path / "a.json")
    assert error.value.code == "bad_attributes"
