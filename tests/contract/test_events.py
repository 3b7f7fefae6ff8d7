"""CONTRACT section 1, the bodies, the rules of an event and the reply."""

from __future__ import annotations

import gzip
import json
from typing import Any

import msgspec
import pytest
import zstandard

from tests.contract.conftest import Talk, event, fresh, now_ms

TYPES = ["impression", "click", "scroll", "dwell", "add_to_cart", "remove_from_cart", "purchase", "refund"]
TYPES += ["search", "view", "skip", "like", "dislike", "identify"]
NEEDS_ITEM = {"impression", "click", "view", "add_to_cart", "remove_from_cart", "like", "dislike", "skip"}
MIB = 1 << 20


def click(**fields: Any) -> dict[str, Any]:
    return event(**{"item_id": "i1", **fields})


def ndjson(events: list[dict[str, Any]]) -> bytes:
    return b"\n".join(json.dumps(each).encode() for each in events)


def test_the_reply_has_these_fields_and_no_others(talk: Talk) -> None:
    reply = talk.send(click())
    assert set(reply) == {"accepted", "duplicates", "rejected", "position"}
    assert (reply["accepted"], reply["duplicates"], reply["rejected"]) == (1, 0, [])
    assert isinstance(reply["position"], str) and reply["position"]


@pytest.mark.parametrize("media", ["application/json", "text/plain", "application/json; charset=utf-8"])
@pytest.mark.parametrize("form", ["one", "array", "envelope", "envelope with sent_at"])
def test_every_form_of_a_json_body(talk: Talk, media: str, form: str) -> None:
    session = fresh()
    body: Any = click(session_id=session)
    body = {
        "one": body,
        "array": [body],
        "envelope": {"events": [body]},
        "envelope with sent_at": {"events": [body], "sent_at": now_ms()},
    }[form]
    assert talk.expect(200, "POST", "/v1/events", body, **{"Content-Type": media})["accepted"] == 1
    assert talk.state(session)["counts"] == {"click": 1}


@pytest.mark.parametrize("form", ["one", "array", "envelope"])
def test_every_form_of_a_msgpack_body(talk: Talk, form: str) -> None:
    session = fresh()
    one = click(session_id=session, props={"price": 1.5, "fast": True})
    body = msgspec.msgpack.encode({"one": one, "array": [one], "envelope": {"events": [one]}}[form])
    reply = talk.expect(200, "POST", "/v1/events", body, **{"Content-Type": "application/msgpack"})
    assert (reply["accepted"], reply["rejected"]) == (1, [])


def test_lines_may_be_blank_and_end_in_either_way(talk: Talk) -> None:
    session = fresh()
    events = [click(session_id=session) for _ in range(3)]
    body = b"\n" + ndjson(events).replace(b"\n", b"\r\n\r\n") + b"\n"
    for media in ("application/x-ndjson", "application/x-ndjson;charset=UTF-8"):
        reply = talk.expect(200, "POST", "/v1/events", body, **{"Content-Type": media})
        assert reply["accepted"] + reply["duplicates"] == 3
    assert talk.state(session)["state_version"] == 3


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("media", ["application/json", "application/x-ndjson", "application/msgpack"])
def test_compressed_bodies(talk: Talk, encoding: str, media: str) -> None:
    events = [click() for _ in range(5)]
    body = {
        "application/json": json.dumps(events).encode(),
        "application/x-ndjson": ndjson(events),
        "application/msgpack": msgspec.msgpack.encode(events),
    }[media]
    packed = gzip.compress(body) if encoding == "gzip" else zstandard.compress(body)
    headers = {"Content-Type": media, "Content-Encoding": encoding}
    assert talk.expect(200, "POST", "/v1/events", packed, **headers)["accepted"] == 5
    talk.refused(400, "malformed_body", "POST", "/v1/events", body, **headers)


@pytest.mark.parametrize("event_type", TYPES)
def test_every_type_and_whether_it_needs_an_item(talk: Talk, event_type: str) -> None:
    session = fresh()
    reply = talk.send(event(event_type, session_id=session), event(event_type, session_id=session, item_id=""))
    if event_type in NEEDS_ITEM:
        assert [each["code"] for each in reply["rejected"]] == ["item_id_required"] * 2
    else:
        assert reply["accepted"] == 2
    assert talk.send(event(event_type, session_id=session, item_id="i1"))["accepted"] == 1
    assert talk.state(session)["counts"] == {event_type: 1 if event_type in NEEDS_ITEM else 3}


def test_a_declared_custom_type_is_known_by_its_name(talk: Talk) -> None:
    session = fresh()
    reply = talk.send(event("wishlist", session_id=session, item_id="i1"), event("other", session_id=session))
    assert (reply["accepted"], reply["rejected"][0]["code"]) == (1, "unknown_event_type")
    state = talk.state(session)
    assert state["counts"] == {"wishlist": 1}
    assert [item["event_type"] for item in state["sessions"][0]["items"]] == ["wishlist"]


def many_props(count: int) -> dict[str, str]:
    return {f"p{n}": "x" for n in range(count)}


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("missing_field", {"event_id": None}),
    ("missing_field", {"event_id": ""}),
    ("missing_field", {"session_id": None}),
    ("missing_field", {"session_id": ""}),
    ("missing_field", {"event_type": None}),
    ("missing_field", {"event_type": ""}),
    ("missing_field", {"ts_ms": None}),
    ("wrong_type", {"event_id": 5}),
    ("wrong_type", {"user_id": 5}),
    ("wrong_type", {"session_id": ["s"]}),
    ("wrong_type", {"event_type": 1}),
    ("wrong_type", {"item_id": 7}),
    ("wrong_type", {"ts_ms": "1700000000000"}),
    ("wrong_type", {"props": []}),
    ("wrong_type", {"props": {"a": ["x"]}}),
    ("wrong_type", {"props": {"a": {"b": 1}}}),
    ("wrong_type", {"request_id": 1}),
    ("wrong_type", {"position": "1"}),
    ("wrong_type", {"position": -1}),
    ("wrong_type", {"position": 1.5}),
    ("wrong_type", {"schema_version": "2"}),
    ("too_long", {"event_id": "x" * 129}),
    ("too_long", {"user_id": "x" * 129}),
    ("too_long", {"session_id": "x" * 129}),
    ("too_long", {"item_id": "x" * 129}),
    ("unknown_event_type", {"event_type": "teleport"}),
    ("bad_ts", {"ts_ms": 0}),
    ("bad_ts", {"ts_ms": -1}),
    ("unsupported_schema_version", {"schema_version": 3}),
    ("unsupported_schema_version", {"schema_version": 0}),
    ("too_many_props", {"props": many_props(65)}),
    ("unknown_field", {"colour": "red"}),
]


@pytest.mark.parametrize(("code", "fields"), REFUSED, ids=[f"{c} {next(iter(f))}" for c, f in REFUSED])
def test_every_code_of_one_event(talk: Talk, code: str, fields: dict[str, Any]) -> None:
    session = fresh()
    reply = talk.send(click(session_id=session), click(**{"session_id": session, **fields}), click(session_id=session))
    assert reply["accepted"] == 2
    (rejected,) = reply["rejected"]
    assert set(rejected) == {"index", "event_id", "code", "message"}
    assert (rejected["index"], rejected["code"]) == (1, code)
    assert rejected["message"]
    assert talk.state(session)["state_version"] == 2


def test_more_than_five_minutes_ahead_is_refused(talk: Talk) -> None:
    near, far = click(ts_ms=now_ms() + 290_000), click(ts_ms=now_ms() + 310_000)
    reply = talk.send(near, far)
    assert reply["accepted"] == 1
    assert (reply["rejected"][0]["code"], reply["rejected"][0]["event_id"]) == ("ts_in_future", far["event_id"])


def test_bounds_that_are_still_inside(talk: Talk) -> None:
    longest = "é" * 128
    good = click(event_id=longest, user_id=longest, session_id=longest, props=many_props(64), position=0)
    assert talk.send({**good, "item_id": longest, "request_id": "r", "schema_version": 2})["accepted"] == 1
    assert talk.send(click(ts_ms=1))["accepted"] == 1


def test_an_empty_or_null_user_is_an_anonymous_visitor(talk: Talk) -> None:
    session = fresh()
    nobody = {**click(session_id=session), "user_id": None}
    assert talk.send(nobody, click(session_id=session, user_id=""))["accepted"] == 2
    assert talk.state(session)["user_id"] == session


def test_version_one_is_upgraded(talk: Talk) -> None:
    session = fresh()
    assert talk.send(click(session_id=session, schema_version=1), click(session_id=session))["accepted"] == 2


def test_numbers_and_booleans_are_taken_as_props(talk: Talk) -> None:
    session = fresh()
    talk.send(event("view", session_id=session, item_id="i1", props={"dwell_ms": 1500, "price": 9.90, "new": True}))
    assert talk.state(session)["sessions"][0]["items"][0]["dwell_ms"] == 1500


def test_what_is_no_event_is_refused_in_its_place(talk: Talk) -> None:
    reply = talk.send(5, "x", None, [], click())
    assert [(r["index"], r["event_id"], r["code"]) for r in reply["rejected"]] == [
        (n, None, "wrong_type") for n in range(4)
    ]
    assert reply["accepted"] == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"\xff\xfe", b'"x"', b"7", b"null", b'{"events": 5}', b"{}x"])
def test_a_body_that_cannot_be_read(talk: Talk, body: bytes) -> None:
    talk.refused(400, "malformed_body", "POST", "/v1/events", body)


@pytest.mark.parametrize("media", ["application/x-ndjson", "application/msgpack"])
def test_a_body_that_is_not_what_it_says(talk: Talk, media: str) -> None:
    talk.refused(400, "malformed_body", "POST", "/v1/events", b'{"a', **{"Content-Type": media})


@pytest.mark.parametrize("media", ["text/html", "application/xml", "application/x-www-form-urlencoded"])
def test_an_unknown_media_type(talk: Talk, media: str) -> None:
    talk.refused(415, "unsupported_media_type", "POST", "/v1/events", click(), **{"Content-Type": media})
    talk.refused(415, "unsupported_media_type", "POST", "/v1/events", click(), **{"Content-Encoding": "br"})


def test_a_thousand_events_and_one_more(talk: Talk) -> None:
    session = fresh()
    events = [click(session_id=session) for _ in range(1001)]
    assert talk.send(*events[:1000])["accepted"] == 1000
    for media, body in (
        ("application/json", json.dumps(events).encode()),
        ("application/x-ndjson", ndjson(events)),
        ("application/msgpack", msgspec.msgpack.encode(events)),
    ):
        talk.refused(413, "body_too_large", "POST", "/v1/events", body, **{"Content-Type": media})
    assert talk.state(session)["state_version"] == 1000


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
def test_a_mebibyte_after_decompression_and_one_byte_more(talk: Talk, encoding: str) -> None:
    pack = {"": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}[encoding]
    body = json.dumps(click()).encode()
    headers = {"Content-Encoding": encoding} if encoding else {}
    full = body + b" " * (MIB - len(body))
    assert talk.expect(200, "POST", "/v1/events", pack(full), **headers)["accepted"] == 1
    talk.refused(413, "body_too_large", "POST", "/v1/events", pack(full + b" "), **headers)


def test_a_duplicate_in_the_batch_and_later(talk: Talk) -> None:
    session = fresh()
    one = click(session_id=session)
    assert (talk.send(one, one)["duplicates"], talk.send(one)["duplicates"]) == (1, 1)
    assert talk.send(click(session_id=fresh(), event_id=one["event_id"]))["accepted"] == 1
    assert talk.state(session)["state_version"] == 1


def test_a_duplicate_is_known_among_the_last_256_of_its_user(talk: Talk) -> None:
    session = fresh()
    events = [click(session_id=session) for _ in range(257)]
    talk.send(events[0])
    talk.send(*events[1:256])
    assert talk.send(events[0])["duplicates"] == 1
    talk.send(events[256])
    assert talk.send(events[1])["duplicates"] == 1
    assert talk.state(session)["counts"] == {"click": 257}


def test_a_duplicate_within_the_batch_however_far_away(talk: Talk) -> None:
    session = fresh()
    events = [click(session_id=session) for _ in range(600)]
    reply = talk.send(*events, events[0])
    assert (reply["accepted"], reply["duplicates"]) == (600, 1)
    assert talk.state(session)["state_version"] == 600


def test_an_unknown_member_of_the_envelope_is_refused(talk: Talk) -> None:
    words = talk.refused(422, "unknown_field", "POST", "/v1/events", {"events": [click()], "sender": "x"})
    assert words["field"] == "sender"


def test_an_event_is_visible_when_it_is_acknowledged(talk: Talk) -> None:
    session = fresh()
    for n in range(1, 21):
        position = talk.send(click(session_id=session))["position"]
        assert talk.recommend(session, k=1, min_position=position)["state_version"] == n
        assert talk.state(session)["state_version"] == n


def test_what_is_refused_becomes_a_dead_letter(talk: Talk) -> None:
    bad = click(event_type="teleport")
    talk.send(bad)
    letters = talk.expect(200, "GET", "/v1/deadletters?code=unknown_event_type&limit=1000")["dead_letters"]
    assert json.loads(letters[-1]["payload"])["event_id"] == bad["event_id"]
