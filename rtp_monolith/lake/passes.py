"""One pass over a lake: write what is new, settle rewards, let training rows arrive, merge, retain, tell the catalog.

Invariant: every step is a commit of its own, so a pass that fails anywhere leaves a whole lake and the next pass goes
on from there. It does not know who asks for a pass.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import msgspec

from rtp_monolith.clock import Clock
from rtp_monolith.config import Lake as Settings
from rtp_monolith.errors import RtpError
from rtp_monolith.lake.background import Status
from rtp_monolith.lake.journal import Lake
from rtp_monolith.lake.rewards import recount, settle
from rtp_monolith.lake.training_rows import RowSource, arrive
from rtp_monolith.lake.upkeep import Compacted, compact, retain
from rtp_monolith.lake.writer import LakeWriter, Written, windows_of
from rtp_monolith.manifest import claim


class PassReport(msgspec.Struct, frozen=True):
    """What one pass did, for the one who waits for it."""

    written: Written
    reward_hours: int
    training_rows: int
    compacted: Compacted
    retained: int
    files: int
    rows: dict[str, int]


class LakePasses:
    """A lake that is open, and the log it is of. A context manager."""

    def __init__(
        self, data: Path, folder: Path, settings: Settings, clock: Clock, source: RowSource | None = None
    ) -> None:
        """With a source, training rows arrive too. Raises LakeError and DataError; nothing is made beside a folder that
        is not a shard's."""
        claim(data, 1, create=False)
        self._settings = settings
        self._clock = clock
        self._source = source
        self.lake = Lake(folder, windows_of(settings))
        self._writer = LakeWriter(self.lake, data, settings, clock)

    def __enter__(self) -> LakePasses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._source is not None:
            self._source.close()
        self.lake.close()

    def once(self, *, unfinished: bool = False, skip_lost: bool = False) -> PassReport:
        """One pass. Raises LakeError, DataError, OSError."""
        now_ms = self._clock.wall_ms()
        recount(self.lake, windows_of(self._settings), now_ms)
        written = self._writer.write(skip_lost=skip_lost)
        hours = settle(self.lake, now_ms, unfinished=unfinished)
        trained, failed = self._arrive(now_ms)
        compacted = compact(self.lake, self._settings.file_rows_max, now_ms)
        retained = retain(self.lake, self._settings.retain_days, now_ms)
        if self._settings.catalog is not None:
            from rtp_monolith.lake.iceberg import register

            register(self.lake, self._settings.catalog, now_ms)
        self.lake.forget_retired(now_ms)
        if failed is not None:
            raise failed
        return PassReport(written, hours, trained, compacted, retained, len(self.lake.journal.files), self.rows())

    def _arrive(self, now_ms: int) -> tuple[int, RtpError | None]:
        """Training rows that were written; what fails of them must not keep the rest of the lake waiting."""
        try:
            return 0 if self._source is None else arrive(self.lake, self._source, now_ms), None
        except RtpError as failed:
            return 0, failed

    def rows(self) -> dict[str, int]:
        """Rows by table."""
        rows: dict[str, int] = dict.fromkeys(("events", "impressions", "rewards"), 0)
        for file in self.lake.journal.files:
            rows[file.table] = rows.get(file.table, 0) + file.rows
        return rows

    def run(self, before: Status) -> Status:
        """One pass that never raises for what the next one may find mended: the status says what failed."""
        error = ""
        try:
            self.once()
        except (RtpError, OSError) as failed:
            code = failed.code if isinstance(failed, RtpError) else "io_error"
            error = f"{code}: {failed}"
        journal = self.lake.journal
        return Status(
            position=journal.position,
            # Without anything new to write, a pass that ended well is as far as the log.
            caught_up_ms=before.caught_up_ms if error else self._clock.wall_ms(),
            files=len(journal.files),
            rows=sum(file.rows for file in journal.files),
            bytes=sum(file.bytes for file in journal.files),
            passes=before.passes + 1,
            failures=before.failures + bool(error),
            error=error,
        )
