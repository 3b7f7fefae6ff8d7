"""`/v1/models`: which bundles there are, which one is served or tried, and changing that. Scope `admin`.

Invariant: files are read and verified beside the loop; an answer to a change is sent when the change is on disk and in
force. It does not know what a bundle is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.records import Id, refusal
from rtp_monolith.serving.bodies import JSON_MEDIA, media_of
from rtp_monolith.serving.ports import Models
from rtp_monolith.serving.replies import Ask, Services

_encode = msgspec.json.Encoder().encode


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an activation."""

    name: Id
    version: Id


class Tried(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a trial."""

    role: Literal["canary", "shadow"]
    name: Id
    version: Id
    share: float


Body = TypeVar("Body")
_read_wanted = msgspec.json.Decoder(Wanted).decode
_read_tried = msgspec.json.Decoder(Tried).decode


async def _body(ask: Ask, read: Callable[[bytes], Body]) -> Body:
    """Raises InvalidField, MalformedBody."""
    media_of(ask.headers.get(b"content-type"), JSON_MEDIA)
    body = await ask.body()
    try:
        return read(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(error, body) from None


def routes(services: Services) -> list[Route]:
    def models(request: Request) -> tuple[Models, Ask]:
        ask = Ask(services, request.scope, request.receive)
        ask.caller("admin")
        return services.place.shard().models, ask

    async def list_models(request: Request) -> Response:
        found, _ = models(request)
        return _json(await asyncio.to_thread(found.listing))

    async def one_model(request: Request) -> Response:
        found, _ = models(request)
        name, version = request.path_params["name"], request.path_params["version"]
        return _json(await asyncio.to_thread(found.described, name, version))

    async def activate(request: Request) -> Response:
        found, ask = models(request)
        wanted = await _body(ask, _read_wanted)
        return _json(await found.activate(wanted.name, wanted.version))

    async def rollback(request: Request) -> Response:
        found, _ = models(request)
        return _json(await found.rollback())

    async def trial(request: Request) -> Response:
        found, ask = models(request)
        if request.method == "DELETE":
            return _json(await found.end_trial())
        if request.method == "POST":
            tried = await _body(ask, _read_tried)
            return _json(await found.try_out(tried.role, tried.name, tried.version, tried.share))
        return _json(found.trial())

    return [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/activate", activate, methods=["POST"]),
        Route("/v1/models/rollback", rollback, methods=["POST"]),
        Route("/v1/models/trial", trial, methods=["GET", "POST", "DELETE"]),
        Route("/v1/models/{name}/{version}", one_model, methods=["GET"]),
    ]


def _json(value: object) -> Response:
    return Response(_encode(value), media_type="application/json")
