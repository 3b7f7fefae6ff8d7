"""The running audit as its shard sees it: starts the process that follows, counts what it says, raises the alarm.

Invariant: nothing of it waits in the shard's loop, and a shard whose audit cannot run serves as before and says so
(`rtp_audit_running`). It does not know how values are compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.spec import Feature
from rtp_monolith.metrics import Metrics
from rtp_monolith.monitoring.follow import Followed, Round, follow
from rtp_monolith.state.store import discard

FOLDER = "audit"
END_S = 5.0
log = logging.getLogger(__name__)
_read = msgspec.json.Decoder(Round).decode


class Watch:
    """The audit of one running shard. `copy` makes a copy of the shard's views at a path."""

    def __init__(
        self,
        data: Path,
        config: Config,
        metrics: Metrics,
        copy: Callable[[Path], Awaitable[None]],
        *,
        features: Sequence[Feature] | None = None,
        any_plan: bool = False,
    ) -> None:
        self._interval_s = config.audit.interval_ms / 1000
        self._followed = Followed(data, data / FOLDER, config, self._interval_s, features, any_plan)
        self._metrics = metrics
        self._copy = copy
        self._task: asyncio.Task[None] | None = None
        self._stats = {"audit_running": 0, "audit_lag_bytes": 0, "audit_restarts": 0}

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begins after the first interval: a shard that was just started has other things to do."""
        self._task = loop.create_task(self._run())

    async def close(self) -> None:
        """Ends the other process."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await asyncio.to_thread(discard, self._followed.views)

    def stats(self) -> Mapping[str, int]:
        """Gauges: whether it runs, the bytes of log that it has yet to fold, how often it had to be started again."""
        return self._stats

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self._copy(self._followed.views)
            except DataError as error:
                log.warning("no audit of features: the views cannot be copied: %s", error.message)
                continue
            try:
                await self._follow()
            finally:
                self._stats["audit_running"] = 0
            self._stats["audit_restarts"] += 1
            log.warning("the audit of features ended; it is started again in %s s", self._interval_s)

    async def _follow(self) -> None:
        """One life of the other process, until it ends."""
        spawn = multiprocessing.get_context("spawn")
        own, theirs = spawn.Pipe()
        process = spawn.Process(target=follow, args=(self._followed, theirs), name="rtp-audit", daemon=True)
        await asyncio.to_thread(process.start)
        theirs.close()
        try:
            while (said := await _next(own)) is not None:
                self._take(_read(said))
        finally:
            own.close()
            process.join(END_S)
            if process.is_alive():
                process.kill()

    def _take(self, found: Round) -> None:
        self._stats["audit_running"] = 1
        self._stats["audit_lag_bytes"] = found.log_end - found.folded
        report = found.report
        compared = report.decisions - report.other_plan - report.other_config
        self._metrics.audited(
            report.compared,
            {
                "compared": compared,
                "other_plan": report.other_plan,
                "other_config": report.other_config,
                "missed": found.missed,
            },
            report.features,
        )
        if report.different:
            first = report.examples[0]
            log.error(
                "feature skew: %d of %d values differ from what the log gives: %s; request %s, item %s: %s was served "
                "as %r and is %r",
                *(report.different, report.compared, ", ".join(report.features)),
                *(first.request_id, first.item_id, first.feature, first.served, first.replayed),
            )


async def _next(connection: Connection) -> bytes | None:
    """The next message; None when the other end is closed."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection.fileno())
    try:
        return connection.recv_bytes()
    except (EOFError, OSError):
        return None
