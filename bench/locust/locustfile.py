"""Visitors for locust: a list, a click on something in it, the next list, now and then a cart.

Invariant: after an acknowledged click the visitor's next list must count it in `state_version`; one that does not is
reported as a failure. It does not know what a good list is.
"""

from __future__ import annotations

import os
import time
from random import Random
from typing import Any

from locust import HttpUser, between, task

KEY = os.environ.get("RTP_KEY", "")
ITEMS = int(os.environ.get("RTP_ITEMS", "1000"))
RUN = int(time.time())


class Visitor(HttpUser):
    """One anonymous visitor; its choices follow from its number."""

    host = "http://127.0.0.1:8000"
    wait_time = between(0.5, 2.0)
    born = 0

    def on_start(self) -> None:
        Visitor.born += 1
        self.session_id = f"locust-{RUN}-{Visitor.born}"
        self.rng = Random(Visitor.born)
        self.sent = 0
        self.shown: list[str] = []
        self.request_id: str | None = None
        if KEY:
            self.client.headers["Authorization"] = f"Bearer {KEY}"

    @task(5)
    def look(self) -> None:
        """A list, which must have seen everything this visitor did."""
        body: dict[str, Any] = {"surface": "home", "session_id": self.session_id, "k": 20}
        with self.client.post("/v1/recommend", json=body, catch_response=True) as reply:
            if reply.status_code != 200:
                reply.failure(f"status {reply.status_code}")
                return
            answer = reply.json()
            if answer["state_version"] < self.sent:
                reply.failure(f"stale: has seen {answer['state_version']} of {self.sent} acknowledged events")
            self.shown = [item["id"] for item in answer["items"]]
            self.request_id = answer["request_id"]

    @task(4)
    def click(self) -> None:
        self.post("click")

    @task(1)
    def add_to_cart(self) -> None:
        self.post("add_to_cart")

    def post(self, event_type: str) -> None:
        """One event about an item that was shown, or any item before the first list."""
        place = self.rng.randrange(len(self.shown)) if self.shown else None
        event: dict[str, Any] = {
            "event_id": f"{self.session_id}-{self.sent}",
            "session_id": self.session_id,
            "event_type": event_type,
            "item_id": f"item-{self.rng.randrange(ITEMS)}" if place is None else self.shown[place],
            "ts_ms": int(time.time() * 1000),
            "schema_version": 2,
        }
        if place is not None:
            event |= {"request_id": self.request_id, "position": place}
        with self.client.post("/v1/events", json=event, name=f"/v1/events {event_type}", catch_response=True) as reply:
            if reply.status_code == 200 and reply.json()["accepted"] == 1:
                self.sent += 1
            else:
                reply.failure(f"status {reply.status_code}: {reply.text[:200]}")
