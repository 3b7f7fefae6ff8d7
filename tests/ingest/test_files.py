"""Readers of tables in files."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pytest
import zstandard

from rtp_monolith.ingest.files import LINE_BYTES_MAX, FileError, Row, RowRefused, detect_format, read_rows, text_lines

ROWS = [Row(1, {"a": "1", "b": "x"}), Row(2, {"a": "2", "b": "y"})]


def write(path: Path, data: bytes) -> Path:
    if path.suffix == ".gz":
        data = gzip.compress(data)
    if path.suffix == ".zst":
        half = len(data) // 2  # two frames, as `zstd` writes when files are joined
        data = zstandard.compress(data[:half]) + zstandard.compress(data[half:])
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("t.csv", b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,y\r\n"),
        ("t.tsv", b"a\tb\n1\tx\n2\ty"),
        ("t.jsonl", b'{"a":"1","b":"x"}\n\n{"a":"2","b":"y"}\n'),
    ],
)
def test_the_same_rows_from_every_form(tmp_path: Path, name: str, data: bytes, suffix: str) -> None:
    path = write(tmp_path / (name + suffix), data)
    assert list(read_rows(path, detect_format(path))) == ROWS


def test_parquet_keeps_types(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"id": [1, 2], "tags": [["a"], None]}), path)
    assert list(read_rows(path, "parquet")) == [Row(1, {"id": 1, "tags": ["a"]}), Row(2, {"id": 2, "tags": None})]
    path.rename(tmp_path / "plain")
    assert detect_format(tmp_path / "plain") == "parquet"


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FileError, match=r"rtp-monolith\[parquet\]") as caught:
        list(read_rows(tmp_path / "t.parquet", "parquet"))
    assert caught.value.code == "parquet_unavailable"


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("t", b"nothing to go by", "unknown_format"),
        ("t.csv", b"a,a\n1,2\n", "bad_header"),
        ("t.csv", b"a,\n1,2\n", "bad_header"),
        ("t.json", b'[{"a":1}]', "json_array"),
        ("t.parquet", b"PAR1 not really", "bad_parquet"),
        ("t.parquet.gz", b"PAR1", "bad_compression"),
    ],
)
def test_files_that_are_refused_whole(tmp_path: Path, name: str, data: bytes, code: str) -> None:
    path = write(tmp_path / name, data)
    with pytest.raises(FileError) as caught:
        list(read_rows(path, detect_format(path)))
    assert caught.value.code == code


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.jsonl.zst"])
def test_a_cut_or_false_compression_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no compression here")
    with pytest.raises(FileError) as caught:
        list(read_rows(path, detect_format(path)))
    assert caught.value.code == "bad_compression"


def test_bad_rows_are_refused_by_number_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b'a,b\n1\n2,\xff\n3,"q ""x"", y"\n')
    rows = list(read_rows(path, "csv"))
    assert [row.number for row in rows] == [1, 2, 3]
    assert rows[0].cells == RowRefused("malformed_row", "1 cells under 2 columns")
    assert rows[1].cells == RowRefused("malformed_row", "not UTF-8")
    assert rows[2].cells == {"a": "3", "b": 'q "x", y'}


def test_bad_lines_of_json_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", b'{"a":1}\n{"a":\n5\n{"a":2}')
    cells = [row.cells for row in read_rows(path, "jsonl")]
    assert cells[0] == {"a": 1}
    assert cells[2] == RowRefused("malformed_row", "not an object but int")
    assert [getattr(one, "code", None) for one in cells] == [None, "malformed_row", "malformed_row", None]


def test_an_overlong_line_is_refused_and_reading_goes_on(tmp_path: Path) -> None:
    path = write(tmp_path / "t", b"a\n" + b"x" * (2 * LINE_BYTES_MAX + 7) + b"\nb\n")
    lines = list(text_lines(path))
    assert [number for number, _ in lines] == [1, 2, 3]
    assert lines[0][1] == b"a"
    assert isinstance(lines[1][1], RowRefused)
    assert lines[1][1].code == "too_long"
    assert lines[2][1] == b"b"


def test_a_quote_in_a_tab_separated_title_is_a_character(tmp_path: Path) -> None:
    path = write(tmp_path / "t.tsv", b'id\ttitle\n1\t27" screen\n2\tplain\n')
    assert [row.cells for row in read_rows(path, "tsv")] == [
        {"id": "1", "title": '27" screen'},
        {"id": "2", "title": "plain"},
    ]
