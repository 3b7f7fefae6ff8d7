"""CONTRACT section 1 (time, identity) and the state of a user of section 2."""

from __future__ import annotations

from typing import Any

from tests.contract.conftest import Talk, event, fresh, now_ms

DAY_MS = 86_400_000


def items_of(session: dict[str, Any]) -> list[str]:
    return [item["item_id"] for item in session["items"]]


def test_the_state_has_the_fields_of_the_contract(talk: Talk) -> None:
    session, at = fresh(), now_ms() - 60_000
    talk.send(
        event("view", session_id=session, item_id="a", ts_ms=at, props={"dwell_ms": "800"}),
        event("add_to_cart", session_id=session, item_id="b", ts_ms=at + 10),
        event("search", session_id=session, ts_ms=at + 20, props={"query": "shoes"}),
    )
    state = talk.state(session)
    assert {"user_id", "state_version", "sessions", "counts", "features"} <= set(state)
    assert (state["user_id"], state["state_version"]) == (session, 3)
    assert state["counts"] == {"view": 1, "add_to_cart": 1, "search": 1}
    assert state["features"] and all(isinstance(value, float | int) for value in state["features"].values())
    (only,) = state["sessions"]
    assert (only["session_id"], only["started_ms"], only["last_ms"], only["cart"]) == (session, at, at + 20, ["b"])
    assert only["items"] == [
        {"item_id": "a", "event_type": "view", "ts_ms": at, "dwell_ms": 800},
        {"item_id": "b", "event_type": "add_to_cart", "ts_ms": at + 10},
    ]


def test_nobody_is_unknown_also_after_a_list(talk: Talk) -> None:
    session = fresh()
    talk.recommend(session)
    words = talk.refused(404, "unknown_user", "GET", f"/v1/users/{session}/state")
    assert session in words["message"]


def test_late_events_are_placed_by_their_time_and_counts_are_lifetime(talk: Talk) -> None:
    user, at = fresh("u"), now_ms() - 10 * DAY_MS
    for session, item, ts_ms in (
        ("young", "c", at + 5 * DAY_MS),
        ("old", "b", at + 10),
        ("young", "d", at + 6 * DAY_MS),
        ("old", "a", at),
    ):
        talk.send(event(user_id=user, session_id=user + session, item_id=item, ts_ms=ts_ms))
    state = talk.state(user)
    assert [each["session_id"] for each in state["sessions"]] == [user + "old", user + "young"]
    assert [items_of(each) for each in state["sessions"]] == [["a", "b"], ["c", "d"]]
    assert (state["sessions"][0]["started_ms"], state["sessions"][0]["last_ms"]) == (at, at + 10)
    assert state["counts"] == {"click": 4}


def test_sent_at_corrects_the_time_of_an_event(talk: Talk) -> None:
    session, slow_by = fresh(), 3_600_000
    before = now_ms()
    talk.send(event(session_id=session, item_id="a", ts_ms=before - slow_by - 1_000), sent_at=before - slow_by)
    at = talk.state(session)["sessions"][0]["items"][0]["ts_ms"]
    assert before - 1_000 <= at <= now_ms() - 1_000


def test_a_clock_that_is_ahead_is_corrected_before_it_is_refused(talk: Talk) -> None:
    ahead = now_ms() + 3_600_000
    assert talk.send(event(item_id="a", ts_ms=ahead), sent_at=ahead)["accepted"] == 1
    assert talk.send(event(item_id="a", ts_ms=ahead))["rejected"][0]["code"] == "ts_in_future"


def test_carts(talk: Talk) -> None:
    session = fresh()
    for event_type, item, props in (
        ("add_to_cart", "a", None),
        ("add_to_cart", "b", {"quantity": 2}),
        ("add_to_cart", "c", None),
        ("remove_from_cart", "a", None),
        ("remove_from_cart", "b", {"quantity": 1}),
    ):
        talk.send(event(event_type, session_id=session, item_id=item, props=props))
    assert talk.state(session)["sessions"][0]["cart"] == ["b", "c"]
    lines = '[{"item_id": "b", "quantity": 1, "price": 3.5}, {"item_id": "c", "quantity": 1, "price": 2}]'
    reply = talk.send(event("purchase", session_id=session, props={"items": lines, "order_id": fresh("o")}))
    assert reply["accepted"] == 1
    (only,) = talk.state(session)["sessions"]
    assert only["cart"] == []
    assert items_of(only)[-2:] == ["b", "c"]


def test_an_anonymous_visitor_signs_in(talk: Talk) -> None:
    session, user = fresh(), fresh("u")
    talk.send(event(session_id=session, item_id="a"), event(session_id=session, item_id="b"))
    talk.send(event("identify", session_id=session, user_id=user))
    for key in (user, session):
        state = talk.state(key)
        assert (state["user_id"], state["state_version"], state["counts"]) == (user, 3, {"click": 2, "identify": 1})
        assert [(each["session_id"], items_of(each)) for each in state["sessions"]] == [(session, ["a", "b"])]
    talk.send(event(session_id=session, item_id="c"))
    assert items_of(talk.state(user)["sessions"][0]) == ["a", "b", "c"]
    assert talk.recommend(session)["state_version"] == talk.recommend("other", user_id=user)["state_version"] == 4


def test_a_visitor_signs_in_within_one_batch(talk: Talk) -> None:
    session, user = fresh(), fresh("u")
    first = event(session_id=session, item_id="a")
    reply = talk.send(
        first,
        event(session_id=session, user_id=user, item_id="b"),
        event(session_id=session, item_id="c"),
        first,
    )
    assert (reply["accepted"], reply["duplicates"]) == (3, 1)
    state = talk.state(user)
    assert (state["state_version"], state["counts"]) == (3, {"click": 3})
    assert [items_of(each) for each in state["sessions"]] == [["a", "b", "c"]]


def test_what_a_visitor_did_is_not_counted_again_when_it_is_sent_again(talk: Talk) -> None:
    session, user = fresh(), fresh("u")
    anonymous, signed = event(session_id=session, item_id="a"), event(session_id=session, user_id=user, item_id="b")
    talk.send(anonymous)
    talk.send(signed)
    reply = talk.send(anonymous, signed)
    assert (reply["accepted"], reply["duplicates"]) == (0, 2)
    assert talk.state(user)["state_version"] == 2


def test_a_session_is_linked_anew_without_moving_anything(talk: Talk) -> None:
    session, first, second = fresh(), fresh("u"), fresh("u")
    talk.send(event(session_id=session, item_id="a"))
    talk.send(event(session_id=session, user_id=first, item_id="b"))
    talk.send(event(session_id=session, user_id=second, item_id="c"))
    talk.send(event(session_id=session, item_id="d"))
    assert (talk.state(first)["state_version"], talk.state(second)["state_version"]) == (2, 2)
    assert [items_of(each) for each in talk.state(second)["sessions"]] == [["c", "d"]]
    assert talk.state(session)["user_id"] == second
    talk.send(event(session_id=session, user_id=first, item_id="e"))
    assert (talk.state(first)["counts"], talk.state(second)["counts"]) == ({"click": 3}, {"click": 2})
    assert talk.state(session)["user_id"] == first


def test_a_new_session_is_a_new_visitor(talk: Talk) -> None:
    session, user, other = fresh(), fresh("u"), fresh()
    talk.send(event(session_id=session, user_id=user, item_id="a"))
    talk.send(event(session_id=other, item_id="b"))
    assert talk.state(other)["user_id"] == other
    assert talk.state(user)["counts"] == {"click": 1}
    talk.send(event(session_id=other, user_id=user, item_id="c"))
    assert [items_of(each) for each in talk.state(user)["sessions"]] == [["a"], ["b", "c"]]


def test_the_two_namespaces_are_separate(talk: Talk) -> None:
    name = fresh("same")
    one = event(session_id=name, item_id="a")
    talk.send(one)
    assert talk.send(event(event_id=one["event_id"], user_id=name, session_id=fresh(), item_id="b"))["accepted"] == 1
    assert talk.recommend(name)["state_version"] == 1
    assert talk.recommend(fresh(), user_id=name)["state_version"] == 1
    assert items_of(talk.state(name)["sessions"][0]) == ["b"], "a user comes before a session of its name"


def test_the_event_counts_for_the_user_it_carries(talk: Talk) -> None:
    session, one, two = fresh(), fresh("u"), fresh("u")
    talk.send(event(session_id=session, user_id=one, item_id="a"), event(session_id=session, user_id=two, item_id="b"))
    assert (talk.state(one)["counts"], talk.state(two)["counts"]) == ({"click": 1}, {"click": 1})


def test_users_are_records_that_are_put(talk: Talk) -> None:
    user = fresh("u")
    record = {"id": user, "attributes": {"tier": "gold"}, "features": {"ltv": 12.5}, "as_of": now_ms()}
    for body in (record, [record], {"users": [record]}):
        if isinstance(body, dict) and "id" in body:
            body = [body, {"id": ""}, {"id": fresh("u"), "colour": "red"}]
        reply = talk.expect(200, "PUT", "/v1/users", body)
        assert set(reply) == {"accepted", "duplicates", "rejected", "position"}
        assert reply["accepted"] == 1
        assert [r["code"] for r in reply["rejected"]] == ["missing_field", "unknown_field"][: len(reply["rejected"])]
    state = talk.state(user)
    assert (state["features"]["ltv"], state["state_version"], state["sessions"]) == (12.5, 0, [])
    talk.send(event(user_id=user, session_id=fresh(), item_id="a"))
    state = talk.state(user)
    assert (state["features"]["ltv"], state["state_version"]) == (12.5, 1)


def test_keys_with_slashes_and_other_letters(talk: Talk) -> None:
    talk.send(event(user_id="ü/ß 1", session_id=fresh(), item_id="a"))
    assert talk.state("%C3%BC%2F%C3%9F%201")["user_id"] == "ü/ß 1"
