"""Upkeep of a lake: small files of an hour become one, old days go.

Invariant: a commit of either changes no row that stays: what is merged has the rows of its parts in the order of the
log, and readers see the parts or the whole, never both. It does not know when it is called.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from rtp_monolith.lake.journal import Lake, LakeFile, read_rows
from rtp_monolith.lake.tables import HOURS_PER_DAY, US_PER_HOUR, TableName

OPEN_FILES_MAX = 16
"""An hour that is still being written is merged when it has so many files."""
MERGES_PER_COMMIT = 64


class Compacted(msgspec.Struct, frozen=True):
    """Files that were merged, and what they became."""

    merged: int
    into: int


def compact(lake: Lake, file_rows_max: int, now_ms: int, *, everything: bool = False) -> Compacted:
    """Merges the files of hours that are over, and of open ones with many; with `everything` of all hours."""
    merged = into = 0
    while groups := list(_groups(lake, file_rows_max, everything)):
        groups = groups[:MERGES_PER_COMMIT]
        added = [_merge(lake, group) for group in groups]
        removed = [file for group in groups for file in group]
        lake.commit(added, removed, now_ms)
        merged, into = merged + len(removed), into + len(added)
    return Compacted(merged, into)


def _groups(lake: Lake, rows_max: int, everything: bool) -> Iterator[list[LakeFile]]:
    """Neighbouring files of one hour, at least two, which fit into one."""
    by_place: dict[tuple[TableName, int], list[LakeFile]] = {}
    for file in lake.journal.files:
        # Those that are replaced whole are not of a range of the log.
        if file.table != "rewards" and (file.table != "training" or file.end > 0):
            by_place.setdefault((file.table, file.hour), []).append(file)
    now_hour = lake.journal.latest_us // US_PER_HOUR
    for (_, hour), files in sorted(by_place.items()):
        if not everything and hour >= now_hour and len(files) < OPEN_FILES_MAX:
            continue
        group: list[LakeFile] = []
        rows = 0
        for file in sorted(files, key=lambda each: each.start):
            if group and rows + file.rows > rows_max:
                if len(group) > 1:
                    yield group
                group, rows = [], 0
            group.append(file)
            rows += file.rows
        if len(group) > 1:
            yield group


def _merge(lake: Lake, files: list[LakeFile]) -> LakeFile:
    table, hour = files[0].table, files[0].hour
    start, end = files[0].start, max(file.end for file in files)
    name = f"{start:016x}-{end:016x}-{lake.journal.version + 1:x}"
    return lake.write(table, hour, name, read_rows(lake.folder, files), start, end)


def retain(lake: Lake, days: int | None, now_ms: int) -> int:
    """Drops the hours that lie more than `days` before the newest event of the lake; returns the files that went."""
    if days is None:
        return 0
    oldest = lake.journal.latest_us // US_PER_HOUR - days * HOURS_PER_DAY
    gone = [file for file in lake.journal.files if file.hour < oldest]
    if gone:
        due = [hour for hour in lake.journal.rewards_due if hour >= oldest]
        lake.commit([], gone, now_ms, rewards_due=due)
    return len(gone)
