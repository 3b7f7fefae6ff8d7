"""CONTRACT section 2, items: put, merge, read, delete, and effective for the next request."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.contract.conftest import Talk, event, fresh, now_ms

WHOLE: dict[str, Any] = {
    "id": "whole",
    "title": "Trail shoe",
    "description": "For stones.",
    "categories": ["sport > running > shoes", "sale"],
    "brand": "Acme",
    "seller": "shop 1",
    "price": 89.9,
    "currency": "EUR",
    "available": True,
    "created_at": 1_700_000_000_000,
    "attributes": {"color": "red", "size": 42, "new": True, "tags": ["a", "b"]},
    "image_url": "https://example.com/a.png",
    "embedding": [0.5, -1.0],
}


def test_an_item_is_answered_as_it_was_put(talk: Talk) -> None:
    reply = talk.put_items(WHOLE)
    assert set(reply) == {"accepted", "duplicates", "rejected", "position"}
    assert (reply["accepted"], reply["duplicates"], reply["rejected"]) == (1, 0, [])
    assert talk.expect(200, "GET", "/v1/items/whole") == WHOLE
    assert talk.put_items({**WHOLE, "created_at": "2026-01-31T12:00:00Z"})["accepted"] == 1


@pytest.mark.parametrize("form", ["array", "envelope", "ndjson"])
def test_every_form_of_a_body(talk: Talk, form: str) -> None:
    items = [{"id": fresh("i"), "price": n} for n in range(3)]
    lines = "\n".join(json.dumps(each) for each in items).encode()
    body: Any = {"array": items, "envelope": {"items": items}, "ndjson": lines}[form]
    media = "application/x-ndjson" if form == "ndjson" else "application/json"
    assert talk.expect(200, "PUT", "/v1/items", body, **{"Content-Type": media})["accepted"] == 3
    assert talk.expect(200, "GET", f"/v1/items/{items[2]['id']}") == items[2]


def test_put_replaces_and_patch_merges(talk: Talk) -> None:
    one = fresh("i")
    talk.put_items({"id": one, "title": "t", "price": 1, "attributes": {"a": "x"}})
    talk.put_items({"id": one, "price": 2, "attributes": {"b": "y"}})
    assert talk.expect(200, "GET", f"/v1/items/{one}") == {"id": one, "price": 2, "attributes": {"b": "y"}}
    reply = talk.expect(200, "PATCH", f"/v1/items/{one}", {"title": "new", "attributes": {"c": 3}})
    assert (reply["accepted"], reply["rejected"]) == (1, [])
    want = {"id": one, "title": "new", "price": 2, "attributes": {"b": "y", "c": 3}}
    assert talk.expect(200, "GET", f"/v1/items/{one}") == want


def test_only_what_changed_is_taken(talk: Talk) -> None:
    """A compacted stream may be sent again from its beginning."""
    one, other = {"id": fresh("i"), "title": "t", "price": 1}, {"id": fresh("i"), "price": 2}
    both = [one, other, {**one, "price": 3}]
    reply = talk.expect(200, "PUT", "/v1/items?only=changed", both)
    assert (reply["accepted"], reply["duplicates"]) == (2, 1), "of one id the last counts"
    assert talk.expect(200, "GET", f"/v1/items/{one['id']}")["price"] == 3
    reply = talk.expect(200, "PUT", "/v1/items?only=changed", both)
    assert (reply["accepted"], reply["duplicates"]) == (0, 3)
    user = fresh("u")
    record = {"id": user, "attributes": {"tier": "gold"}}
    assert talk.expect(200, "PUT", "/v1/users?only=changed", record)["accepted"] == 1
    assert talk.expect(200, "PUT", "/v1/users?only=changed", record)["duplicates"] == 1
    talk.refused(422, "out_of_range", "PUT", "/v1/items?only=old", [one])
    talk.refused(422, "out_of_range", "PUT", "/v1/users?only=new", record)


def test_what_is_not_there(talk: Talk) -> None:
    talk.refused(404, "unknown_item", "GET", "/v1/items/none")
    talk.refused(404, "unknown_item", "PATCH", "/v1/items/none", {"price": 1})
    assert talk.expect(204, "DELETE", "/v1/items/none") == b""


def test_a_deleted_item_is_gone_and_may_come_back(talk: Talk) -> None:
    one = fresh("i")
    talk.put_items({"id": one, "title": "t"})
    for _ in range(2):
        assert talk.expect(204, "DELETE", f"/v1/items/{one}") == b""
    talk.refused(404, "unknown_item", "GET", f"/v1/items/{one}")
    talk.refused(404, "unknown_item", "PATCH", f"/v1/items/{one}", {"title": "t"})
    talk.put_items({"id": one})
    assert talk.expect(200, "GET", f"/v1/items/{one}") == {"id": one}


@pytest.mark.parametrize("name", ["a/b", "a b", "ü/ß", "x/", "/x", "100%", "a?b#c", "x/state", "日本", "é" * 128])
def test_an_id_may_be_any_text(talk: Talk, name: str) -> None:
    path = f"/v1/items/{quote(name, safe='')}"
    talk.put_items({"id": name})
    assert talk.expect(200, "GET", path) == {"id": name}
    assert talk.expect(200, "PATCH", path, {"price": 1})["accepted"] == 1
    assert talk.expect(200, "GET", path) == {"id": name, "price": 1}
    talk.expect(204, "DELETE", path)
    talk.refused(404, "unknown_item", "GET", path)


def test_one_bad_item_does_not_cost_its_neighbours(talk: Talk) -> None:
    good, bad = fresh("i"), fresh("i")
    body = [{"id": good}, {"id": ""}, {}, {"id": "x" * 129}, {"id": bad, "price": "1"}, {"id": bad, "colour": 1}, 5]
    reply = talk.expect(200, "PUT", "/v1/items", body)
    assert reply["accepted"] == 1
    assert [(r["index"], r["event_id"], r["code"]) for r in reply["rejected"]] == [
        (1, None, "missing_field"),
        (2, None, "missing_field"),
        (3, None, "too_long"),
        (4, bad, "wrong_type"),
        (5, bad, "unknown_field"),
        (6, None, "wrong_type"),
    ]
    talk.refused(404, "unknown_item", "GET", f"/v1/items/{bad}")


def test_a_body_that_cannot_be_taken(talk: Talk) -> None:
    talk.refused(400, "malformed_body", "PUT", "/v1/items", b"[")
    talk.refused(415, "unsupported_media_type", "PUT", "/v1/items", b"a,b", **{"Content-Type": "text/csv"})
    too_many = [{"id": f"many{n}"} for n in range(1001)]
    talk.refused(413, "body_too_large", "PUT", "/v1/items", too_many)
    assert talk.put_items(*too_many[:1000])["accepted"] == 1000


def test_a_patch_that_does_not_fit_changes_nothing(talk: Talk) -> None:
    one = fresh("i")
    talk.put_items({"id": one, "price": 1})
    talk.refused(422, "wrong_type", "PATCH", f"/v1/items/{one}", {"price": "x"})
    talk.refused(422, "unknown_field", "PATCH", f"/v1/items/{one}", {"colour": "x"})
    talk.refused(400, "malformed_body", "PATCH", f"/v1/items/{one}", b"{")
    assert talk.expect(200, "GET", f"/v1/items/{one}") == {"id": one, "price": 1}


def test_a_change_is_effective_for_the_next_request(talk: Talk) -> None:
    category = {"filter": {"field": "categories", "op": "eq", "value": fresh("c")}}
    one = {"id": fresh("i"), "categories": [category["filter"]["value"]]}
    for _ in range(5):
        talk.put_items(one)
        assert talk.ids("s", **category) == [one["id"]]
        talk.expect(200, "PATCH", f"/v1/items/{one['id']}", {"available": False})
        assert talk.ids("s", **category) == []
        talk.expect(200, "PATCH", f"/v1/items/{one['id']}", {"available": True})
        assert talk.ids("s", **category) == [one["id"]]
        talk.expect(204, "DELETE", f"/v1/items/{one['id']}")
        assert talk.ids("s", **category) == []


def test_an_event_may_name_an_item_before_it_exists(talk: Talk) -> None:
    early, session = fresh("i"), fresh()
    talk.send(event(session_id=session, item_id=early, ts_ms=now_ms()))
    talk.refused(404, "unknown_item", "GET", f"/v1/items/{early}")
    talk.put_items({"id": early})
    only = {"field": "id", "op": "eq", "value": early}
    assert talk.ids(session, filter=only) == [], "it was clicked"
    assert talk.ids(fresh(), filter=only) == [early]
