"""The view store: RocksDB with its own write-ahead log off, because every view can be made again from ours.

Invariant: what a crash leaves behind is the views as of one offset of the log. One column family persists its writes
as a prefix, memtable by memtable; a flush of views is written in slices between two memtable switches, and a mark at
its beginning tells the one case in which a slice could have been persisted alone. It does not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Checkpoint, DBCompressionType, Options, Rdict, WriteBatch, WriteOptions

from rtp_monolith.errors import DataError

META = b"m"
_BEGUN = b"b"
_USERS = b"u"
_AFTER_USERS = b"v"
MEMTABLE_BYTES = 256 << 20
"""Memtables are switched by us, between flushes; RocksDB itself would switch only past this."""
SWITCH_BYTES = 48 << 20
ENTRY_OVERHEAD_BYTES = 64
BACKGROUND_NICENESS = 10

Change = tuple[bytes, bytes | None]


def open_folder(path: Path, options: Options) -> Any:
    """The RocksDB of a folder, made when it is not there. Raises DataError `data_locked` when another process has it,
    `data_unreadable`."""
    path.mkdir(parents=True, exist_ok=True)
    try:
        return Rdict(str(path), options)
    except Exception as error:  # rocksdict raises plain Exception
        if "lock" in str(error).lower():
            raise DataError(f"{path} is in use by another process", code="data_locked") from None
        raise DataError(f"{path}: {error}", code="data_unreadable") from None


class ViewStore:
    """One directory of views. Keys and values are bytes; `META` holds the applied offset."""

    def __init__(self, path: Path) -> None:
        """Opens or creates. Raises DataError `data_locked` when another process has it."""
        self.path = path
        self._written_bytes = 0
        self._persisting = threading.Lock()
        self._db = open_folder(path, _options())
        # The binding's own stubs call this attribute a method.
        write: Any = WriteOptions()
        write.disable_wal = True
        self._db.set_write_options(write)

    def get(self, key: bytes) -> bytes | None:
        value: bytes | None = self._db.get(key)
        return value

    def get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        if len(keys) == 1:
            return [self.get(keys[0])]
        values: list[bytes | None] = self._db.get(list(keys))
        return values

    def torn(self) -> bool:
        """True when a crash persisted a part of a flush: the views must be made again."""
        return self.get(_BEGUN) not in (None, self.get(META))

    def shared(self) -> Iterator[tuple[bytes, bytes]]:
        """Everything but user records, in key order."""
        for key, value in self._db.items():
            if key >= _USERS:
                break
            if key != _BEGUN:
                yield key, value
        yield from self._db.items(from_key=_AFTER_USERS)

    def everything(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries in key order, for comparing two stores byte for byte."""
        for key, value in self._db.items():
            if key != _BEGUN:
                yield key, value

    def begin(self, meta: bytes, changes_bytes: int) -> None:
        """Starts a flush of about that many bytes; `meta` is the value it will end with."""
        if self._written_bytes + changes_bytes >= MEMTABLE_BYTES // 2:
            self.persist()
        self._write([(_BEGUN, meta)])

    def write(self, changes: Sequence[Change]) -> None:
        """One slice of a flush; the last slice of it ends with `META`."""
        self._write(changes)

    def _write(self, changes: Sequence[Change]) -> None:
        batch = WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in changes:
            if value is None:
                batch.delete(key)
            else:
                put(key, value)
        self._written_bytes += batch.size_in_bytes() + ENTRY_OVERHEAD_BYTES * len(changes)
        self._db.write(batch)

    @property
    def switch_due(self) -> bool:
        """Enough was written that `persist` is worth its while."""
        return self._written_bytes >= SWITCH_BYTES

    def persist(self) -> None:
        """Writes the memtable to disk; what was written before survives a crash. Never inside a flush.

        Blocks for as long as the disk takes and holds no GIL meanwhile: a running shard calls it in a thread.
        """
        self._written_bytes = 0
        with self._persisting:
            self._persist()

    def _persist(self) -> None:
        self._db.flush(False)
        _give_way()
        self._db.flush(True)

    def copy_to(self, path: Path) -> None:
        """A store of its own at `path`, as this one is, by hard links where the disk allows them; what was there goes.

        Persists first, so it blocks like `persist`, and like it is never called inside a flush. Raises DataError.
        """
        discard(path)
        self._written_bytes = 0
        try:
            with self._persisting:
                self._persist()
                Checkpoint(self._db).create_checkpoint(str(path))
        except Exception as error:  # rocksdict raises plain Exception
            raise DataError(f"{path}: {error}", code="data_unreadable") from None

    def sizes(self) -> dict[bytes, tuple[int, int]]:
        """Entries and bytes of keys and values, before compression, by the first byte of the key. Reads everything."""
        sizes: dict[bytes, tuple[int, int]] = {}
        for key, value in self.everything():
            entries, size = sizes.get(key[:1], (0, 0))
            sizes[key[:1]] = (entries + 1, size + len(key) + len(value))
        return sizes

    def disk_bytes(self) -> int:
        return sum(f.stat().st_size for f in self.path.iterdir() if f.is_file())

    def close(self) -> None:
        """Waits for a `persist` that still runs in its thread."""
        with self._persisting:
            self._db.close()


def _give_way() -> None:
    """RocksDB's threads take what time the requests leave over, and a tenth where they leave none: its own option would
    leave them next to nothing then, and a crash a long tail to fold. Where there is no /proc they compete as equals."""
    for task in Path("/proc/self/task").glob("*"):
        with contextlib.suppress(OSError):
            thread = int(task.name)
            is_own = (task / "comm").read_text().startswith("rocksdb:")
            if is_own and os.getpriority(os.PRIO_PROCESS, thread) < BACKGROUND_NICENESS:
                os.setpriority(os.PRIO_PROCESS, thread, BACKGROUND_NICENESS)


def discard(path: Path) -> None:
    """Removes a view store so that it is made again from the log."""
    shutil.rmtree(path, ignore_errors=True)


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(4)
    options.set_max_background_jobs(2)
    options.set_compression_type(DBCompressionType.lz4())
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options
