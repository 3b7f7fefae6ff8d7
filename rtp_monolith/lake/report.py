"""What a lake has and how far it is, for people and for checks."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rtp_monolith._native import Log
from rtp_monolith.lake.journal import Journal
from rtp_monolith.lake.tables import TABLES, partition
from rtp_monolith.lake.writer import LOG


class TableReport(msgspec.Struct, frozen=True):
    """`first` and `last` are the folders of its hours, empty without files."""

    files: int
    rows: int
    bytes: int
    first: str
    last: str


class LakeReport(msgspec.Struct, frozen=True):
    """Offsets in bytes of the log; `behind_bytes` only where the log is known."""

    version: int
    position: int
    behind_bytes: int | None
    rewards_due_hours: int
    refunds_pending: int
    retired_files: int
    gaps: list[tuple[int, int]]
    catalogs: list[str]
    tables: dict[str, TableReport]


def report_of(journal: Journal, data: Path | None) -> LakeReport:
    """The report of one version; with the folder of the shard also how far the log is ahead."""
    behind = None
    if data is not None and (data / LOG).is_dir():
        log = Log(data / LOG, read_only=True)
        behind = max(log.end() - journal.position, 0)
        log.close()
    tables: dict[str, TableReport] = {}
    for table in TABLES:
        files = journal.of(table)
        hours = sorted({file.hour for file in files})
        first, last = (partition(hours[0]), partition(hours[-1])) if hours else ("", "")
        rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
        tables[table] = TableReport(len(files), rows, size, first, last)
    return LakeReport(
        version=journal.version,
        position=journal.position,
        behind_bytes=behind,
        rewards_due_hours=len(journal.rewards_due),
        refunds_pending=len(journal.refunds),
        retired_files=len(journal.retired),
        gaps=journal.gaps,
        catalogs=sorted(journal.catalogs),
        tables=tables,
    )
