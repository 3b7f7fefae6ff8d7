"""The pages of a shard: the demo shop, its static files, its drawn pictures.

Every address of the shop answers the same page, which then shows what the address names.
Invariant: every file is read once at start and answered with its ETag; a page loads nothing from another origin, and
its policy header says so. Knows nothing of ranking: the page calls the public API like any client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from rtp_monolith.demo.pictures import emblem, picture
from rtp_monolith.demo.taxonomy import DEPARTMENTS

CONSOLE = Path(__file__).parent.parent / "console"
MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
PAGE_HEADERS = {"content-security-policy": PAGE_POLICY}
PICTURE_POLICY = "default-src 'none'"
COMMON = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin"}
CARDS_MAX = 200
PICTURES_CACHED_MAX = 4096

ItemReader = Callable[[str], bytes | None]
Endpoint = Callable[[Request], Awaitable[Response]]


class StaticFile(msgspec.Struct, frozen=True):
    body: bytes
    media: str
    etag: str


def routes(item: ItemReader) -> list[Route]:
    """Routes of the shop; `item` answers an item's canonical JSON by id, None when there is none."""
    files = {path.name: _read(path) for path in sorted(CONSOLE.iterdir()) if path.suffix in MEDIA}
    departments = orjson.dumps(_departments())

    async def page(request: Request) -> Response:
        return _answer(request, files["shop.html"], PAGE_HEADERS)

    async def static(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            return _missing("unknown_page", "there is no such file")
        return _answer(request, file, PAGE_HEADERS)

    async def shop(request: Request) -> Response:
        return Response(departments, media_type="application/json", headers=COMMON)

    async def product(request: Request) -> Response:
        known = item(request.path_params["id"]) is not None
        return _answer(request, files["shop.html"], PAGE_HEADERS, 200 if known else 404)

    return [
        *(Route(path, page) for path in ("/", "/search", "/cart", "/c/{path:path}")),
        Route("/p/{id:path}", product),
        Route("/console/{name}", static),
        Route("/demo/shop", shop),
        Route("/demo/cards", _cards(item)),
        Route("/demo/pictures/{name}.svg", _pictures(item)),
        Route("/demo/emblems/{name}.svg", _emblem),
    ]


def _read(path: Path) -> StaticFile:
    body = path.read_bytes()
    return StaticFile(body, MEDIA[path.suffix], f'"{hashlib.blake2b(body, digest_size=10).hexdigest()}"')


def _departments() -> list[dict[str, object]]:
    return [
        {
            "name": department.name,
            "glyph": department.categories[0].glyph,
            "categories": [
                {"name": category.name, "path": category.path, "glyph": category.glyph}
                for category in department.categories
            ],
        }
        for department in DEPARTMENTS
    ]


def _cards(item: ItemReader) -> Endpoint:
    async def cards(request: Request) -> Response:
        """Many items in one reply, in the order asked: a list is drawn after one request, not after twenty."""
        ids = [item_id for item_id in request.query_params.get("ids", "").split(",") if item_id][:CARDS_MAX]
        found = [body for body in (item(item_id) for item_id in ids) if body is not None]
        return Response(b"[" + b",".join(found) + b"]", media_type="application/json", headers=COMMON)

    return cards


def _pictures(item: ItemReader) -> Endpoint:
    @lru_cache(maxsize=PICTURES_CACHED_MAX)
    def draw(body: bytes) -> StaticFile:
        drawn = picture(orjson.loads(body)).encode()
        return StaticFile(drawn, MEDIA[".svg"], f'"{hashlib.blake2b(drawn, digest_size=10).hexdigest()}"')

    async def pictures(request: Request) -> Response:
        # Keyed by the item's own bytes, so that a changed item is drawn again.
        body = item(request.path_params["name"])
        if body is None:
            return _missing("unknown_item", "there is no item of this id")
        headers = {"content-security-policy": PICTURE_POLICY, "cache-control": "max-age=600"}
        return _answer(request, draw(body), headers)

    return pictures


async def _emblem(request: Request) -> Response:
    drawn = emblem(request.path_params["name"])
    if drawn is None:
        return _missing("unknown_page", "there is no such drawing")
    headers = {"content-security-policy": PICTURE_POLICY, "cache-control": "max-age=600"}
    return Response(drawn, media_type=MEDIA[".svg"], headers=COMMON | headers)


def _answer(request: Request, file: StaticFile, extra: dict[str, str], status: int = 200) -> Response:
    headers = COMMON | {"etag": file.etag, "cache-control": "no-cache"} | extra
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if status == 200 and (file.etag in known or "*" in known):
        return Response(status_code=304, headers=headers)
    return Response(file.body, status, headers=headers | {"content-type": file.media})


def _missing(code: str, message: str) -> Response:
    body = orjson.dumps({"error": {"code": code, "message": message}})
    return Response(body, status_code=404, media_type="application/json", headers=COMMON)
