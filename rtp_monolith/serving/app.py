"""The ASGI application: hot routes first, everything else through Starlette, one place for errors and counting.

Invariant: every request gets exactly one answer, and every answer that is not a success has the error body of the
contract. It does not know what a route does, nor how the process is started.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from rtp_monolith.errors import MethodNotAllowed, NotFound, RtpError
from rtp_monolith.serving import (
    operations,
    routes_events,
    routes_faults,
    routes_features,
    routes_items,
    routes_lists,
    routes_models,
    routes_tables,
)
from rtp_monolith.serving.bodies import Disconnected, Receive
from rtp_monolith.serving.cors import Cors
from rtp_monolith.serving.replies import AsgiScope, Ask, Reply, Send, Services, error_reply, send_reply

HotRoute = Callable[[Services, Ask], Awaitable[Reply]]
Lifespan = Callable[[], Awaitable[None]]

HOT: dict[str, HotRoute] = {
    "/v1/events": routes_events.post_events,
    "/v1/recommend": routes_lists.post_recommend,
    "/v1/rank": routes_lists.post_rank,
}
"""All are POST. Raw ASGI: routing and a Request object would cost more than the rest of the border."""

log = logging.getLogger(__name__)


class App:
    """The application. `start` and `stop` run with the server's lifespan, in its loop; `pages` are further routes."""

    def __init__(
        self,
        services: Services,
        start: Lifespan | None = None,
        stop: Lifespan | None = None,
        pages: Sequence[Route] = (),
    ) -> None:
        self._services = services
        self._cors = Cors(services.config.http.allowed_origins)
        self._start = start
        self._stop = stop
        self.routes: list[Route] = [
            *routes_events.routes(services),
            *routes_items.routes(services),
            *routes_models.routes(services),
            *routes_features.routes(services),
            *routes_tables.routes(services),
            *routes_faults.routes(services),
            *operations.routes(services),
            *pages,
        ]
        handlers = {RtpError: _on_rtp_error, HTTPException: self._on_http_error, Exception: _on_any_error}
        self._cold = Starlette(routes=self.routes, exception_handlers=handlers)
        self._cold.router.redirect_slashes = False

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hot = HOT.get(scope["path"])
            if scope["method"] == "OPTIONS" and (answer := self._cors.preflight(scope)) is not None:
                await send_reply(send, answer)
            elif hot is not None:
                await self._answer_hot(hot, scope, receive, send)
            else:
                await self._answer_cold(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _answer_hot(self, hot: HotRoute, scope: AsgiScope, receive: Receive, send: Send) -> None:
        services = self._services
        ask = Ask(services, scope, receive)
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed(f"{scope['method']} is not possible here")
            reply = await hot(services, ask)
        except RtpError as error:
            allow = ((b"allow", b"POST"),) if error.status == 405 else ()
            reply = error_reply(error, more=allow)
        except Disconnected:
            return
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            reply = error_reply(RtpError("the shard failed; its log says why"))
        if self._cors.active:
            reply = reply._replace(extra=(*reply.extra, *self._cors.headers(scope)))
        await send_reply(send, reply)
        taken_ms = (services.clock.monotonic_s() - ask.began_s) * 1000
        services.metrics.request(scope["path"], reply.status, taken_ms)

    async def _answer_cold(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        now = self._services.clock.monotonic_s
        began_s = now()
        status = 0
        extra = self._cors.headers(scope)

        async def watch(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        try:
            await self._cold(scope, receive, watch)
        except Disconnected:
            return
        except Exception:
            # Starlette has answered with `_on_any_error` and raises all the same.
            log.exception("%s %s failed", scope["method"], scope["path"])
        route = scope.get("route")
        path = route.path if isinstance(route, Route) else "unknown"
        self._services.metrics.request(path, status, (now() - began_s) * 1000)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            if self._start is not None:
                await self._start()
        except Exception as error:
            log.exception("the shard could not start")
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            if self._stop is not None:
                await self._stop()
        except Exception as error:
            log.exception("the shard could not stop in order")
            await send({"type": "lifespan.shutdown.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    async def _on_http_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            text = f"{request.method} is not possible here"
            return _response(error_reply(MethodNotAllowed(text), more=((b"allow", self._allowed(request.scope)),)))
        if error.status_code == 404:
            return _response(error_reply(NotFound(f"there is nothing at {request.url.path}")))
        return _response(error_reply(RtpError(error.detail, status=error.status_code)))

    def _allowed(self, scope: AsgiScope) -> bytes:
        """All methods of all routes at this path; Starlette names those of one route only."""
        found = {m for route in self.routes if route.matches(scope)[0] is not Match.NONE for m in route.methods or ()}
        return ", ".join(sorted(found)).encode()


async def _on_rtp_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RtpError)
    return _response(error_reply(error))


async def _on_any_error(request: Request, error: Exception) -> Response:
    if isinstance(error, Disconnected):
        raise error
    return _response(error_reply(RtpError("the shard failed; its log says why")))


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status)
    response.raw_headers = reply.headers()
    return response
