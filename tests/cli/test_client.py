"""The HTTP client: errors, patience and order."""

from __future__ import annotations

import socket

import pytest

from rtp_monolith.cli.client import Client, Refused
from rtp_monolith.cli.output import Failure

from .fake_shard import FakeShard


def client(url: str, waits: list[float], **options: int) -> Client:
    return Client(url, key="secret", sleep=waits.append, **options)


def test_a_request_carries_key_media_and_prefix(shard: FakeShard) -> None:
    shard.routes["POST", "/shop/v1/x"] = {"ok": True}
    with client(shard.url + "/shop/", []) as one:
        assert one.call("POST", "/v1/x", b"{}", "application/x-ndjson") == {"ok": True}
    method, path, headers, body = shard.requests[0]
    assert (method, path, body) == ("POST", "/shop/v1/x", b"{}")
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/x-ndjson"


def test_a_busy_shard_is_waited_for_as_long_as_it_says(shard: FakeShard) -> None:
    shard.routes["GET", "/x"] = 5
    shard.plan = [
        (429, {"Retry-After": "2"}, {}),
        (503, {"Retry-After": "0.5"}, {}),
        (503, {}, {}),
        (503, {"Retry-After": "3600"}, {}),
        (503, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}),
    ]
    waits: list[float] = []
    with client(shard.url, waits) as one:
        assert one.call("GET", "/x") == 5
        assert one.waits == 5
    assert waits == [2.0, 0.5, 0.4, 30.0, 1.6]


def test_patience_ends(shard: FakeShard) -> None:
    shard.plan = [(503, {}, {"error": {"code": "overloaded", "message": "busy"}})] * 3
    with client(shard.url, [], attempts_max=3) as one, pytest.raises(Refused) as caught:
        one.call("GET", "/x")
    assert (caught.value.status, caught.value.code, caught.value.exit_code) == (503, "overloaded", 1)
    assert len(shard.requests) == 3


def test_errors_keep_the_code_and_field_of_the_shard(shard: FakeShard) -> None:
    shard.plan = [(422, {}, {"error": {"code": "out_of_range", "message": "1 to 200", "field": "k"}})]
    with client(shard.url, []) as one, pytest.raises(Refused) as caught:
        one.call("GET", "/x")
    assert (caught.value.code, caught.value.field, caught.value.message) == ("out_of_range", "k", "k: 1 to 200")


def test_an_answer_that_is_not_ours_keeps_its_status(shard: FakeShard) -> None:
    shard.plan = [(502, {}, "<html>"), (200, {}, "<html>")]
    with client(shard.url, []) as one:
        with pytest.raises(Refused) as caught:
            one.call("GET", "/x")
        assert (caught.value.code, caught.value.message) == ("http_502", "<html>")
        with pytest.raises(Failure) as bad:
            one.call("GET", "/x")
        assert bad.value.code == "bad_reply"


def test_a_dropped_connection_is_opened_again(shard: FakeShard) -> None:
    shard.routes["GET", "/x"] = 1
    with client(shard.url, []) as one:
        assert one.call("GET", "/x") == 1
        shard.plan = [None]
        assert one.call("GET", "/x") == 1
    assert len(shard.requests) == 3


def test_a_wrong_address_is_told_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        waits: list[float] = []
        with client(f"http://127.0.0.1:{port}", waits) as one, pytest.raises(Failure) as caught:
            one.call("GET", "/x")
    assert caught.value.code == "unreachable"
    assert waits == []


def test_a_silent_shard_times_out() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with Client(url, timeout_s=0.05) as one, pytest.raises(Failure) as caught:
            one.call("GET", "/x")
    assert caught.value.code == "timeout"


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host", "http://", "http:///x"])
def test_not_an_address(url: str) -> None:
    with pytest.raises(Failure) as caught:
        Client(url)
    assert caught.value.code == "bad_url"
