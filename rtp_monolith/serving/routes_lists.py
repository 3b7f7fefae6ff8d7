"""`POST /v1/recommend` and `POST /v1/rank`: from a body to a list, within its deadline.

Invariant: whatever must be awaited (the body, `min_position`, published features) is awaited before the turn is taken;
the list itself is made in one turn. It does not know how a list is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtp_monolith.config_surfaces import Surface
from rtp_monolith.errors import InvalidField, UnknownSurface
from rtp_monolith.records import RankRequest, RecommendRequest, read_rank, read_recommend
from rtp_monolith.serving.bodies import JSON_MEDIA, media_of
from rtp_monolith.serving.replies import Ask, Reply, Services

# Of the time a list has, how much may go into waiting for `min_position`: the rest has to suffice for the list.
POSITION_WAIT_SHARE = 0.5
# And of what is then left, how much for published features.
GATHER_SHARE = 0.5
STALE = ("stale_position",)


async def post_recommend(services: Services, ask: Ask) -> Reply:
    """k items for a user."""
    ask.caller("lists")
    media_of(ask.headers.get(b"content-type"), JSON_MEDIA)
    request = read_recommend(await ask.body())
    if request.k is not None and request.k > services.config.limits.k_max:
        raise InvalidField("out_of_range", f"k: {request.k} of at most {services.config.limits.k_max}", "k")
    return await _list(services, request)


async def post_rank(services: Services, ask: Ask) -> Reply:
    """The given items, ordered for a user."""
    ask.caller("lists")
    media_of(ask.headers.get(b"content-type"), JSON_MEDIA)
    request = read_rank(await ask.body())
    most = services.config.limits.rank_items_max
    if len(request.items) > most:
        raise InvalidField("out_of_range", f"items: {len(request.items)} of at most {most}", "items")
    return await _list(services, request)


async def _list(services: Services, request: RecommendRequest | RankRequest) -> Reply:
    shard = services.place.shard()
    surface = _surface(services, request.surface)
    timeout_ms = surface.rank_timeout_ms or services.config.limits.rank_timeout_ms
    now = services.clock.monotonic_s
    deadline_s = now() + timeout_ms / 1000
    more: dict[str, Any] = {}
    if request.min_position is not None:
        wait_ms = max(0.0, (deadline_s - now()) * 1000 * POSITION_WAIT_SHARE)
        if not await shard.state.reached(request.min_position, wait_ms):
            more["degraded"] = STALE
    if shard.online is not None:
        user_id = shard.state.user_of(request.user_id, request.session_id)
        more["gathered"] = await shard.online.gather(user_id, (deadline_s - now()) * GATHER_SHARE)
    lists = shard.lists

    async def work() -> bytes:
        left_ms = (deadline_s - now()) * 1000
        if isinstance(request, RecommendRequest):
            return await lists.recommend(request, deadline_ms=left_ms, **more)
        return await lists.rank(request, deadline_ms=left_ms, **more)

    return Reply(200, await services.turns.run("lists", deadline_s, work))


def _surface(services: Services, name: str) -> Surface:
    surface = services.config.surfaces.get(name)
    if surface is None:
        raise UnknownSurface(f"there is no surface {name!r}: {_names(list(services.config.surfaces))}", field="surface")
    return surface


def _names(known: Sequence[str]) -> str:
    return "known are " + ", ".join(known)
