"""From the log to files: events and shown items of a range of the log, commit after commit.

Only what the disk of the log has (`Log.synced`) is read, so a lake is never ahead of its log. Invariant: a row is
written by the commit that moves the position past its record, and by no other; a pass that fails leaves the lake as it
was after its last commit. The log is read only: its shard may run. It does not know what the rows are used for.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as compute

from rtp_monolith._native import Log, LogColumns
from rtp_monolith.clock import Clock
from rtp_monolith.config import Lake as Settings
from rtp_monolith.errors import DataError, LakeError, RtpError
from rtp_monolith.lake.journal import Lake, LakeFile, Mark, Refund, Windows
from rtp_monolith.lake.tables import US_PER_HOUR, by_hour, events_table, hours_of, impressions_table

CHUNK_BYTES = 8 << 20
CHUNK_BYTES_MIN = 1 << 16
ROW_BYTES = 128
"""About as much of the log as a row takes: a commit is not much larger than asked for."""
LOG = "log"
OUTCOMES = ("impression", "click", "dwell", "add_to_cart", "purchase")
US_PER_MS = 1_000


class Written(msgspec.Struct, frozen=True):
    """What one pass did."""

    commits: int
    events: int
    impressions: int
    position: int
    behind_bytes: int


def windows_of(settings: Settings) -> Windows:
    return Windows(settings.click_window_ms, settings.conversion_window_ms, settings.refund_window_ms)


class LakeWriter:
    """Writes the log of `data` into a lake that is open. Kept between passes, it need not look back in the log."""

    def __init__(self, lake: Lake, data: Path, settings: Settings, clock: Clock) -> None:
        self._lake = lake
        self._data = data
        self._settings = settings
        self._clock = clock
        self._columns: LogColumns | None = None

    def write(self, *, skip_lost: bool = False) -> Written:
        """Everything up to the end of what is on the disk. Raises DataError `log_truncated` when retention of the log
        took what was not read yet and `skip_lost` is off, LakeError `lake_other_log`, OSError.
        """
        log = Log(self._data / LOG, read_only=True)
        try:
            synced = log.synced()
            until = log.end() if synced is None else min(synced, log.end())
            self._check(log)
            if self._lake.journal.position < log.start():
                self._skip(log, skip_lost)
            commits = events = impressions = 0
            while self._lake.journal.position < until:
                position = self._lake.journal.position
                rows = self._commit_next(log, until)
                events, impressions, commits = events + rows[0], impressions + rows[1], commits + 1
                if self._lake.journal.position == position:
                    break
            position = self._lake.journal.position
            return Written(commits, events, impressions, position, max(until - position, 0))
        except BaseException:
            # What was read of a range that is not committed must be read as new again.
            self._columns = None
            raise
        finally:
            log.close()

    def _check(self, log: Log) -> None:
        """That the log is the one this lake is of."""
        journal = self._lake.journal
        if journal.position > log.end():
            raise LakeError(
                f"the lake is at {journal.position}, the log ends at {log.end()}: it is of another log",
                code="lake_other_log",
            )
        for mark in (journal.first, journal.last):
            if mark is not None and mark.offset >= log.start() and _mark(log, mark.offset) != mark:
                raise LakeError(
                    f"the log has something else at {mark.offset} than what was written from there: another log",
                    code="lake_other_log",
                )

    def _skip(self, log: Log, allowed: bool) -> None:
        journal, start = self._lake.journal, log.start()
        if not allowed:
            raise DataError(
                f"the lake is at {journal.position}, the log begins at {start}: what lies between is gone",
                code="log_truncated",
            )
        self._columns = None
        gaps = [*journal.gaps, (journal.position, start)]
        self._lake.commit([], [], self._clock.wall_ms(), position=start, gaps=gaps)

    def _reader(self, log: Log, position: int) -> LogColumns:
        if self._columns is None:
            window = self._settings.duplicate_window_bytes
            self._columns = LogColumns(window_bytes=window)
            bases = [base for base, _ in log.segments() if base <= max(position - window, log.start())]
            if bases and bases[-1] < position:
                self._columns.warm(log, bases[-1], position)
        return self._columns

    def _commit_next(self, log: Log, until: int) -> tuple[int, int]:
        """Reads until a commit is full or nothing is left; returns its events and shown items."""
        start = at = self._lake.journal.position
        reader = self._reader(log, start)
        told: list[Any] = []
        shown: list[Any] = []
        rows = 0
        while at < until and rows < self._settings.file_rows_max:
            wanted = max(CHUNK_BYTES_MIN, ROW_BYTES * (self._settings.file_rows_max - rows))
            of_events, of_shown, end = reader.read(log, at, min(CHUNK_BYTES, wanted), until)
            if end == at:
                break
            told.append(events_table(of_events))
            shown.append(impressions_table(of_shown))
            rows += max(len(told[-1]), len(shown[-1]))
            at = end
        if at == start:
            return 0, 0
        events, impressions = pa.concat_tables(told), pa.concat_tables(shown)
        journal = self._lake.journal
        # The last record of the range: logs that began alike have parted by then, or have not parted yet.
        last = _mark(log, max(start, latest_offset(events), latest_offset(impressions)))
        name = f"{start:016x}-{at:016x}"
        files = [self._lake.write("events", hour, name, part, start, at) for hour, part in by_hour(events)]
        files += [self._lake.write("impressions", hour, name, part, start, at) for hour, part in by_hour(impressions)]
        self._lake.commit(
            files,
            [],
            self._clock.wall_ms(),
            position=at,
            first=journal.first or _mark(log, start),
            last=last,
            latest_us=max(journal.latest_us, latest(events), latest(impressions)),
            rewards_due=self._due(events, files),
            refunds=[*journal.refunds, *_refunds(events)],
        )
        return len(events), len(impressions)

    def _due(self, events: Any, files: list[LakeFile]) -> list[int]:
        """Hours whose rewards this commit can change: those of its lists, and those that its events may belong to."""
        due = set(self._lake.journal.rewards_due) | {file.hour for file in files if file.table == "impressions"}
        mask = compute.is_in(events.column("event_type"), value_set=pa.array(OUTCOMES))
        outcomes = events.filter(mask)
        if len(outcomes):
            windows = self._lake.journal.windows
            back = -(-max(windows.click_ms, windows.conversion_ms) * US_PER_MS // US_PER_HOUR)
            hours = set(hours_of(outcomes).tolist())
            due |= {hour - n for hour in hours for n in range(back + 1)}
        listed = {file.hour for file in self._lake.journal.files if file.table == "impressions"}
        listed |= {file.hour for file in files if file.table == "impressions"}
        return sorted(due & listed)


def latest(table: Any) -> int:
    """The newest event time, µs; 0 without rows."""
    return int(compute.max(table.column("ts").cast(pa.int64())).as_py() or 0) if len(table) else 0


def latest_offset(table: Any) -> int:
    """The offset of the last record of a table's rows; 0 without rows."""
    return int(compute.max(table.column("log_offset")).as_py() or 0) if len(table) else 0


def _refunds(events: Any) -> list[Refund]:
    rows = events.filter(compute.equal(events.column("event_type"), "refund"))
    rows = rows.select(["session_id", "ts", "props"])
    return [
        Refund(dict(props).get("order_id"), session, int(ts))
        for session, ts, props in zip(
            rows.column("session_id").to_pylist(),
            rows.column("ts").cast(pa.int64()).to_pylist(),
            rows.column("props").to_pylist(),
            strict=True,
        )
    ]


def _mark(log: Log, offset: int) -> Mark | None:
    """The frame at or right behind an offset; None at the end, or where no frame begins."""
    try:
        frames = log.frames(offset, 1)
    except RtpError:
        return None
    if not frames:
        return None
    at, end, kind, partition, key_hash, received_ms, body = frames[0]
    digest = hashlib.blake2b(f"{kind}:{partition}:{key_hash}:{received_ms}:".encode() + body, digest_size=16)
    # The frame itself may lie a little further, behind a marker of the log; it is looked for from the same place again.
    return Mark(offset, end, f"{at:x}:{digest.hexdigest()}")
