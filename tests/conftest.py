"""What all tests share: the real data, a free port, a shard in a process of its own.

Invariant: a shard that a test starts is gone when the test ends, whatever the test did. It does not know what a shard
answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

READY_WITHIN_S = 120.0
GONE_WITHIN_S = 10.0
RTP = (sys.executable, "-c", "from rtp_monolith.cli.main import main; main()")
"""The command `rtp`, whether or not a script is installed."""


def unused_port() -> int:
    """A port of 127.0.0.1 that nothing listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Shard:
    """A process of `rtp serve` on 127.0.0.1. `data` is its folder, `log` what it printed."""

    def __init__(self, data: Path, log: Path, options: Sequence[str], port: int | None = None) -> None:
        self.data = data
        self.log = log
        self.port = unused_port() if port is None else port
        self.url = f"http://127.0.0.1:{self.port}"
        self.command = [*RTP, "serve", "--data", str(data), "--port", str(self.port), *options]
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running shard."""
        assert self.process is not None, "the shard is not started"
        return self.process.pid

    def start(self) -> Shard:
        """Starts, or starts again, and waits until /readyz answers 200."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_ready(self.process)
        except BaseException:
            self.kill()
            raise
        return self

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None, timeout_s: float = 30
    ) -> tuple[int, Any]:
        """One request: the status and the body, read when it is JSON. `body` goes as it is if bytes, else as JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=sent, method=method)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as reply:
                return reply.status, _read(reply.headers.get_content_type(), reply.read())
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, _read(refused.headers.get_content_type(), refused.read())

    def stop(self) -> int:
        """SIGTERM, and SIGKILL if that is not enough in time; returns the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(GONE_WITHIN_S)
        return self.kill()

    def kill(self) -> int:
        """SIGKILL, as a power cut for the process; returns the exit status."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        status = self.process.wait()
        self.process = None
        return status

    def output(self) -> str:
        """The end of what the shard printed."""
        return self.log.read_text(errors="replace")[-8000:] if self.log.exists() else ""

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        give_up = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < give_up:
            if process.poll() is not None:
                pytest.fail(f"rtp serve ended with status {process.returncode}:\n{self.output()}")
            with contextlib.suppress(OSError):
                if self.call("GET", "/readyz", timeout_s=1)[0] == 200:
                    return
            time.sleep(0.05)
        pytest.fail(f"rtp serve was not ready after {READY_WITHIN_S:.0f} s:\n{self.output()}")


def _read(content_type: str, body: bytes) -> Any:
    return json.loads(body) if content_type == "application/json" and body else body


class StartShard(Protocol):
    """Starts a shard on `data` (a new folder unless given) with further options of `rtp serve`."""

    def __call__(self, *options: str, data: Path | None = None, config: str | None = None) -> Shard: ...


@pytest.fixture(scope="session")
def rtp_data() -> Path:
    """The folder of real data sets; without RTP_DATA the test says that it was skipped, and why."""
    folder = os.environ.get("RTP_DATA")
    if not folder:
        pytest.skip("RTP_DATA is not set: this test reads real data sets, point RTP_DATA at their folder")
    path = Path(folder)
    assert path.is_dir(), f"RTP_DATA={folder} is not a folder"
    return path


@pytest.fixture
def free_port() -> int:
    """A port for a server of the test's own."""
    return unused_port()


@pytest.fixture
def start_shard(tmp_path: Path) -> Iterator[StartShard]:
    """Starts as many shards as the test asks for; `config` is TOML text."""
    shards: list[Shard] = []

    def start(*options: str, data: Path | None = None, config: str | None = None) -> Shard:
        n = len(shards)
        if config is not None:
            file = tmp_path / f"shard-{n}.toml"
            file.write_text(config)
            options = (*options, "--config", str(file))
        shard = Shard(data or tmp_path / f"shard-{n}", tmp_path / f"shard-{n}.log", options)
        shards.append(shard)
        return shard.start()

    yield start
    for shard in shards:
        shard.stop()


@pytest.fixture
def shard(start_shard: StartShard) -> Shard:
    """A running shard with the default configuration and nothing in it."""
    return start_shard()
