"""The floors: what the same machine does when nothing of ours is in the way.

A bare ASGI application on the same server, for what HTTP costs; `msgspec` reading the same bodies; plain writes of the
same bytes in the same groups, each with `fdatasync`, for what the disk costs.

Invariant: a floor is given the same bytes as what is measured. It does not know the shard.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Bare:
    """`/read/N` reads the body and answers N bytes; `/json/N` parses it as JSON first."""

    def __init__(self) -> None:
        self._answers: dict[str, bytes] = {}
        self._decode = msgspec.json.Decoder().decode

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await _lifespan(receive, send)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            chunks = [body]
            while message.get("more_body", False):
                message = await receive()
                chunks.append(message.get("body", b""))
            body = b"".join(chunks)
        path: str = scope["path"]
        if path.startswith("/json/"):
            self._decode(body)
        answer = self._answers.get(path)
        if answer is None:
            answer = self._answers[path] = b"x" * int(path.rpartition("/")[2])
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})


async def _lifespan(receive: Receive, send: Send) -> None:
    for step in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{step}.complete"})


def main() -> None:
    """Serves the bare application on a free port of loopback, with the shard's own server settings."""
    import uvicorn

    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(2048)
    print(f"listening on http://127.0.0.1:{bound.getsockname()[1]}", file=sys.stderr, flush=True)
    settings = uvicorn.Config(
        Bare(),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
    )
    uvicorn.Server(settings).run(sockets=[bound])


def json_per_s(bodies: Sequence[bytes], seconds: float) -> float:
    """Bodies per second through a JSON parser."""
    decode = msgspec.json.Decoder().decode
    count = 0
    began_s = perf_counter()
    while (taken_s := perf_counter() - began_s) < seconds:
        decode(bodies[count % len(bodies)])
        count += 1
    return count / taken_s


def synced_per_s(size: int, seconds: float, folder: Path | None = None) -> tuple[float, float]:
    """Appends of `size` bytes, each followed by fdatasync: how many per second, and the median in ms."""
    block = os.urandom(size)
    taken: list[float] = []
    with tempfile.TemporaryDirectory(prefix="rtp-bench-", dir=folder) as name:
        handle = os.open(Path(name) / "floor", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            began_s = last_s = perf_counter()
            while last_s - began_s < seconds or not taken:
                os.write(handle, block)
                os.fdatasync(handle)
                now = perf_counter()
                taken.append(now - last_s)
                last_s = now
        finally:
            os.close(handle)
    return len(taken) / (last_s - began_s), sorted(taken)[len(taken) // 2] * 1000
