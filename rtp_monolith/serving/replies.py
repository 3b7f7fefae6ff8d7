"""What every route has at hand and what it gives back.

Invariant: an answer leaves with its exact length and one content type, an error with the body of the contract.
It does not know routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

import msgspec

from rtp_monolith.clock import Clock
from rtp_monolith.config import Config, Scope
from rtp_monolith.errors import RtpError
from rtp_monolith.metrics import Metrics
from rtp_monolith.serving.access import Access, Caller
from rtp_monolith.serving.bodies import InFlight, Receive, read_body
from rtp_monolith.serving.ports import Place
from rtp_monolith.serving.turns import Turns

AsgiScope = MutableMapping[str, Any]
Send = Callable[[Any], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

JSON = b"application/json"
_LENGTHS: tuple[bytes, ...] = tuple(str(n).encode() for n in range(8192))


class Reply(NamedTuple):
    """An answer. `extra` are further headers."""

    status: int
    body: bytes
    media: bytes = JSON
    extra: tuple[tuple[bytes, bytes], ...] = ()

    def headers(self) -> HeaderList:
        if self.status == 204:
            return list(self.extra)
        size = len(self.body)
        length = _LENGTHS[size] if size < len(_LENGTHS) else str(size).encode()
        return [(b"content-type", self.media), (b"content-length", length), *self.extra]


class Services(msgspec.Struct, frozen=True):
    """What the routes of one process share, put together once."""

    config: Config
    clock: Clock
    metrics: Metrics
    access: Access
    turns: Turns
    place: Place
    in_flight: InFlight


class Ask:
    """One request as the routes read it: its headers by name, its caller, its body."""

    __slots__ = ("_receive", "_services", "began_s", "headers", "scope")

    def __init__(self, services: Services, scope: AsgiScope, receive: Receive) -> None:
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.began_s = services.clock.monotonic_s()
        self._services = services
        self._receive = receive

    def caller(self, scope: Scope) -> Caller:
        """Who calls. Raises Unauthorized, Forbidden or RateLimited."""
        client = self.scope.get("client")
        return self._services.access.check(self.headers.get(b"authorization"), client[0] if client else "", scope)

    async def body(self) -> bytes:
        """The plain body. Raises what `read_body` raises."""
        services = self._services
        return await read_body(self.headers, self._receive, services.config.limits.body_bytes_max, services.in_flight)


def error_reply(error: RtpError, *, more: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """The answer for an error, with the headers that its status asks for."""
    extra = more
    if error.retry_after_s is not None:
        extra = (*extra, (b"retry-after", str(error.retry_after_s).encode()))
    if error.status == 401:
        extra = (*extra, (b"www-authenticate", b"Bearer"))
    return Reply(error.status, error.body(), JSON, extra)


async def send_reply(send: Send, reply: Reply) -> None:
    """Writes the answer."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers()})
    await send({"type": "http.response.body", "body": reply.body})
