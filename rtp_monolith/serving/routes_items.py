"""Items and users: put, merge, read, delete, and a user's state as the shard has it.

Invariant: an id in a path is taken whole, slashes and all, and never changed. What an item or a user may contain is
not known here.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.errors import InvalidField, NotFound, UnknownItem, UnknownUser
from rtp_monolith.serving.bodies import BATCH_MEDIA, PATCH_MEDIA, media_of
from rtp_monolith.serving.ports import Kind, Online
from rtp_monolith.serving.replies import Ask, Services
from rtp_monolith.serving.routes_events import count, ingest, ingest_deadline_s

PUBLISHED_WITHIN_S = 1.0
_encode = msgspec.json.Encoder().encode


def routes(services: Services) -> list[Route]:
    """Scope `items` for items, `users` for users."""

    async def put(request: Request, kind: Kind) -> Response:
        ask = Ask(services, request.scope, request.receive)
        caller = ask.caller("users" if kind.endswith("users") else "items")
        media = media_of(ask.headers.get(b"content-type"), BATCH_MEDIA)
        body = await ask.body()
        return _json(_encode(await ingest(services, kind, body, media, trusted=caller.trusted)))

    async def put_items(request: Request) -> Response:
        return await put(request, _only(request, {None: "items", "new": "new_items", "changed": "changed_items"}))

    async def put_users(request: Request) -> Response:
        return await put(request, _only(request, {None: "users", "changed": "changed_users"}))

    async def get_item(request: Request) -> Response:
        Ask(services, request.scope, request.receive).caller("items")
        item_id = _id(request)
        item = services.place.shard().state.item(item_id)
        if item is None:
            raise UnknownItem(f"there is no item {item_id!r}")
        return _json(item)

    async def patch_item(request: Request) -> Response:
        ask = Ask(services, request.scope, request.receive)
        ask.caller("items")
        media_of(ask.headers.get(b"content-type"), PATCH_MEDIA)
        item_id, body = _id(request), await ask.body()
        state = services.place.shard().state
        reply = await services.turns.run("ingest", ingest_deadline_s(services), lambda: state.patch_item(item_id, body))
        count(services, reply)
        return _json(_encode(reply))

    async def delete_item(request: Request) -> Response:
        ask = Ask(services, request.scope, request.receive)
        ask.caller("items")
        item_id = _id(request)
        state = services.place.shard().state
        count(
            services,
            await services.turns.run("ingest", ingest_deadline_s(services), lambda: state.delete_item(item_id)),
        )
        return Response(status_code=204)

    async def user_state(request: Request) -> Response:
        Ask(services, request.scope, request.receive).caller("users")
        key = _id(request)
        found = services.place.shard().state.user_state(key)
        if found is None:
            raise UnknownUser(f"there is no user or session {key!r}")
        online = services.place.shard().online
        return _json(found if online is None else await _with_published(found, online))

    return [
        Route("/v1/items", put_items, methods=["PUT"]),
        Route("/v1/items/{id:path}", get_item, methods=["GET"]),
        Route("/v1/items/{id:path}", patch_item, methods=["PATCH"]),
        Route("/v1/items/{id:path}", delete_item, methods=["DELETE"]),
        Route("/v1/users", put_users, methods=["PUT"]),
        Route("/v1/users/{id:path}/state", user_state, methods=["GET"]),
    ]


def _only(request: Request, kinds: Mapping[str | None, Kind]) -> Kind:
    only = request.query_params.get("only")
    if only not in kinds:
        known = " or ".join(f"only={each}" for each in kinds if each is not None)
        raise InvalidField("out_of_range", f"only={only!r}: there is {known}", "only")
    return kinds[only]


def _id(request: Request) -> str:
    found: str = request.path_params["id"]
    if not found:
        raise NotFound("the path has no id")
    return found


async def _with_published(state: bytes, online: Online) -> bytes:
    """The state of a user with what batch jobs published, as a list of theirs would read it."""
    document = msgspec.json.decode(state)
    if not document["anonymous"]:
        document["features"].update(await online.of_user(document["user_id"], PUBLISHED_WITHIN_S))
    return _encode(document)


def _json(body: bytes) -> Response:
    return Response(body, media_type="application/json")
