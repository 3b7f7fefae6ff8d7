"""CONTRACT section 4: probes, metrics, documents, keys, limits, and the addresses a shard listens on."""

from __future__ import annotations

import http.client
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RTP, Shard, unused_port
from tests.contract.conftest import Talk, event

EVENTS_KEY, ADMIN_KEY = "events-key-0123456789", "admin-key-0123456789"
KEYS = f"""
[limits]
requests_per_s = 0.001
request_burst = 12
[[keys]]
key = "{EVENTS_KEY}"
scopes = ["events"]
[[keys]]
key = "{ADMIN_KEY}"
scopes = ["events", "lists", "items", "users", "admin"]
"""
JSON = {"Content-Type": "application/json"}
LIST = {"surface": "home", "session_id": "s"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A shard with two keys that listens on every address; 12 calls of each key, then none."""
    folder = tmp_path_factory.mktemp("guarded")
    config: Path = folder / "shard.toml"
    config.write_text(KEYS)
    options = ["--config", str(config), "--host", "0.0.0.0"]
    shard = Shard(folder / "data", folder / "shard.log", options).start()
    try:
        yield Talk(shard)
    finally:
        shard.stop()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_probes_and_documents(talk: Talk) -> None:
    for path in ("/livez", "/readyz"):
        assert talk.expect(200, "GET", path)
    text = talk.expect(200, "GET", "/metrics").decode()
    assert "# TYPE " in text and "\nrtp_" in text
    document = talk.expect(200, "GET", "/openapi.json")
    assert document["openapi"].startswith("3.")
    paths = {"/v1/events", "/v1/items", "/v1/items/{id}", "/v1/users", "/v1/users/{id}/state", "/v1/recommend"}
    assert paths | {"/v1/rank"} <= set(document["paths"])
    assert b"<html" in talk.expect(200, "GET", "/docs")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/nothing", "/v2/events", "/v1/events/", "/v1/items/", "/v1/users/"])
def test_nothing_at_a_path(talk: Talk, path: str) -> None:
    talk.refused(404, "not_found", "GET", path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/v1/events"), ("PUT", "/v1/recommend"), ("DELETE", "/v1/rank"), ("POST", "/v1/items")),
        *(("POST", "/v1/items/a"), ("GET", "/v1/users"), ("PUT", "/v1/users/a/state"), ("POST", "/livez")),
    ],
)
def test_a_method_that_is_not_possible(talk: Talk, method: str, path: str) -> None:
    talk.refused(405, "method_not_allowed", method, path, {})


def test_a_refused_method_names_the_possible_ones(talk: Talk) -> None:
    request = urllib.request.Request(talk.shard.url + "/v1/events", method="GET")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert (answer.code, answer.headers["allow"]) == (405, "POST")
        assert answer.headers.get_content_type() == "application/json"


def test_one_connection_serves_many_requests_also_after_refusals(talk: Talk) -> None:
    line = http.client.HTTPConnection("127.0.0.1", talk.shard.port, timeout=10)
    for body, status in ((b"{", 400), (b"[]", 200), (b"x" * (1 << 16), 400), (b"[]", 200)) * 3:
        line.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
        answer = line.getresponse()
        answer.read()
        assert answer.status == status
    line.close()


def test_a_call_without_a_good_key(guarded: Talk) -> None:
    assert guarded.expect(200, "GET", "/livez") and guarded.expect(200, "GET", "/readyz")
    for headers in (
        {},
        bearer("wrong-key-0123456789"),
        {"Authorization": f"Basic {EVENTS_KEY}"},
        {"Authorization": EVENTS_KEY},
        {"Authorization": ""},
    ):
        for method, path in (
            ("POST", "/v1/events"),
            ("POST", "/v1/recommend"),
            ("POST", "/v1/rank"),
            ("PUT", "/v1/items"),
            ("PUT", "/v1/users"),
            ("GET", "/v1/items/a"),
            ("DELETE", "/v1/items/a"),
            ("GET", "/v1/users/a/state"),
            ("GET", "/v1/deadletters"),
        ):
            guarded.refused(401, "unauthorized", method, path, None if method == "GET" else {}, **headers)


def test_a_key_opens_what_its_scopes_say(guarded: Talk) -> None:
    key = bearer(EVENTS_KEY)
    assert guarded.expect(200, "POST", "/v1/events", [event(item_id="a")], **key)["accepted"] == 1
    guarded.refused(403, "forbidden", "POST", "/v1/recommend", LIST, **key)
    guarded.refused(403, "forbidden", "PUT", "/v1/items", [], **key)
    guarded.refused(403, "forbidden", "GET", "/v1/users/a/state", **key)
    guarded.refused(403, "forbidden", "GET", "/v1/deadletters", **key)
    assert guarded.expect(200, "POST", "/v1/recommend", LIST, **bearer(ADMIN_KEY))["degraded"] == ["no_items"]


def test_too_many_requests_are_told_when_to_come_back(guarded: Talk) -> None:
    headers = {**JSON, **bearer(EVENTS_KEY)}
    request = urllib.request.Request(guarded.shard.url + "/v1/events", b"[]", headers, method="POST")
    for _ in range(12):
        try:
            urllib.request.urlopen(request, timeout=10).close()
        except urllib.error.HTTPError as refused:
            with refused:
                assert refused.code == 429 and int(refused.headers["retry-after"]) >= 1
    guarded.refused(429, "rate_limited", "POST", "/v1/events", [], **bearer(EVENTS_KEY))
    assert guarded.expect(200, "POST", "/v1/recommend", LIST, **bearer(ADMIN_KEY)), "another key has its own share"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example"])
def test_other_addresses_are_refused_without_a_key(tmp_path: Path, host: str) -> None:
    command = [*RTP, "serve", "--data", str(tmp_path / "data"), "--port", str(unused_port()), "--host", host]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "key" in done.stderr and not (tmp_path / "data").exists()
