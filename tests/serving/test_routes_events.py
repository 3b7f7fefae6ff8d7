from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator

import pytest
import zstandard

from rtp_monolith.config import parse
from rtp_monolith.errors import MalformedBody, Overloaded, from_native
from rtp_monolith.records import Rejected
from tests.serving.fakes import Shop

EVENT = b'{"event_id":"e1"}'
JSON = {"content-type": "application/json"}


async def test_a_batch_is_answered_with_what_became_of_it() -> None:
    shop = Shop()
    shop.state.rejected = [Rejected(0, "e1", "bad_ts", "ts_ms is 0")]
    answer = await shop.ask("POST", "/v1/events", content=EVENT, headers=JSON)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "accepted": 0,
        "duplicates": 0,
        "rejected": [{"index": 0, "event_id": "e1", "code": "bad_ts", "message": "ts_ms is 0"}],
        "position": "p1",
    }
    assert shop.state.ingested == [("events", EVENT, "json", False)]


@pytest.mark.parametrize(
    ("content_type", "media"),
    [
        ("application/json", "json"),
        ("application/json; charset=utf-8", "json"),
        ("Application/JSON ; charset=UTF-8", "json"),
        ("text/plain;charset=UTF-8", "json"),
        ("application/x-ndjson", "ndjson"),
        ("application/msgpack", "msgpack"),
        (None, "json"),
    ],
)
async def test_each_media_type_is_told_to_the_state(content_type: str | None, media: str) -> None:
    shop = Shop()
    headers = {} if content_type is None else {"content-type": content_type}
    assert (await shop.ask("POST", "/v1/events", content=EVENT, headers=headers)).status_code == 200
    assert shop.state.ingested[0][2] == media


@pytest.mark.parametrize("content_type", ["application/xml", "application/x-www-form-urlencoded", "text/html", ""])
async def test_other_media_types_are_refused(content_type: str) -> None:
    shop = Shop()
    headers = {"content-type": content_type}
    assert await shop.code("POST", "/v1/events", content=EVENT, headers=headers) == (415, "unsupported_media_type")
    assert shop.state.ingested == []


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(EVENT)),
        ("GZIP", gzip.compress(EVENT[:4]) + gzip.compress(EVENT[4:])),
        ("zstd", zstandard.compress(EVENT)),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(EVENT)),
        ("identity", EVENT),
    ],
)
async def test_compressed_bodies_arrive_plain(encoding: str, body: bytes) -> None:
    shop = Shop()
    answer = await shop.ask("POST", "/v1/events", content=body, headers=JSON | {"content-encoding": encoding})
    assert answer.status_code == 200
    assert shop.state.ingested[0][1] == EVENT


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd"])
async def test_other_encodings_are_refused(encoding: str) -> None:
    headers = JSON | {"content-encoding": encoding}
    assert await Shop().code("POST", "/v1/events", content=EVENT, headers=headers) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", EVENT),
        ("gzip", b""),
        ("gzip", gzip.compress(EVENT)[:-9]),
        ("gzip", gzip.compress(EVENT) + b"tail"),
        ("gzip", zlib.compress(EVENT)),
        ("zstd", EVENT),
        ("zstd", b""),
        ("zstd", zstandard.compress(EVENT)[:-3]),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress(EVENT)[:-3]),
        ("zstd", zstandard.compress(EVENT) + b"tail"),
    ],
)
async def test_a_broken_compressed_body_is_malformed(encoding: str, body: bytes) -> None:
    headers = JSON | {"content-encoding": encoding}
    assert await Shop().code("POST", "/v1/events", content=body, headers=headers) == (400, "malformed_body")


MIB = 1 << 20


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("zstd", zstandard.compress),
        ("zstd", zstandard.ZstdCompressor(write_content_size=False).compress),
    ],
)
async def test_a_mebibyte_is_taken_and_one_byte_more_is_not(encoding: str, pack: object) -> None:
    shop = Shop()
    headers = JSON | {"content-encoding": encoding}
    fits, passes = pack(b" " * MIB), pack(b" " * (MIB + 1))  # type: ignore[operator]
    assert (await shop.ask("POST", "/v1/events", content=fits, headers=headers)).status_code == 200
    assert len(shop.state.ingested[0][1]) == MIB
    assert await shop.code("POST", "/v1/events", content=passes, headers=headers) == (413, "body_too_large")


async def test_a_body_without_a_length_is_cut_off_at_the_limit() -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1 << 16
            yield b" " * (1 << 16)

    shop = Shop()
    assert await shop.code("POST", "/v1/events", content=endless(), headers=JSON) == (413, "body_too_large")
    assert sent <= 18 * MIB, "what comes after the limit is read for a while, and kept nowhere"
    assert shop.services.in_flight.bytes == 0


@pytest.mark.parametrize(
    ("length", "more", "read"),
    [
        (b"1048577", [], 1 << 20),
        (b"99999999", [], 0),
        (b"1048577", [(b"expect", b"100-continue")], 0),
    ],
    ids=["a little", "a lot", "asked first"],
)
async def test_a_declared_length_beyond_the_limit_is_refused(
    length: bytes, more: list[tuple[bytes, bytes]], read: int
) -> None:
    """A client that already sends is heard out, else it would see a broken connection and not the refusal."""
    rest = [b" " * (1 << 19), b" " * (1 << 19)]
    taken = 0
    said: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        nonlocal taken
        chunk = rest.pop(0)
        taken += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(rest)}

    async def send(message: dict[str, object]) -> None:
        said.append(message)

    headers = [(b"content-type", b"application/json"), (b"content-length", length), *more]
    await Shop().app({"type": "http", "method": "POST", "path": "/v1/events", "headers": headers}, receive, send)
    assert (said[0]["status"], taken) == (413, read)


async def test_a_client_that_goes_away_is_not_answered() -> None:
    async def gone() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        raise AssertionError("nobody is there")

    shop = Shop()
    await shop.app({"type": "http", "method": "POST", "path": "/v1/events", "headers": []}, gone, send)
    assert shop.state.ingested == []


async def test_bodies_in_flight_have_a_bound() -> None:
    shop = Shop(parse("[limits]\nbody_bytes_in_flight_max = 100"))
    assert await shop.code("POST", "/v1/events", content=b" " * 101, headers=JSON) == (503, "overloaded")
    assert (await shop.ask("POST", "/v1/events", content=b" " * 100, headers=JSON)).status_code == 200
    assert shop.services.in_flight.bytes == 0


async def test_what_the_state_refuses_reaches_the_caller() -> None:
    shop = Shop()
    shop.state.refuse = MalformedBody("not JSON")
    assert await shop.code("POST", "/v1/events", content=b"{", headers=JSON) == (400, "malformed_body")
    shop.state.refuse = from_native("body_too_large", None, "1,001 events")
    assert await shop.code("POST", "/v1/events", content=EVENT, headers=JSON) == (413, "body_too_large")
    shop.state.refuse = from_native("disk_full", None, "no space left")
    answer = await shop.ask("POST", "/v1/events", content=EVENT, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.json()["error"]["message"] == "disk_full: no space left"
    shop.state.refuse = KeyError("a bug")
    assert await shop.code("POST", "/v1/events", content=EVENT, headers=JSON) == (500, "internal")
    shop.state.refuse = Overloaded("busy", retry_after_s=9)
    answer = await shop.ask("POST", "/v1/events", content=EVENT, headers=JSON)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "9")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_only_post(method: str) -> None:
    answer = await Shop().ask(method, "/v1/events")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert answer.headers["allow"] == "POST"


async def test_letters_are_listed_and_shown() -> None:
    shop = Shop()
    for n in range(3):
        shop.state.letters.put("bad_ts" if n else "too_long", f'{{"event_id":"e{n}"}}')
    listed = (await shop.ask("GET", "/v1/deadletters?code=bad_ts&limit=1")).json()
    assert [each["id"] for each in listed["dead_letters"]] == [2]
    listed = (await shop.ask("GET", "/v1/deadletters?after=1")).json()
    assert [each["id"] for each in listed["dead_letters"]] == [2, 3]
    shown = (await shop.ask("GET", "/v1/deadletters/3")).json()
    assert shown == {
        "id": 3, "received_ms": 5, "code": "bad_ts", "message": "refused", "payload": '{"event_id":"e2"}',
        "cut": False, "replayed": False,
    }  # fmt: skip
    assert await shop.code("GET", "/v1/deadletters/9") == (404, "unknown_dead_letter")
    assert await shop.code("GET", "/v1/deadletters/x") == (404, "not_found")
    assert await shop.code("GET", "/v1/deadletters?limit=0") == (422, "out_of_range")
    assert await shop.code("GET", "/v1/deadletters?after=x") == (422, "wrong_type")


async def test_letters_are_sent_again_and_marked_when_taken() -> None:
    shop = Shop()
    for code in ("bad_ts", "bad_ts", "too_long"):
        shop.state.letters.put(code, '{"event_id":"e"}')
    shop.state.letters.put("bad_ts", '{"event', cut=True)
    first = await shop.ask("POST", "/v1/deadletters/replay", content=b'{"ids":[1]}', headers=JSON)
    assert first.json() == {"tried": 1, "accepted": 1, "duplicates": 0, "rejected": []}
    shop.state.rejected = [Rejected(0, "e", "bad_ts", "still")]
    second = (await shop.ask("POST", "/v1/deadletters/replay", content=b'{"code":"bad_ts"}', headers=JSON)).json()
    assert second["tried"] == 1
    assert [(each["id"], each["code"]) for each in second["rejected"]] == [(2, "bad_ts"), (4, "payload_cut")]
    assert [each.replayed for each in shop.state.letters.kept] == [True, False, False, False]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{}", 422, "missing_field"),
        (b'{"ids":[1],"code":"x"}', 422, "missing_field"),
        (b'{"ids":["a"]}', 422, "wrong_type"),
        (b'{"all":true}', 422, "unknown_field"),
        (b"{", 400, "malformed_body"),
        (b'{"ids":[77]}', 404, "unknown_dead_letter"),
        (json.dumps({"ids": list(range(1001))}).encode(), 422, "out_of_range"),
    ],
)
async def test_a_replay_says_which_letters(body: bytes, status: int, code: str) -> None:
    assert await Shop().code("POST", "/v1/deadletters/replay", content=body, headers=JSON) == (status, code)
