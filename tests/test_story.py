"""The story of a backend engineer: from an empty folder to lists that follow a shopper, through a crash.

One test on purpose: every step stands on the ones before it.
"""

from __future__ import annotations

import time
from typing import Any

from tests.conftest import Shard

CATEGORIES = ("shoes", "books", "garden", "toys", "music", "sport")
K = 20


class Shopper:
    """One browser: a session, a user once signed in, and a count of what it sent."""

    def __init__(self, shard: Shard, session_id: str) -> None:
        self.shard = shard
        self.session_id = session_id
        self.user_id: str | None = None
        self.sent = 0

    def does(self, event_type: str, item_id: str | None = None, **props: str | float) -> None:
        self.sent += 1
        event: dict[str, Any] = {
            "event_id": f"{self.session_id}-{self.sent}",
            "session_id": self.session_id,
            "user_id": self.user_id,
            "event_type": event_type,
            "item_id": item_id,
            "ts_ms": time.time_ns() // 1_000_000,
            "props": props,
        }
        status, reply = self.shard.call("POST", "/v1/events", event)
        assert (status, reply["accepted"], reply["rejected"]) == (200, 1, [])

    def sees(self, surface: str = "home", **more: Any) -> list[str]:
        body = {"surface": surface, "session_id": self.session_id, "user_id": self.user_id, "k": K, **more}
        status, reply = self.shard.call("POST", "/v1/recommend", body)
        assert status == 200, reply
        assert (reply["state_version"], reply["degraded"]) == (self.sent, ["no_model"])
        return [item["id"] for item in reply["items"]]

    def state(self, key: str | None = None) -> Any:
        status, state = self.shard.call("GET", f"/v1/users/{key or self.user_id or self.session_id}/state")
        assert status == 200, state
        return state


def share(ids: list[str], category: str) -> float:
    return sum(each.startswith(category) for each in ids) / len(ids)


def test_a_shop_from_its_first_item_to_the_morning_after_a_crash(shard: Shard) -> None:
    items = [
        {
            "id": f"{category}-{n}",
            "title": f"{category} {n}",
            "categories": [f"{category} > line {n % 4}"],
            "price": 5 + n,
        }
        for n in range(40)
        for category in CATEGORIES
    ]
    status, reply = shard.call("PUT", "/v1/items", {"items": items})
    assert (status, reply["accepted"], reply["rejected"]) == (200, 240, [])

    anna = Shopper(shard, "anna-phone")
    first = anna.sees()
    assert len(first) == K
    assert share(first, "garden") < 0.5

    shares = [share(first, "garden")]
    for n in (0, 4, 8):
        anna.does("click", f"garden-{n}")
        ids = anna.sees()
        shares.append(share(ids, "garden"))
        assert len(ids) == K and f"garden-{n}" not in ids
    # What she clicked is not shown again, so the share of what is left may fall a little from click to click.
    assert min(shares[1:]) > 3 * shares[0], shares
    assert share(Shopper(shard, "somebody-else").sees(), "garden") < shares[-1], "it is Anna's interest"

    anna.does("add_to_cart", "garden-8", quantity=1)
    anna.does("add_to_cart", "shoes-1", quantity=2)
    assert anna.state()["sessions"][0]["cart"] == ["garden-8", "shoes-1"]
    anna.does("purchase", None, items='[{"item_id": "garden-8", "quantity": 1, "price": 13}]', order_id="o1", value=13)
    assert anna.state()["sessions"][0]["cart"] == ["shoes-1"]
    assert "garden-8" not in anna.sees() + anna.sees("product", context={"item_id": "garden-0"})

    before = anna.state()
    anna.user_id = "anna"
    anna.does("identify")
    assert anna.state("anna-phone")["user_id"] == "anna"
    signed_in = anna.state()
    assert signed_in["counts"] == {**before["counts"], "identify": 1}
    assert [each["session_id"] for each in signed_in["sessions"]] == ["anna-phone"]
    assert signed_in["sessions"][0]["items"] == before["sessions"][0]["items"]

    status, reply = shard.call("PATCH", "/v1/items/garden-12", {"available": False})
    assert status == 200
    assert "garden-12" not in anna.sees(k=200)

    shard.kill()
    shard.start()
    after = anna.state()
    assert {**after, "features": None} == {**signed_in, "features": None}
    ids = anna.sees()
    assert share(ids, "garden") > shares[0] and not {"garden-0", "garden-4", "garden-8", "garden-12"} & set(ids)

    laptop = Shopper(shard, "anna-laptop")
    laptop.user_id, laptop.sent = "anna", anna.sent
    laptop.does("view", "garden-20")
    assert [each["session_id"] for each in laptop.state()["sessions"]] == ["anna-phone", "anna-laptop"]
    assert laptop.state()["state_version"] == anna.sent + 1
