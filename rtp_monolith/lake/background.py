"""The lake of a running shard: a child process that writes it, and the parent's view of how it does.

The child reads the log as any reader does, at low priority, so the shard's loop never waits for it. It ends when its
standard input does, which also happens when the shard is killed. Invariant: at most one child; one that dies is started
again. It does not know what a pass does to the files.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from rtp_monolith.clock import Clock, WallClock
from rtp_monolith.config import Lake as Settings
from rtp_monolith.errors import LakeError
from rtp_monolith.manifest import write_durably

if TYPE_CHECKING:
    from rtp_monolith.lake.training_rows import RowSource

STATUS = "status.json"
NICENESS = 5
RESTART_S = 5.0
STOP_S = 10.0
PROGRAM = "import sys; from rtp_monolith.lake.background import child; sys.exit(child(sys.argv[1]))"

log = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True):
    """What the child is told, as JSON."""

    data: str
    lake: str
    settings: Settings


class Status(msgspec.Struct, frozen=True):
    """What the child says after each pass. Positions in bytes of the log."""

    position: int = 0
    caught_up_ms: int = 0
    files: int = 0
    rows: int = 0
    bytes: int = 0
    passes: int = 0
    failures: int = 0
    error: str = ""


def check_installed() -> None:
    """Raises LakeError `lake_unavailable` without the packages of the extra."""
    from importlib.util import find_spec

    missing = [name for name in ("duckdb", "pyarrow", "pyiceberg") if find_spec(name) is None]
    if missing:
        message = f"the offline store needs {', '.join(missing)}: install rtp-monolith[lake]"
        raise LakeError(message, code="lake_unavailable")


class BackgroundLake:
    """The parent's side. `start` once, `close` once."""

    def __init__(
        self,
        data: Path,
        settings: Settings,
        clock: Clock,
        log_end: Callable[[], int],
        *,
        program: str = PROGRAM,
        said: bytes = b"",
    ) -> None:
        """`log_end` says how much of the log is on the disk. `program` is what the child runs, and `said`, a line, the
        first that it reads: what is said there nobody sees in a list of processes. Raises LakeError
        `lake_unavailable`."""
        check_installed()
        assert settings.path is not None
        self._order = Order(str(data.absolute()), str(Path(settings.path).absolute()), settings)
        self._folder = Path(self._order.lake)
        self._clock = clock
        self._log_end = log_end
        self._program, self._said = program, said
        self._began_ms = clock.wall_ms()
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._restarts = 0
        self._keeper = threading.Thread(target=self._keep, name="lake", daemon=True)

    def start(self) -> None:
        self._keeper.start()

    @property
    def pid(self) -> int | None:
        """The child's process id while it runs."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def stats(self) -> Mapping[str, int | float]:
        """Figures for `/metrics`."""
        status = read_status(self._folder)
        since_ms = self._clock.wall_ms() - (status.caught_up_ms or self._began_ms)
        return {
            "lake_running": int(self.pid is not None),
            "lake_position": status.position,
            "lake_lag_bytes": max(self._log_end() - status.position, 0),
            "lake_lag_seconds": max(since_ms, 0) / 1000,
            "lake_files": status.files,
            "lake_rows": status.rows,
            "lake_bytes": status.bytes,
            "lake_failures": status.failures + self._restarts,
        }

    def close(self) -> None:
        """Lets the child end its pass, or ends it."""
        self._stopping.set()
        child = self._child
        if child is not None and child.stdin is not None:
            child.stdin.close()
        if self._keeper.ident is not None:
            self._keeper.join(STOP_S)
        if child is not None and child.poll() is None:
            child.kill()
            child.wait()

    def _keep(self) -> None:
        command = [sys.executable, "-c", self._program, msgspec.json.encode(self._order).decode()]
        while not self._stopping.is_set():
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            self._say(self._child)
            status = self._child.wait()
            if self._child.stdin is not None:
                self._child.stdin.close()
            if self._stopping.is_set():
                return
            self._restarts += 1
            log.warning("the process that writes the lake ended with status %d", status)
            self._stopping.wait(RESTART_S)

    def _say(self, child: subprocess.Popen[bytes]) -> None:
        if self._said and child.stdin is not None:
            # A child that is gone already is noticed where it is waited for.
            with contextlib.suppress(OSError):
                child.stdin.write(self._said)
                child.stdin.flush()


def read_status(folder: Path) -> Status:
    """The last status of a lake's writer; an empty one before the first."""
    try:
        return msgspec.json.decode((folder / STATUS).read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return Status()


def child(order: str, source: RowSource | None = None) -> int:
    """The child's life: a pass, a pause, until standard input ends. With a source, training rows arrive too."""
    os.nice(NICENESS)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    told = msgspec.json.decode(order, type=Order)
    # A shard that was killed may have left a child that still ends its pass: the lock decides.
    from rtp_monolith.lake.passes import LakePasses

    folder = Path(told.lake)
    with LakePasses(Path(told.data), folder, told.settings, WallClock(), source) as passes:
        status = Status()
        while True:
            status = passes.run(status)
            if status.error:
                log.warning("the lake: %s", status.error)
            try:
                write_durably(folder / STATUS, msgspec.json.encode(status))
            except OSError as error:
                log.warning("the lake: %s", error)
            readable, _, _ = select.select([sys.stdin], [], [], told.settings.interval_ms / 1000)
            if readable:
                return 0
