"""Tables of published features in a RocksDB of their own beside the views: nothing else to run.

Rows are written past the write-ahead log and flushed before the catalogue of versions is, which is on disk before
`commit` returns. Invariant: what a crash leaves behind is the catalogue of before or of after, and all rows that it
names. One process has it open: a running shard publishes for others over HTTP.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rocksdict import BlockBasedOptions, DBCompressionType, Options, WriteBatch, WriteOptions

from rtp_monolith.errors import TableError
from rtp_monolith.features.published import Scope
from rtp_monolith.state.online.store import RETIRED_FOR_MS, Version, supersede
from rtp_monolith.state.store import open_folder

FOLDER = "online"
SCAN_ROWS = 512
MEMTABLE_BYTES = 32 << 20
_CATALOGUE, _ROW = b"c", b"r"


class _Catalogue(msgspec.Struct):
    """All that is known of a scope; `retired` and `drafts` are numbers with the time of it."""

    next: int = 1
    versions: tuple[Version, ...] = ()
    retired: dict[int, int] = {}
    drafts: dict[int, int] = {}


class EmbeddedTables:
    """A `TableStore` in a folder."""

    def __init__(self, path: Path) -> None:
        """Opens or creates. Raises DataError `data_locked` when another process has it."""
        self._db = open_folder(path, _options())
        self._past_log, self._synced = _write_options(wal=False), _write_options(wal=True)
        self._catalogues: dict[Scope, _Catalogue] = {}
        for scope in ("user", "item"):
            self._open(scope)

    def _open(self, scope: Scope) -> None:
        stored = self._db.get(_CATALOGUE + scope.encode())
        catalogue = _Catalogue() if stored is None else msgspec.json.decode(stored, type=_Catalogue)
        self._catalogues[scope] = catalogue
        # Whoever wrote these is gone: nobody else can have had the folder open.
        for draft in [*catalogue.drafts]:
            del catalogue.drafts[draft]
            self._remove(scope, draft)

    async def versions(self, scope: Scope) -> tuple[Version, ...]:
        return self._catalogues[scope].versions

    async def begin(self, scope: Scope, now_ms: int) -> int:
        catalogue = self._catalogues[scope]
        draft, catalogue.next = catalogue.next, catalogue.next + 1
        catalogue.drafts[draft] = now_ms
        self._save(scope)
        return draft

    async def write(self, scope: Scope, draft: int, rows: Sequence[tuple[str, bytes]]) -> int:
        self._check_draft(scope, draft)
        given = {_key(scope, draft, id): row for id, row in rows}
        held = sum(value is not None for value in self._db.get([*given]))
        batch = WriteBatch(raw_mode=True)
        for key, row in given.items():
            batch.put(key, row)
        self._db.write(batch, self._past_log)
        return len(given) - held

    async def commit(self, scope: Scope, version: Version) -> None:
        self._check_draft(scope, version.id)
        self._db.flush(True)
        catalogue = self._catalogues[scope]
        after = supersede(catalogue.versions, version)
        del catalogue.drafts[version.id]
        catalogue.versions = after.versions
        catalogue.retired.update(dict.fromkeys(after.retired, version.published_ms))
        self._save(scope)

    async def abort(self, scope: Scope, draft: int) -> None:
        if self._catalogues[scope].drafts.pop(draft, None) is not None:
            self._save(scope)
            self._remove(scope, draft)

    async def read(self, scope: Scope, versions: Sequence[int], id: str) -> list[bytes | None]:
        if len(versions) == 1:
            return [self._db.get(_key(scope, versions[0], id))]
        rows: list[bytes | None] = self._db.get([_key(scope, version, id) for version in versions])
        return rows

    async def scan(self, scope: Scope, version: int) -> AsyncIterator[list[tuple[str, bytes]]]:
        prefix = _prefix(scope, version)
        rows: list[tuple[str, bytes]] = []
        for key, value in self._db.items(from_key=prefix):
            if not key.startswith(prefix):
                break
            rows.append((key[len(prefix) :].decode(), value))
            if len(rows) == SCAN_ROWS:
                yield rows
                rows = []
        if rows:
            yield rows

    async def sweep(self, scope: Scope, now_ms: int, retired_for_ms: int = RETIRED_FOR_MS) -> int:
        retired = self._catalogues[scope].retired
        due = [version for version, at_ms in retired.items() if now_ms - at_ms >= retired_for_ms]
        for version in due:
            self._remove(scope, version)
            del retired[version]
        if due:
            self._save(scope)
        return len(due)

    async def close(self) -> None:
        self._db.close()

    def _check_draft(self, scope: Scope, draft: int) -> None:
        if draft not in self._catalogues[scope].drafts:
            raise TableError("unknown_draft", f"there is no draft {draft} of the scope `{scope}`")

    def _remove(self, scope: Scope, version: int) -> None:
        self._db.delete_range(_prefix(scope, version), _prefix(scope, version + 1))

    def _save(self, scope: Scope) -> None:
        self._db.put(_CATALOGUE + scope.encode(), msgspec.json.encode(self._catalogues[scope]), self._synced)


def _prefix(scope: Scope, version: int) -> bytes:
    return _ROW + scope[:1].encode() + struct.pack(">Q", version)


def _key(scope: Scope, version: int, id: str) -> bytes:
    return _prefix(scope, version) + id.encode()


def _write_options(*, wal: bool) -> Any:
    # The binding's own stubs call these attributes methods.
    options: Any = WriteOptions()
    options.sync = wal
    options.disable_wal = not wal
    return options


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_background_jobs(2)
    options.set_compression_type(DBCompressionType.lz4())
    blocks = BlockBasedOptions()
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options
