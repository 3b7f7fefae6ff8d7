from __future__ import annotations

import re

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from rtp_monolith.serving.pages import CONSOLE, routes

ITEMS = {
    "tents-0001": {"id": "tents-0001", "categories": ["Outdoor > Tents"], "attributes": {"color": "Moss"}},
    "odd": {"id": "odd"},
}


@pytest.fixture
def client() -> httpx.AsyncClient:
    app = Starlette(routes=routes(lambda name: orjson.dumps(ITEMS[name]) if name in ITEMS else None))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop")


async def test_the_page_allows_only_its_own_origin(client: httpx.AsyncClient) -> None:
    reply = await client.get("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"].startswith("default-src 'self'")
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert '<main id="main"' in reply.text


@pytest.mark.parametrize("address", ["/search?q=tent", "/cart", "/c/outdoor", "/c/outdoor/tents", "/p/tents-0001"])
async def test_every_address_of_the_shop_answers_the_page(client: httpx.AsyncClient, address: str) -> None:
    reply = await client.get(address)
    assert reply.status_code == 200
    assert reply.content == (await client.get("/")).content


async def test_the_address_of_no_product_is_404_and_still_the_page(client: httpx.AsyncClient) -> None:
    known = await client.get("/")
    reply = await client.get("/p/nothing", headers={"if-none-match": known.headers["etag"]})
    assert reply.status_code == 404
    assert reply.content == known.content


async def test_everything_the_page_names_is_served(client: httpx.AsyncClient) -> None:
    html = (await client.get("/")).text
    named = set(re.findall(r'(?:href|src)="(/console/[^"]+)"', html))
    for script in CONSOLE.glob("*.js"):
        named |= {f"/console/{name}" for name in re.findall(r"from '\./([^']+)'", script.read_text())}
    assert len(named) >= 20
    for address in sorted(named):
        reply = await client.get(address)
        assert reply.status_code == 200, address
        assert reply.content


def test_no_file_of_the_page_names_another_origin() -> None:
    for path in CONSOLE.iterdir():
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", text), path.name
        assert "innerHTML" not in text and "eval(" not in text, path.name


async def test_a_file_known_to_the_browser_is_not_sent_again(client: httpx.AsyncClient) -> None:
    first = await client.get("/console/style.css")
    again = await client.get("/console/style.css", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await client.get("/console/style.css", headers={"if-none-match": '"other"'})
    assert other.status_code == 200


@pytest.mark.parametrize(
    "address",
    ["/console/nothing.js", "/console/..%2Fpyproject.toml", "/demo/pictures/nothing.svg", "/demo/emblems/x.svg"],
)
async def test_what_is_not_there_is_404_with_a_code(client: httpx.AsyncClient, address: str) -> None:
    reply = await client.get(address)
    assert reply.status_code == 404
    if address != "/console/..%2Fpyproject.toml":
        assert reply.json()["error"]["code"] in {"unknown_page", "unknown_item"}


async def test_pictures_are_drawn_from_the_item(client: httpx.AsyncClient) -> None:
    reply = await client.get("/demo/pictures/tents-0001.svg")
    assert reply.headers["content-type"] == "image/svg+xml"
    assert reply.headers["content-security-policy"] == "default-src 'none'"
    assert reply.text.startswith("<svg") and "#7d8c4a" in reply.text
    assert (await client.get("/demo/pictures/odd.svg")).status_code == 200


async def test_cards_answer_many_items_in_the_order_asked(client: httpx.AsyncClient) -> None:
    reply = await client.get("/demo/cards", params={"ids": "odd,nothing,tents-0001"})
    assert [item["id"] for item in reply.json()] == ["odd", "tents-0001"]
    assert (await client.get("/demo/cards")).json() == []


async def test_the_shop_lists_its_departments_with_their_drawings(client: httpx.AsyncClient) -> None:
    departments = (await client.get("/demo/shop")).json()
    assert [department["name"] for department in departments][:3] == ["Outdoor", "Living", "Kitchen"]
    assert departments[0]["categories"][0] == {"name": "Tents", "path": "Outdoor > Tents", "glyph": "tent"}
    emblem = await client.get(f"/demo/emblems/{departments[0]['glyph']}.svg")
    assert emblem.status_code == 200
