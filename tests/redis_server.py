"""A real Redis for tests, of Debian's package `redis-server`, on a port of its own.

Invariant: what is started here is gone when the test ends, and the machine's own Redis is never touched. It does not
know what is kept in it.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

READY_WITHIN_S = 20.0


class RedisServer:
    """A server that keeps nothing on disk; `url` has a database to itself."""

    def __init__(self, folder: Path, port: int) -> None:
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip("redis-server is not installed: apt-get install redis-server, or run .ci/run, which does")
        pytest.importorskip("redis", reason="the package redis is not installed: make setup does it")
        self.port = port
        self.url = f"redis://127.0.0.1:{port}/0"
        self._command = [
            *(found, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--dir", str(folder), "--daemonize", "no"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RedisServer:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        give_up = time.monotonic() + READY_WITHIN_S
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended at once"
            assert time.monotonic() < give_up, "redis-server does not answer"
            time.sleep(0.02)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def freeze(self) -> None:
        """Takes connections and answers nothing until `thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None
