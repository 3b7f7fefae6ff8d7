"""The servers that are loaded: a shard of our own on a temporary folder, and the bare server that is its floor.

Invariant: both are children on one core while the load runs on another, where there are two; both end with the block
that started them. It does not know what is measured.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter, sleep

import msgspec

from rtp_monolith.cli.bench_client import Address
from rtp_monolith.cli.output import Failure

START_S_MAX, STOP_S_MAX = 120.0, 60.0
_MAIN = "from rtp_monolith.cli.main import main; main()"
_FLOOR = "from rtp_monolith.cli.bench_floor import main; main()"


class Cores(msgspec.Struct, frozen=True):
    """Which core serves and which one loads; without a second one they are the same and nothing is pinned."""

    shard: int | None
    load: int | None

    @classmethod
    def choose(cls) -> Cores:
        usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return cls(usable[0], usable[1]) if len(usable) > 1 else cls(None, None)

    @contextlib.contextmanager
    def load_here(self) -> Iterator[None]:
        """This process runs on the load's core."""
        if self.load is None:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {self.load})
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


class Running(msgspec.Struct, frozen=True):
    """A server that answers; `pid` and `data` only of one that is ours."""

    address: Address
    pid: int | None = None
    data: Path | None = None


@contextlib.contextmanager
def own_shard(
    cores: Cores, data: Path | None = None, config: Path | None = None, models: Path | None = None,
    options: Sequence[str] = (),
) -> Iterator[Running]:  # fmt: skip
    """A shard on a folder that goes with it, or on `data`, which stays; default settings unless told otherwise."""
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        where = data or Path(folder) / "data"
        command = [sys.executable, "-c", _MAIN, "serve", "--data", str(where), "--port", "0"]
        if config is not None:
            command += ["--config", str(config)]
        if models is not None:
            command += ["--models", str(models)]
        command += options
        said = Path(folder) / "stderr"
        with _child(command, cores, said) as (child, address):
            _wait_ready(address, child, said)
            yield Running(address, child.pid, where)


@contextlib.contextmanager
def floor_server(cores: Cores) -> Iterator[Address]:
    """The bare server of `bench_floor`."""
    with (
        tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder,
        _child([sys.executable, "-c", _FLOOR], cores, Path(folder) / "stderr") as (_, address),
    ):
        yield address


@contextlib.contextmanager
def _child(command: Sequence[str], cores: Cores, said: Path) -> Iterator[tuple[subprocess.Popen[bytes], Address]]:
    with said.open("wb") as stderr:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)
    try:
        if cores.shard is not None:
            os.sched_setaffinity(child.pid, {cores.shard})
        yield child, _listening(child, said)
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _listening(child: subprocess.Popen[bytes], said: Path) -> Address:
    """Waits for the line that names the port."""
    until = perf_counter() + START_S_MAX
    while perf_counter() < until:
        text = said.read_text(errors="replace")
        for line in text.splitlines(keepends=True):
            if line.startswith("listening on http://") and line.endswith("\n"):
                return Address("127.0.0.1", int(line.rstrip().rpartition(":")[2]))
        _check_alive(child, said)
        sleep(0.01)
    raise Failure("server_failed", f"the server did not listen within {START_S_MAX:.0f} s")


def _check_alive(child: subprocess.Popen[bytes], said: Path) -> None:
    if child.poll() is not None:
        text = said.read_text(errors="replace")
        raise Failure("server_failed", f"the server ended with {child.returncode}: {text[-500:]}")


def _wait_ready(address: Address, child: subprocess.Popen[bytes], said: Path) -> None:
    until = perf_counter() + START_S_MAX
    while perf_counter() < until:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(f"{address.url}/readyz", timeout=5) as answer,
        ):
            if answer.status == 200:
                return
        _check_alive(child, said)
        sleep(0.01)
    raise Failure("server_failed", f"the shard was not ready within {START_S_MAX:.0f} s")


def gauges(address: Address) -> dict[str, float]:
    """The numbers that a shard reports of itself, without the parts of histograms."""
    headers = {"authorization": f"Bearer {address.key}"} if address.key else {}
    asked = urllib.request.Request(f"{address.url}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
    except urllib.error.URLError as error:
        raise Failure("unreachable", f"{address.url}/metrics: {error}") from None
    found = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        if name.startswith(("rtp_", "process_")) and "{" not in name:
            found[name] = float(value)
    return found


def machine() -> dict[str, str | int | float]:
    """What a figure depends on most; the load before says whether others were at work."""
    name = "unknown"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    return {"cpu": name, "cores": os.cpu_count() or 1, "load_before": round(os.getloadavg()[0], 2)}
