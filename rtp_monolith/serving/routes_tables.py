"""`/v1/features/tables`: what batch jobs published, and publishing. Scope `admin`.

A publication is a draft that is begun, gets its rows in bodies of ordinary size, and is published by its name or given
up. Invariant: rows are taken a few at a time in turns of the share of ingestion, so lists do not wait for a table. It
does not know the store, nor what a row must have.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.errors import InvalidField, MalformedBody, NotFound, TableError
from rtp_monolith.features.published import SCOPES, Scope
from rtp_monolith.records import refusal
from rtp_monolith.serving.bodies import BATCH_MEDIA, JSON_MEDIA, Media, media_of
from rtp_monolith.serving.ports import Online
from rtp_monolith.serving.replies import Ask, Services
from rtp_monolith.serving.routes_events import ingest_deadline_s

ROWS_PER_TURN = 200
_encode = msgspec.json.Encoder().encode
_read_rows = msgspec.json.Decoder(list[dict[str, Any]])
_read_row = msgspec.json.Decoder(dict[str, Any])


class Publication(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that publishes a draft. Ages count from `as_of_ms`, the shard's now unless it is given."""

    version: Annotated[str, Meta(min_length=1, max_length=128)]
    ttl_ms: Annotated[int, Meta(ge=1)] | None = None
    as_of_ms: Annotated[int, Meta(ge=0)] | None = None


_read_publication = msgspec.json.Decoder(Publication).decode


def routes(services: Services) -> list[Route]:
    def tables(request: Request) -> tuple[Online, Ask]:
        ask = Ask(services, request.scope, request.receive)
        ask.caller("admin")
        online = services.place.shard().online
        if online is None:
            raise TableError("no_published_features", "no feature of this shard is declared with `published`")
        return online, ask

    async def listed(request: Request) -> Response:
        online, _ = tables(request)
        now_ms = services.clock.now_ms()
        found = (await online.versions()).items()
        return _json({"tables": [each.described(scope, now_ms) for scope, versions in found for each in versions]})

    async def begin(request: Request) -> Response:
        online, _ = tables(request)
        return _json({"draft": await online.drafts.begin(_scope(request))}, 201)

    async def add(request: Request) -> Response:
        online, ask = tables(request)
        media = media_of(ask.headers.get(b"content-type"), BATCH_MEDIA)
        scope, number = _scope(request), _number(request)
        start, text = request.query_params.get("from"), request.query_params.get("cells") == "text"
        records = _records(await ask.body(), media)
        held = online.drafts.rows(scope, number)
        if start is not None and (not start.isdigit() or int(start) != held):
            if start.isdigit() and int(start) + len(records) == held:
                return _json({"rows": held})  # sent again because the answer got lost
            raise InvalidField("out_of_range", f"from={start}: the draft has {held} rows", "from")
        for at in range(0, len(records), ROWS_PER_TURN):
            part = records[at : at + ROWS_PER_TURN]
            work = _adding(online, scope, number, part, text)
            held = await services.turns.run("ingest", ingest_deadline_s(services), work)
        return _json({"rows": held})

    async def publish(request: Request) -> Response:
        online, ask = tables(request)
        media_of(ask.headers.get(b"content-type"), JSON_MEDIA)
        body = await ask.body()
        try:
            wanted = _read_publication(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(error, body) from None
        version = await online.drafts.publish(
            _scope(request), _number(request), wanted.version, ttl_ms=wanted.ttl_ms or 0, as_of_ms=wanted.as_of_ms
        )
        return _json({"version": version.name, "rows": version.rows, "features": version.live})

    async def abort(request: Request) -> Response:
        online, _ = tables(request)
        await online.drafts.abort(_scope(request), _number(request))
        return Response(status_code=204)

    path = "/v1/features/tables"
    return [
        Route(path, listed, methods=["GET"]),
        Route(f"{path}/{{scope}}", begin, methods=["POST"]),
        Route(f"{path}/{{scope}}/{{draft}}", add, methods=["POST"]),
        Route(f"{path}/{{scope}}/{{draft}}", publish, methods=["PUT"]),
        Route(f"{path}/{{scope}}/{{draft}}", abort, methods=["DELETE"]),
    ]


def _adding(
    online: Online, scope: Scope, number: int, part: list[dict[str, Any]], text: bool
) -> Callable[[], Coroutine[Any, Any, int]]:
    return lambda: online.drafts.add(scope, number, part, text=text)


def _scope(request: Request) -> Scope:
    given = request.path_params["scope"]
    for scope in SCOPES:
        if scope == given:
            return scope
    raise NotFound(f"there are no tables of the scope {given!r}; there are {' and '.join(SCOPES)}")


def _number(request: Request) -> int:
    given = request.path_params["draft"]
    if not given.isdigit() or len(given) > 18:
        raise TableError("unknown_draft", f"there is no draft {given!r}")
    return int(given)


def _records(body: bytes, media: Media) -> list[dict[str, Any]]:
    try:
        return _read_row.decode_lines(body) if media == "ndjson" else _read_rows.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the body is no array of objects and no NDJSON of them: {error}") from None


def _json(value: object, status: int = 200) -> Response:
    return Response(_encode(value), status, media_type="application/json")
