"""`/v1/faults`: making a stage of a list fail or stall, on a shard that was started with `--faults`. Scope `admin`.

Invariant: without `--faults` there is nothing here. It does not know what a stage does.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.errors import NotFound
from rtp_monolith.ranking.faults import FAULTY, Fault, Faults
from rtp_monolith.records import refusal
from rtp_monolith.serving.bodies import JSON_MEDIA, media_of
from rtp_monolith.serving.replies import Ask, Services

_read = msgspec.json.Decoder(Fault).decode


def routes(services: Services) -> list[Route]:
    def faults(ask: Ask) -> Faults:
        ask.caller("admin")
        found = services.place.shard().faults
        if found is None:
            raise NotFound("faults can be switched on a shard that was started with --faults")
        return found

    async def show(request: Request) -> Response:
        return _answer(faults(Ask(services, request.scope, request.receive)))

    async def switch(request: Request) -> Response:
        ask = Ask(services, request.scope, request.receive)
        found = faults(ask)
        media_of(ask.headers.get(b"content-type"), JSON_MEDIA)
        body = await ask.body()
        try:
            wanted = _read(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(error, body) from None
        found.switch(wanted)
        return _answer(found)

    return [Route("/v1/faults", show, methods=["GET"]), Route("/v1/faults", switch, methods=["POST"])]


def _answer(faults: Faults) -> Response:
    said = {"active": faults.active(), "stages": FAULTY}
    return Response(msgspec.json.encode(said), media_type="application/json")
