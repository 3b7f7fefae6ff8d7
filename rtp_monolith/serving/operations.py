"""What operators ask: alive, ready, metrics, and what the API is.

Invariant: none of these takes a turn or touches the state, so they answer while the shard is busy.
It does not know what is measured.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith import metrics
from rtp_monolith.serving.docs_page import PAGE
from rtp_monolith.serving.openapi import document
from rtp_monolith.serving.replies import Ask, Services


def routes(services: Services) -> list[Route]:
    """`/livez` and `/readyz` need no key: a prober has none. `/metrics` needs the scope `admin`."""
    openapi = msgspec.json.encode(document())

    async def livez(request: Request) -> Response:
        return _status("alive")

    async def readyz(request: Request) -> Response:
        services.place.shard()
        return _status("ready")

    async def metrics_text(request: Request) -> Response:
        Ask(services, request.scope, request.receive).caller("admin")
        return Response(services.metrics.render(), headers={"content-type": metrics.CONTENT_TYPE})

    async def openapi_json(request: Request) -> Response:
        return Response(openapi, media_type="application/json")

    async def docs(request: Request) -> Response:
        # The page is all its own: nothing it holds may load from, or talk to, anywhere else.
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return Response(PAGE, media_type="text/html", headers={"content-security-policy": policy})

    return [
        Route("/livez", livez, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
        Route("/metrics", metrics_text, methods=["GET"]),
        Route("/openapi.json", openapi_json, methods=["GET"]),
        Route("/docs", docs, methods=["GET"]),
    ]


def _status(word: str) -> Response:
    return Response(msgspec.json.encode({"status": word}), media_type="application/json")
