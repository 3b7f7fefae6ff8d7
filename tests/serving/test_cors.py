from __future__ import annotations

import pytest

from rtp_monolith.config import parse
from tests.serving.fakes import Shop

SHOP_PAGE = {"origin": "https://shop.example"}
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
OPEN = parse('[http]\nallowed_origins = ["https://shop.example/"]')


@pytest.mark.parametrize("path", ["/v1/events", "/livez"])
async def test_by_default_no_other_page_may_read_an_answer(path: str) -> None:
    shop = Shop()
    assert "access-control-allow-origin" not in (await shop.ask("GET", path, headers=SHOP_PAGE)).headers
    asked = await shop.ask("OPTIONS", path, headers=SHOP_PAGE | ASKS)
    assert asked.status_code == 204
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/events"), ("GET", "/livez"), ("GET", "/nowhere"), ("GET", "/v1/rank")]
)
async def test_an_allowed_page_may_also_when_it_is_refused(method: str, path: str) -> None:
    answer = await Shop(OPEN).ask(method, path, headers=SHOP_PAGE)
    assert answer.headers["access-control-allow-origin"] == "https://shop.example"
    assert answer.headers["vary"] == "origin"


async def test_an_allowed_page_may_ask_first() -> None:
    answer = await Shop(OPEN).ask("OPTIONS", "/v1/events", headers=SHOP_PAGE | ASKS)
    assert answer.status_code == 204
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://shop.example", "https://shop.example.evil.example", "null"]
)
async def test_another_page_may_not(origin: str) -> None:
    shop = Shop(OPEN)
    for method, more in (("POST", {}), ("OPTIONS", ASKS)):
        answer = await shop.ask(method, "/v1/events", headers={"origin": origin} | more)
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "origin"


async def test_a_star_allows_every_page() -> None:
    shop = Shop(parse('[http]\nallowed_origins = ["*"]'))
    answer = await shop.ask("POST", "/v1/events", content=b"{}", headers={"origin": "https://any.example"})
    assert answer.headers["access-control-allow-origin"] == "https://any.example"


async def test_a_beacon_from_an_allowed_page_is_taken() -> None:
    shop = Shop(OPEN)
    headers = SHOP_PAGE | {"content-type": "text/plain;charset=UTF-8"}
    assert (await shop.ask("POST", "/v1/events", content=b"{}", headers=headers)).status_code == 200
