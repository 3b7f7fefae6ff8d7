"""A client that costs little: raw HTTP/1.1 over kept-alive connections, requests prebuilt, answers in order.

Invariant: every request that was sent is answered through its callback exactly once, in the order of sending, or the
connection is reported as lost. It does not know what is asked.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast
from urllib.parse import urlsplit

import msgspec

from rtp_monolith.cli.output import Failure

Done = Callable[[int, bytes], None]
"""Status and body of an answer."""

_LENGTH = b"content-length:"


class Address(msgspec.Struct, frozen=True):
    """Where the load goes; `url` without a path."""

    host: str
    port: int
    key: str | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def head(self, method: str, path: str) -> bytes:
        """The beginning of a request, up to where its content-length stands."""
        bearer = f"authorization: Bearer {self.key}\r\n" if self.key else ""
        text = (
            f"{method} {path} HTTP/1.1\r\nhost: {self.host}:{self.port}\r\n{bearer}content-type: application/json\r\n"
        )
        return text.encode() + b"content-length: "

    def request(self, method: str, path: str, body: bytes) -> bytes:
        return b"%b%d\r\n\r\n%b" % (self.head(method, path), len(body), body)


def parse_address(url: str, key: str | None) -> Address:
    """Raises Failure for what is not plain HTTP: TLS would be measured, not the shard."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
        raise Failure("bad_url", f"{url!r} is not of the form http://host:port")
    return Address(parts.hostname, parts.port or 80, key)


class Connection(asyncio.Protocol):
    """One connection. `send` may be called before earlier answers are there."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        self._on_lost = on_lost
        self._waiting: deque[Done] = deque()
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting:
            self._on_lost()

    def send(self, request: bytes, done: Done) -> None:
        """Raises Failure when the connection is gone."""
        if self._transport is None:
            raise Failure("connection_lost", "the server closed a connection")
        self._waiting.append(done)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while (head_end := buffer.find(b"\r\n\r\n", at)) >= 0:
            end = head_end + 4 + _body_length(buffer, at, head_end)
            if len(buffer) < end:
                break
            self._waiting.popleft()(int(buffer[at + 9 : at + 12]), buffer[head_end + 4 : end])
            at = end
        self._buffer = buffer[at:] if at else buffer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _body_length(buffer: bytes, start: int, head_end: int) -> int:
    at = buffer.find(_LENGTH, start, head_end)
    if at < 0:
        # Servers in front of a shard may write their headers in capitals.
        head = buffer[start:head_end].lower()
        at = head.find(_LENGTH)
        return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    end = buffer.find(b"\r\n", at, head_end)
    return int(buffer[at + len(_LENGTH) : head_end if end < 0 else end])


async def connect(address: Address, count: int, lost: asyncio.Future[None]) -> list[Connection]:
    """`count` connections; `lost` gets a Failure when one with open requests goes away."""
    loop = asyncio.get_running_loop()

    def on_lost() -> None:
        if not lost.done():
            lost.set_exception(Failure("connection_lost", "the server closed a connection with requests in flight"))

    found: list[Connection] = []
    for _ in range(count):
        try:
            _, connection = await loop.create_connection(lambda: Connection(on_lost), address.host, address.port)
        except OSError as error:
            raise Failure("unreachable", f"{address.url}: {error}") from None
        found.append(connection)
    return found


async def call_all(connections: Sequence[Connection], requests: Sequence[bytes]) -> None:
    """Sends all requests, one at a time on each connection. Raises Failure for an answer that is not 200."""
    left = deque(requests)
    waiting = len(left)
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def next_on(connection: Connection) -> None:
        if left and not finished.done():
            connection.send(left.popleft(), lambda status, body: answered(connection, status, body))

    def answered(connection: Connection, status: int, body: bytes) -> None:
        nonlocal waiting
        waiting -= 1
        if finished.done():
            return
        if status != 200:
            finished.set_exception(Failure("refused", f"status {status}: {body[:300].decode(errors='replace')}"))
        elif waiting == 0:
            finished.set_result(None)
        else:
            next_on(connection)

    if waiting:
        for connection in connections:
            next_on(connection)
        await finished
