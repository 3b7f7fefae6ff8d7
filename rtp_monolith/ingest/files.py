"""Readers of tables in files: JSONL, CSV, TSV and Parquet, plain or compressed with gzip or zstd, row by row.

Invariant: memory is bounded by one row (or one Parquet batch), whatever the size of the file; a row that can not be
read is yielded as a refusal with its number, never passed over. It does not know what the columns mean.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import msgspec
import zstandard

LINE_BYTES_MAX = 1 << 20
PARQUET_ROWS_PER_BATCH = 4_096
PARQUET_MAGIC = b"PAR1"
COMPRESSIONS = (".gz", ".zst")

Format = Literal["jsonl", "csv", "tsv", "parquet", "sessions"]
Record = Mapping[str, object]

_SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class FileError(Exception):
    """The file as a whole can not be read; `code` is stable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RowRefused(msgspec.Struct, frozen=True):
    """Why a row, or one cell of it, was not taken."""

    code: str
    message: str


class Row(msgspec.Struct, frozen=True):
    """One row: its number (from 1, headers and blank lines not counted) and its cells, or the refusal."""

    number: int
    cells: Record | RowRefused


def bare_suffix(path: Path) -> str:
    """The suffix below the compression's: `.csv` of `clicks.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def open_bytes(path: Path) -> BinaryIO:
    """The bytes of the file, decompressed when its name ends in .gz or .zst."""
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True)
        return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader), 1 << 16))
    return path.open("rb")


def detect_format(path: Path) -> Format:
    """The format by the name, else by the first bytes; raises FileError `unknown_format`."""
    known = _SUFFIXES.get(bare_suffix(path))
    if known is not None:
        return known
    with _reading(path) as stream:
        head = stream.read(4_096).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(PARQUET_MAGIC):
        return "parquet"
    if head.startswith((b"{", b"[")):
        return "jsonl"
    first_line = head.split(b"\n", 1)[0]
    if b"\t" in first_line:
        return "tsv"
    if b"," in first_line:
        return "csv"
    raise FileError("unknown_format", f"{path.name}: not known by its name or first bytes; say it with --format")


def read_rows(path: Path, form: Format) -> Iterator[Row]:
    """The rows of a table. Raises FileError for what concerns the whole file."""
    if form == "jsonl":
        return _json_rows(path)
    if form == "csv":
        return _delimited_rows(path, ",")
    if form == "tsv":
        return _delimited_rows(path, "\t")
    if form == "parquet":
        return _parquet_rows(path)
    raise FileError("wrong_format", f"a file of sessions is read by `import sessions`, not as {form}")


def text_lines(path: Path) -> Iterator[tuple[int, bytes | RowRefused]]:
    """The lines that are not blank with their number from 1, without the line's end; an overlong line is refused."""
    number = 0
    with _reading(path) as stream:
        first = True
        while line := stream.readline(LINE_BYTES_MAX + 1):
            if first:
                line, first = line.removeprefix(b"\xef\xbb\xbf"), False
            whole = len(line) <= LINE_BYTES_MAX
            while not whole and not line.endswith(b"\n"):
                line = stream.readline(LINE_BYTES_MAX + 1)
                if not line:
                    break
            text = line.strip()
            if not whole:
                number += 1
                yield number, RowRefused("too_long", f"the line is longer than {LINE_BYTES_MAX} bytes")
            elif text:
                number += 1
                yield number, text


class _Reading:
    """An open file whose errors of compression are FileErrors."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream = open_bytes(path)

    def __enter__(self) -> BinaryIO:
        return self._stream

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._stream.close()
        if isinstance(error, EOFError | zstandard.ZstdError | gzip.BadGzipFile):
            raise FileError("bad_compression", f"{self._path.name}: {error}") from error


def _reading(path: Path) -> _Reading:
    return _Reading(path)


def _json_rows(path: Path) -> Iterator[Row]:
    decoder = msgspec.json.Decoder()
    for number, line in text_lines(path):
        if isinstance(line, RowRefused):
            yield Row(number, line)
            continue
        if number == 1 and line.startswith(b"["):
            raise FileError("json_array", f"{path.name} is one JSON array; write one object per line: jq -c '.[]'")
        try:
            cells = decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            yield Row(number, RowRefused("malformed_row", str(error)))
            continue
        if isinstance(cells, dict):
            yield Row(number, cells)
        else:
            yield Row(number, RowRefused("malformed_row", f"not an object but {type(cells).__name__}"))


def _delimited_rows(path: Path, delimiter: str) -> Iterator[Row]:
    with _reading(path) as stream:
        # Undecodable bytes become lone surrogates, so that one bad row is refused and the rest is read.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        # Tab-separated files are written without quotes as a rule; a quote in a title is then a character.
        rows = csv.reader(text, "excel") if delimiter == "," else csv.reader(text, "excel-tab", quoting=csv.QUOTE_NONE)
        csv.field_size_limit(LINE_BYTES_MAX)
        header = next(_csv_rows(rows), None)
        if header is None:
            return
        if isinstance(header, RowRefused):
            raise FileError("bad_header", f"{path.name}: {header.message}")
        names = [name.strip() for name in header]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated or not all(names):
            raise FileError("bad_header", f"{path.name}: a column without a name or named twice: {repeated or names}")
        for number, cells in enumerate(_csv_rows(rows), start=1):
            yield Row(number, cells if isinstance(cells, RowRefused) else _named(names, cells))


def _csv_rows(rows: Iterator[list[str]]) -> Iterator[list[str] | RowRefused]:
    while True:
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield RowRefused("malformed_row", str(error))
            continue
        if cells:
            yield cells


def _named(names: list[str], cells: list[str]) -> Record | RowRefused:
    if len(cells) != len(names):
        return RowRefused("malformed_row", f"{len(cells)} cells under {len(names)} columns")
    if any(not cell.isascii() and any("\udc80" <= c <= "\udcff" for c in cell) for cell in cells):
        return RowRefused("malformed_row", "not UTF-8")
    return dict(zip(names, cells, strict=True))


def _parquet_rows(path: Path) -> Iterator[Row]:
    if path.suffix.lower() in COMPRESSIONS:
        raise FileError("bad_compression", f"{path.name}: Parquet is compressed inside; decompress the file first")
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        message = "Parquet needs pyarrow: install rtp-monolith[parquet], or write CSV or JSONL"
        raise FileError("parquet_unavailable", message) from error
    try:
        table: Any = parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise FileError("bad_parquet", f"{path.name}: {error}") from error
    with table:
        number = 0
        for batch in table.iter_batches(batch_size=PARQUET_ROWS_PER_BATCH):
            for cells in batch.to_pylist():
                number += 1
                yield Row(number, cells)
