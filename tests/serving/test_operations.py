from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from rtp_monolith.serving.app import HOT, App
from rtp_monolith.serving.openapi import document
from rtp_monolith.serving.ports import Shard
from rtp_monolith.serving.process import page_routes
from tests.serving.fakes import Shop, client_of


async def test_alive_before_it_is_ready() -> None:
    shop = Shop(ready=False)
    assert (await shop.ask("GET", "/livez")).json() == {"status": "alive"}
    answer = await shop.ask("GET", "/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
    assert await shop.code("POST", "/v1/events", content=b"{}") == (503, "overloaded")
    recommend = {"surface": "home", "session_id": "s"}
    assert await shop.code("POST", "/v1/recommend", json=recommend) == (503, "overloaded")
    assert await shop.code("GET", "/v1/items/a") == (503, "overloaded")


async def test_ready_with_a_shard() -> None:
    answer = await Shop().ask("GET", "/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


async def test_metrics_count_what_was_answered() -> None:
    shop = Shop()
    await shop.ask("POST", "/v1/events", content=b"{}")
    await shop.ask("POST", "/v1/recommend", json={})
    await shop.ask("GET", "/v1/items/a%2Fb")
    await shop.ask("GET", "/nowhere")
    answer = await shop.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    assert 'rtp_requests_total{route="/v1/events",status="200"} 1.0' in lines
    assert 'rtp_requests_total{route="/v1/recommend",status="422"} 1.0' in lines
    assert 'rtp_requests_total{route="/v1/items/{id:path}",status="404"} 1.0' in lines
    assert 'rtp_requests_total{route="unknown",status="404"} 1.0' in lines
    assert 'rtp_records_total{outcome="accepted"} 1.0' in lines
    assert "rtp_ready 1.0" in lines
    assert "rtp_waiting_lists 0.0" in lines


def described() -> set[tuple[str, str]]:
    paths = document()["paths"]
    return {(method.upper(), path) for path, methods in paths.items() for method in methods if method != "parameters"}


async def test_every_route_is_described_and_every_description_is_a_route() -> None:
    served = {("POST", path) for path in HOT}
    for route in Shop().app.routes:
        path = re.sub(r":(path|int)}", "}", route.path)
        served |= {(method, path) for method in (route.methods or set()) - {"HEAD"}}
    assert described() == served


async def test_every_described_route_answers() -> None:
    shop = Shop()
    for method, path in sorted(described()):
        answer = await shop.ask(method, path.replace("{id}", "1"), content=b"{}")
        assert answer.status_code != 405, (method, path)
        if answer.status_code == 404 and path != "/v1/faults":
            assert answer.json()["error"]["code"].startswith("unknown_"), (method, path)


def strings(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            else:
                yield from strings(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, key)


async def test_the_description_is_whole() -> None:
    answer = await Shop().ask("GET", "/openapi.json")
    served = answer.json()
    assert served == json.loads(json.dumps(document()))
    assert served["openapi"] == "3.1.0"
    schemas = served["components"]["schemas"]
    assert {ref.removeprefix("#/components/schemas/") for ref in strings(served, "$ref")} == set(schemas)
    names = list(strings(served["paths"], "operationId"))
    assert len(names) == len(set(names)) == len(described())


async def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    answer = await Shop().ask("GET", "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"https?://|//[a-z]+\.|src=|@import|url\(", answer.text) == []
    assert 'fetch("openapi.json")' in answer.text


async def test_pages_are_served_beside_the_api_when_asked() -> None:
    shop = Shop(ready=False)
    shop.app = App(shop.services, pages=page_routes(shop.services))
    shop.client = client_of(shop.app)
    assert (await shop.ask("GET", "/")).headers["content-type"].startswith("text/html")
    assert await shop.code("GET", "/demo/cards?ids=a") == (503, "overloaded")
    shop.services.place.put(Shard(shop.state, shop.lists, shop.models))
    shop.state.items["a"] = b'{"id":"a"}'
    assert (await shop.ask("GET", "/demo/cards?ids=a,b")).json() == [{"id": "a"}]
    assert (await shop.ask("GET", "/livez")).status_code == 200
    assert await Shop().code("GET", "/") == (404, "not_found")
