"""Ways to run a shard that can be killed: forked without HTTP, or `rtp serve`.

Invariant: `kill` returns when the process is gone. Both ways answer the same calls; neither knows what is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.parse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.conftest import Shard
from tests.simulation.light_shard import LINE_BYTES_MAX
from tests.simulation.traffic import Body


class Connection(Protocol):
    """One client's way in; raises OSError when the shard is gone."""

    async def send(self, body: Body) -> dict[str, Any]: ...

    def close(self) -> None: ...


class Process(Protocol):
    """A shard that lives and dies many times on one data directory."""

    data: Path

    def start(self) -> float | None:
        """The seconds that recovery took, when the process tells."""

    def kill(self) -> None: ...

    def stop(self) -> None: ...

    async def connect(self) -> Connection: ...

    async def states(self, keys: Iterable[str]) -> dict[str, Any]: ...

    async def versions(self, keys: Iterable[str]) -> dict[str, int]: ...

    async def items(self, keys: Iterable[str]) -> dict[str, Any]: ...


class Gone(OSError):
    """The shard closed the connection."""


class LineConnection:
    """Lines of JSON on a local socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._writer.write(json.dumps(request).encode() + b"\n")
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise Gone
        answer: dict[str, Any] = json.loads(line)
        assert "error" not in answer, answer
        return answer

    async def send(self, body: Body) -> dict[str, Any]:
        return await self.ask({"op": "ingest", "kind": body.kind, "body": body.text.decode()})

    def close(self) -> None:
        self._writer.close()


class Nursery:
    """The process that forks light shards; `env` is added to its environment."""

    def __init__(self, env: dict[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.light_shard"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or b'{"failed": "the parent ended"}')
        return answer

    def close(self) -> None:
        """Ends the parent and whatever shard a failed test left behind."""
        assert self._process.stdin is not None and self._process.stdout is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


class LightShard:
    """`ShardState` in a forked process."""

    def __init__(self, nursery: Nursery, data: Path, config: str, socket: Path, **hurry: float) -> None:
        self.data = data
        self._nursery = nursery
        self._order: dict[str, Any] = {"op": "start", "data": str(data), "config": config, "socket": str(socket)}
        self._order |= {"tick_s": 0.004, "switch_bytes": 96 << 10, "slice_records": 8, **hurry}
        self._socket = socket
        self._pid = 0

    def start(self) -> float:
        self._socket.unlink(missing_ok=True)
        answer = self._nursery.ask(self._order)
        assert "ready" in answer, answer["failed"]
        self._pid = answer["ready"]
        opened_s: float = answer["open_s"]
        return opened_s

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        self._reap()

    def _reap(self) -> None:
        assert self._nursery.ask({"op": "reap", "pid": self._pid}) == {"reaped": self._pid}

    def stop(self) -> None:
        asyncio.run(self._ask({"op": "close"}))
        self._reap()

    async def connect(self) -> LineConnection:
        return LineConnection(*await asyncio.open_unix_connection(str(self._socket), limit=LINE_BYTES_MAX))

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        connection = await self.connect()
        try:
            return await connection.ask(request)
        finally:
            connection.close()

    async def states(self, keys: Iterable[str]) -> dict[str, Any]:
        return await self._ask({"op": "states", "keys": list(keys)})

    async def versions(self, keys: Iterable[str]) -> dict[str, int]:
        return await self._ask({"op": "versions", "keys": list(keys)})

    async def items(self, keys: Iterable[str]) -> dict[str, Any]:
        return await self._ask({"op": "items", "keys": list(keys)})


class HttpConnection:
    """One kept-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def call(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        head = f"{method} {path} HTTP/1.1\r\nHost: shard\r\nContent-Type: application/json\r\n"
        self._writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status = (await self._line()).split()[1]
        length = 0
        while (line := await self._line()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        try:
            return int(status), json.loads(await self._reader.readexactly(length))
        except asyncio.IncompleteReadError as error:
            raise Gone from error

    async def _line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise Gone
        return line

    async def send(self, body: Body) -> dict[str, Any]:
        status, reply = await self.call("POST" if body.kind == "events" else "PUT", f"/v1/{body.kind}", body.text)
        assert status == 200, (status, reply)
        return {**reply, "rejected": [one["code"] for one in reply["rejected"]]}

    def close(self) -> None:
        self._writer.close()


class HttpShard:
    """`rtp serve`."""

    def __init__(self, data: Path, log: Path, options: Sequence[str]) -> None:
        self.data = data
        self._shard = Shard(data, log, options)

    def start(self) -> None:
        self._shard.start()

    def kill(self) -> None:
        self._shard.kill()

    def stop(self) -> None:
        status = self._shard.stop()
        assert status in (0, -signal.SIGTERM), self._shard.output()

    async def connect(self) -> HttpConnection:
        return HttpConnection(*await asyncio.open_connection("127.0.0.1", self._shard.port))

    async def _get(self, paths: dict[str, str]) -> dict[str, Any]:
        connection = await self.connect()
        answers = {}
        for key, path in paths.items():
            status, reply = await connection.call("GET", path)
            assert status in (200, 404), (status, reply)
            answers[key] = reply if status == 200 else None
        connection.close()
        return answers

    async def states(self, keys: Iterable[str]) -> dict[str, Any]:
        return await self._get({key: f"/v1/users/{urllib.parse.quote(key, safe='')}/state" for key in keys})

    async def versions(self, keys: Iterable[str]) -> dict[str, int]:
        states = await self.states(keys)
        return {key: state["state_version"] if state else 0 for key, state in states.items()}

    async def items(self, keys: Iterable[str]) -> dict[str, Any]:
        return await self._get({key: f"/v1/items/{urllib.parse.quote(key, safe='')}" for key in keys})
