"""CONTRACT sections 1 and 2, durability and the two clocks: what was acknowledged is there after SIGKILL."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Shard, StartShard
from tests.contract.conftest import Talk, event, now_ms

YEAR_MS = 365 * 86_400_000


@pytest.fixture
def other(start_shard: StartShard) -> Talk:
    """A shard of the test's own."""
    return Talk(start_shard())


def test_everything_acknowledged_survives_sigkill(other: Talk) -> None:
    other.put_items(*({"id": f"i{n}", "price": n} for n in range(30)))
    other.expect(200, "PATCH", "/v1/items/i1", {"title": "patched"})
    other.expect(204, "DELETE", "/v1/items/i2")
    other.expect(200, "PUT", "/v1/users", [{"id": "u", "attributes": {"tier": "gold"}, "features": {"ltv": 3}}])
    sent = [event(session_id="s", item_id=f"i{n}") for n in range(5)]
    position = other.send(*sent, event("teleport", session_id="s"))["position"]
    other.send(event("add_to_cart", session_id="s", user_id="u", item_id="i9"))
    other.recommend("s")
    before = other.state("u")
    for _ in range(2):
        other.shard.kill()
        other.shard.start()
        state = other.state("u")
        assert {**state, "features": None} == {**before, "features": None}
        assert (state["features"]["ltv"], state["attributes"]) == (3, {"tier": "gold"})
        assert {**other.state("s"), "features": None} == {**before, "features": None}
        assert other.expect(200, "GET", "/v1/items/i1") == {"id": "i1", "title": "patched", "price": 1}
        other.refused(404, "unknown_item", "GET", "/v1/items/i2")
        assert other.send(*sent)["duplicates"] == 5
        reply = other.recommend("s", k=200, min_position=position)
        assert (reply["state_version"], reply["degraded"]) == (6, ["no_model"])
        clicked = {f"i{n}" for n in range(5)}
        assert {each["id"] for each in reply["items"]} == {f"i{n}" for n in range(30)} - clicked
        assert len(other.expect(200, "GET", "/v1/deadletters")["dead_letters"]) == 1


def test_a_shard_stops_in_order_and_a_second_one_is_refused(other: Talk, tmp_path: Path) -> None:
    second = Shard(other.shard.data, tmp_path / "second.log", [])
    with pytest.raises(pytest.fail.Exception, match="ended with status 1"):
        second.start()
    assert other.shard.stop() == 0


def test_the_clock_of_events(start_shard: StartShard) -> None:
    old = Talk(start_shard("--clock", "events"))
    at = now_ms() - 3 * YEAR_MS
    old.put_items(*({"id": f"i{n}"} for n in range(9)))
    old.send(event(item_id="i1", ts_ms=at), event(item_id="i2", ts_ms=at - 500))
    assert old.recommend("s")["as_of_ms"] == at
    old.send(event(item_id="i3", ts_ms=at - 1_000))
    assert old.recommend("s")["as_of_ms"] == at, "a late event does not turn it back"
    old.send(event(item_id="i3", ts_ms=at + 1_000))
    assert old.recommend("s")["as_of_ms"] == at + 1_000
    ahead = event(item_id="i3", ts_ms=at + YEAR_MS)
    assert old.send(ahead)["accepted"] == 1, "the future begins where the wall says, whatever the clock"
    assert old.send(event(item_id="i3", ts_ms=now_ms() + 600_000))["rejected"][0]["code"] == "ts_in_future"
    old.shard.kill()
    old.shard.start()
    assert old.recommend("s")["as_of_ms"] == at + YEAR_MS
