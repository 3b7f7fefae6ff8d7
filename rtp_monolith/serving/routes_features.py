"""`/v1/features`: the features that a running shard computes, and every version of a team's that it has known. Scope
`admin`.

Invariant: what is answered is what is counted: a shard's features never change while it runs. It does not know values.
"""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.features.declared import declared
from rtp_monolith.serving.replies import Ask, Services


def routes(services: Services) -> list[Route]:
    known = declared(services.config)
    own = {feature.name for feature in known.custom}
    listed = [
        {
            "name": each.name,
            "scope": each.scope,
            "version": each.version,
            "owner": each.owner,
            "meaning": each.meaning,
            "fingerprint": each.fingerprint(),
            "own": each.name in own,
        }
        for each in known.features
    ]

    async def features(request: Request) -> Response:
        Ask(services, request.scope, request.receive).caller("admin")
        state = services.place.shard().state
        body = msgspec.json.encode({"features": listed, "known": state.introduced})
        return Response(body, media_type="application/json")

    return [Route("/v1/features", features, methods=["GET"])]
