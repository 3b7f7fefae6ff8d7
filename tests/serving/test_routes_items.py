from __future__ import annotations

import pytest

from rtp_monolith.errors import UnknownItem
from tests.serving.fakes import Shop

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize("kind", ["items", "users"])
@pytest.mark.parametrize(("content_type", "media"), [("application/json", "json"), ("application/x-ndjson", "ndjson")])
async def test_records_are_put(kind: str, content_type: str, media: str) -> None:
    shop = Shop()
    answer = await shop.ask("PUT", f"/v1/{kind}", content=b'[{"id":"a"}]', headers={"content-type": content_type})
    assert answer.json() == {"accepted": 1, "duplicates": 0, "rejected": [], "position": "p1"}
    assert shop.state.ingested == [(kind, b'[{"id":"a"}]', media, False)]


@pytest.mark.parametrize("content_type", ["text/plain", "application/msgpack", "text/csv"])
@pytest.mark.parametrize("path", ["/v1/items", "/v1/users"])
async def test_records_have_two_media_types(path: str, content_type: str) -> None:
    answer = await Shop().code("PUT", path, content=b"[]", headers={"content-type": content_type})
    assert answer == (415, "unsupported_media_type")


IDS = pytest.mark.parametrize(
    ("path", "item_id"),
    [
        ("plain", "plain"),
        ("a%2Fb", "a/b"),
        ("a/b", "a/b"),
        ("%2F", "/"),
        ("50%25%20off%3F%23", "50% off?#"),
        ("caf%C3%A9", "café"),
        ("state", "state"),
        ("x%2Fstate", "x/state"),
    ],
)


@IDS
async def test_an_item_is_read_as_it_is(path: str, item_id: str) -> None:
    shop = Shop()
    shop.state.items[item_id] = b'{"id":"x"}'
    answer = await shop.ask("GET", f"/v1/items/{path}")
    assert (answer.status_code, answer.content) == (200, b'{"id":"x"}')
    assert answer.headers["content-type"] == "application/json"


@IDS
async def test_an_item_is_merged_and_removed_by_its_whole_id(path: str, item_id: str) -> None:
    shop = Shop()
    answer = await shop.ask("PATCH", f"/v1/items/{path}", content=b'{"price":1}', headers=JSON)
    assert answer.json()["accepted"] == 1
    removed = await shop.ask("DELETE", f"/v1/items/{path}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert shop.state.patched == [(item_id, b'{"price":1}')]
    assert shop.state.deleted == [item_id]


async def test_an_absent_item_is_not_found_and_removed_all_the_same() -> None:
    shop = Shop()
    assert await shop.code("GET", "/v1/items/none") == (404, "unknown_item")
    assert (await shop.ask("DELETE", "/v1/items/none")).status_code == 204
    shop.state.refuse = UnknownItem("there is no item 'none'")
    assert await shop.code("PATCH", "/v1/items/none", content=b"{}", headers=JSON) == (404, "unknown_item")


@IDS
async def test_a_users_state_is_read_by_its_whole_key(path: str, item_id: str) -> None:
    shop = Shop()
    shop.state.users[item_id] = b'{"user_id":"u"}'
    answer = await shop.ask("GET", f"/v1/users/{path}/state")
    assert (answer.status_code, answer.json()) == (200, {"user_id": "u"})
    assert await shop.code("GET", f"/v1/users/{path}2/state") == (404, "unknown_user")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/items/", 404, "not_found"),
        ("PATCH", "/v1/items/", 404, "not_found"),
        ("GET", "/v1/users/u", 404, "not_found"),
        ("GET", "/v1/users//state", 404, "not_found"),
        ("GET", "/v2/items", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/events/", 404, "not_found"),
        ("GET", "/v1/items", 405, "method_not_allowed"),
        ("POST", "/v1/items/a", 405, "method_not_allowed"),
        ("POST", "/v1/users", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_has_the_error_body_too(method: str, path: str, status: int, code: str) -> None:
    assert await Shop().code(method, path, content=b"{}", headers=JSON) == (status, code)


async def test_a_wrong_method_names_all_right_ones() -> None:
    answer = await Shop().ask("POST", "/v1/items/a")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PATCH"
