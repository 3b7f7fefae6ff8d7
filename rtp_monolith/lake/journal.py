"""The journal of a lake: which files it consists of and how far in the log it is.

A commit writes whole files under their final names, then replaces `journal.json`. Invariant: the journal names files
that are on the disk, whole, and their rows are those of the log up to `position`, each once; a Parquet file that the
journal does not name is rubbish of a commit that did not happen. A file that was replaced stays on the disk for a while
as `retired`, for readers that had begun. It does not know what a row says.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as parquet

from rtp_monolith.errors import LakeError
from rtp_monolith.lake.tables import SCHEMAS, TABLES, TableName, partition
from rtp_monolith.manifest import sync_folder, write_durably

LAYOUT = 1
NAME = "journal.json"
LOCK = "lock"
DRAFTS = "drafts"
GRACE_MS = 10 * 60_000
COMPRESSION = "zstd"


class Windows(msgspec.Struct, frozen=True):
    """How long after a list was made an event counts for it, ms. A refund counts so long after its purchase."""

    click_ms: int
    conversion_ms: int
    refund_ms: int


class Mark(msgspec.Struct, frozen=True):
    """One frame of the log, by which the log is known again."""

    offset: int
    end: int
    digest: str


class LakeFile(msgspec.Struct, frozen=True):
    """A committed file; `start` and `end` are the range of the log that its rows are of."""

    table: TableName
    hour: int
    path: str
    rows: int
    bytes: int
    start: int
    end: int


class Retired(msgspec.Struct, frozen=True):
    """A file that is no longer read; `version` is the commit that replaced it."""

    path: str
    at_ms: int
    version: int


class Refund(msgspec.Struct, frozen=True):
    """A refund whose purchase's hours are not known yet."""

    order_id: str | None
    session_id: str
    ts_us: int


class Arrived(msgspec.Struct, frozen=True):
    """How far the rows are that are written as the log goes on: lists of its walk that are behind, and the offset at
    which the state stood with the last of them."""

    lists: int = 0
    past: int = 0


class Journal(msgspec.Struct, frozen=True):
    """One version of the lake. Offsets in bytes of the log, hours since 1970.

    `training` tells the run apart whose training rows are in the lake, `arrived` how far one is that goes on.
    `rewards_due` are hours whose rewards are missing or out of date; `gaps` are ranges of the log that were gone before
    they were read; `catalogs` says which version each Iceberg catalog has been told.
    """

    layout: int
    windows: Windows
    version: int = 0
    position: int = 0
    first: Mark | None = None
    last: Mark | None = None
    latest_us: int = 0
    files: list[LakeFile] = []
    retired: list[Retired] = []
    rewards_due: list[int] = []
    refunds: list[Refund] = []
    gaps: list[tuple[int, int]] = []
    catalogs: dict[str, int] = {}
    training: str = ""
    arrived: Arrived = Arrived()

    def of(self, table: TableName, first: int | None = None, last: int | None = None) -> list[LakeFile]:
        """The files of a table, of the hours from `first` to `last` where given."""
        return [
            file
            for file in self.files
            if file.table == table and (first is None or file.hour >= first) and (last is None or file.hour <= last)
        ]


_read = msgspec.json.Decoder(Journal).decode


def load(folder: Path) -> Journal:
    """The journal of a lake. Raises LakeError `lake_missing`, `lake_layout`, `lake_unreadable`."""
    path = folder / NAME
    try:
        journal = _read(path.read_bytes())
    except FileNotFoundError:
        raise LakeError(f"{folder} is not a lake: it has no {NAME}", code="lake_missing") from None
    except (OSError, msgspec.DecodeError) as error:
        raise LakeError(f"{path}: {error}") from None
    if journal.layout != LAYOUT:
        raise LakeError(f"{path} says layout {journal.layout}, this is {LAYOUT}", code="lake_layout")
    return journal


class Lake:
    """A lake open for writing, by one process at a time. A context manager."""

    def __init__(self, folder: Path, windows: Windows) -> None:
        """Opens or makes it, and sweeps what no commit names. Raises LakeError, `lake_locked` among them."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise LakeError(f"another process writes {folder}", code="lake_locked") from None
        try:
            self.journal = load(folder) if (folder / NAME).exists() else Journal(LAYOUT, windows)
            self.sweep()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Lake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self._lock)

    def write(self, table: TableName, hour: int, name: str, rows: Any, start: int, end: int) -> LakeFile:
        """Rows as a whole file on the disk; part of the lake once it is committed."""
        below = f"{table}/{partition(hour)}/{name}.parquet"
        draft = self.folder / DRAFTS / f"{table}-{hour}-{name}"
        draft.parent.mkdir(exist_ok=True)
        with draft.open("wb") as file:
            # Text columns repeat themselves; Parquet's dictionaries are on by default.
            parquet.write_table(rows, file, compression=COMPRESSION)
            file.flush()
            os.fsync(file.fileno())
        final = self.folder / below
        final.parent.mkdir(parents=True, exist_ok=True)
        size = draft.stat().st_size
        draft.replace(final)
        return LakeFile(table, hour, below, len(rows), size, start, end)

    def commit(self, added: Iterable[LakeFile], removed: Iterable[LakeFile], now_ms: int, **changes: Any) -> None:
        """The next version: with these files, without those, and with `changes` to the journal's fields."""
        added = list(added)
        gone = {file.path for file in removed}
        for folder in self._folders_of(added):
            sync_folder(folder)
        version = self.journal.version + 1
        retired = [*self.journal.retired, *(Retired(path, now_ms, version) for path in sorted(gone))]
        files = [file for file in self.journal.files if file.path not in gone]
        made: dict[str, Any] = {"version": version, "files": [*files, *added], "retired": retired}
        journal = msgspec.structs.replace(self.journal, **(made | changes))
        write_durably(self.folder / NAME, msgspec.json.encode(journal))
        self.journal = journal

    def _folders_of(self, files: list[LakeFile]) -> list[Path]:
        """Every folder whose entries a commit depends on, each once."""
        found: dict[Path, None] = {}
        for file in files:
            hour = (self.folder / file.path).parent
            found.update(dict.fromkeys((hour, hour.parent, hour.parent.parent)))
        if files:
            found[self.folder] = None
        return list(found)

    def forget_retired(self, now_ms: int) -> int:
        """Removes replaced files that no reader can still want: `GRACE_MS` old, and no catalog names them."""
        told = min(self.journal.catalogs.values(), default=self.journal.version)
        due = [each for each in self.journal.retired if now_ms - each.at_ms >= GRACE_MS and each.version <= told]
        if not due:
            return 0
        for each in due:
            (self.folder / each.path).unlink(missing_ok=True)
        kept = [each for each in self.journal.retired if each not in due]
        self.commit([], [], now_ms, retired=kept)
        return len(due)

    def sweep(self) -> int:
        """Removes drafts and files that no journal names; returns how many."""
        known = {file.path for file in self.journal.files} | {each.path for each in self.journal.retired}
        swept = 0
        for draft in (self.folder / DRAFTS).glob("*"):
            draft.unlink()
            swept += 1
        for table in TABLES:
            for path in (self.folder / table).glob("date=*/hour=*/*.parquet"):
                if str(path.relative_to(self.folder)) not in known:
                    path.unlink()
                    swept += 1
        for folder in sorted(self.folder.glob("*/date=*/hour=*"), reverse=True):
            # Only empty ones can be removed, and only those should be.
            with contextlib.suppress(OSError):
                folder.rmdir()
                folder.parent.rmdir()
        return swept


def read_rows(folder: Path, files: Iterable[LakeFile]) -> Any:
    """The rows of files of one table, file after file."""
    files = list(files)
    tables = [parquet.ParquetFile(folder / file.path).read() for file in files]
    # Training rows have the columns of their run as well, and files of one run have the same.
    tables = [
        (rows if file.table == "training" else rows.cast(SCHEMAS[file.table])).combine_chunks()
        for rows, file in zip(tables, files, strict=True)
    ]
    return pa.concat_tables(tables)
