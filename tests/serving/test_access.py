from __future__ import annotations

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, parse
from rtp_monolith.errors import ConfigError, Forbidden, RateLimited, Unauthorized
from rtp_monolith.serving.access import ANYBODY, Access, check_address, is_loopback
from tests.serving.fakes import Shop

BROWSER, SERVER, ADMIN = "browser-key-0000", "server-key-00000", "admin-key-000000"
KEYED = parse(
    f"""
    [[keys]]
    key = "{BROWSER}"
    scopes = ["events", "lists"]
    name = "shop page"
    [[keys]]
    key = "{SERVER}"
    scopes = ["events", "items", "users"]
    server = true
    [[keys]]
    key = "{ADMIN}"
    scopes = ["admin"]
    """
)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_without_keys_anybody_may_and_nobody_is_trusted() -> None:
    access = Access.of(Config(), ManualClock().monotonic_s)
    assert access.check(None, "127.0.0.1", "admin") is ANYBODY
    assert not ANYBODY.trusted


def test_a_key_opens_its_scopes_and_a_server_key_is_trusted() -> None:
    access = Access.of(KEYED, ManualClock().monotonic_s)
    browser = access.check(f"Bearer {BROWSER}".encode(), "1.2.3.4", "lists")
    server = access.check(f"bearer  {SERVER}".encode(), "1.2.3.4", "events")
    assert (browser.name, browser.trusted) == ("shop page", False)
    assert (server.name, server.trusted) == ("key 2", True)


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", f"Bearer {BROWSER}x".encode(), f"Bearer {BROWSER[:-1]}".encode(),
     f"Basic {BROWSER}".encode(), BROWSER.encode(), b"Bearer \xff\xfe"],
)  # fmt: skip
def test_no_key_or_a_wrong_one_is_unauthorized(header: bytes | None) -> None:
    with pytest.raises(Unauthorized):
        Access.of(KEYED, ManualClock().monotonic_s).check(header, "1.2.3.4", "events")


def test_a_key_without_the_scope_is_forbidden() -> None:
    with pytest.raises(Forbidden, match="scope items"):
        Access.of(KEYED, ManualClock().monotonic_s).check(f"Bearer {BROWSER}".encode(), "1.2.3.4", "items")


ROUTES = [
    ("POST", "/v1/events", SERVER),
    ("POST", "/v1/recommend", BROWSER),
    ("POST", "/v1/rank", BROWSER),
    ("PUT", "/v1/items", SERVER),
    ("GET", "/v1/items/a", SERVER),
    ("PATCH", "/v1/items/a", SERVER),
    ("DELETE", "/v1/items/a", SERVER),
    ("PUT", "/v1/users", SERVER),
    ("GET", "/v1/users/u/state", SERVER),
    ("GET", "/v1/deadletters", ADMIN),
    ("GET", "/v1/deadletters/1", ADMIN),
    ("POST", "/v1/deadletters/replay", ADMIN),
    ("GET", "/metrics", ADMIN),
]


@pytest.mark.parametrize(("method", "path", "key"), ROUTES)
async def test_every_route_asks_for_its_scope(method: str, path: str, key: str) -> None:
    shop = Shop(KEYED)
    assert await shop.code(method, path) == (401, "unauthorized")
    assert (await shop.ask(method, path)).headers["www-authenticate"] == "Bearer"
    for other in (BROWSER, SERVER, ADMIN):
        status = (await shop.ask(method, path, headers=bearer(other))).status_code
        if other == key:
            assert status not in (401, 403)
        elif (method, path, other) != ("POST", "/v1/events", BROWSER):
            assert status == 403


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/openapi.json", "/docs"])
async def test_probes_and_the_description_need_no_key(path: str) -> None:
    assert (await Shop(KEYED).ask("GET", path)).status_code == 200


async def test_a_server_key_makes_its_events_trusted() -> None:
    shop = Shop(KEYED)
    await shop.ask("POST", "/v1/events", content=b"{}", headers=bearer(SERVER))
    await shop.ask("POST", "/v1/events", content=b"{}", headers=bearer(BROWSER))
    assert [trusted for *_, trusted in shop.state.ingested] == [True, False]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "LocalHost", "::1", "[::1]"])
def test_loopback_needs_no_key(host: str) -> None:
    assert is_loopback(host)
    check_address(host, Config())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "10.0.0.1", "example.org", ""])
def test_any_other_address_needs_one(host: str) -> None:
    with pytest.raises(ConfigError, match="without a key"):
        check_address(host, Config())
    check_address(host, KEYED)


async def test_a_rate_limit_answers_429_with_the_time_to_wait() -> None:
    shop = Shop(parse("[limits]\nrequests_per_s = 0.01\nrequest_burst = 2"))
    for _ in range(2):
        assert (await shop.ask("POST", "/v1/events", content=b"{}")).status_code == 200
    answer = await shop.ask("POST", "/v1/recommend", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limited")
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert (await shop.ask("GET", "/livez")).status_code == 200


def test_clients_have_limits_of_their_own() -> None:
    clock = ManualClock()
    access = Access.of(parse("[limits]\nrequests_per_s = 1"), clock.monotonic_s)
    access.check(None, "1.1.1.1", "events")
    access.check(None, "2.2.2.2", "events")
    with pytest.raises(RateLimited):
        access.check(None, "1.1.1.1", "events")
    clock.advance(1000)
    access.check(None, "1.1.1.1", "events")
