"""What the shoppers did: sessions played out into events of the contract, version 2.

Invariant: exactly the asked number of events, in time order, the last one at `end_ms`, each id used once.
Knows nothing of the shard that will read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import orjson

from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population, Shopper, session_start

Event = dict[str, Any]

DAYS = 21
LIST_LENGTH = 10
DRIFT, SWITCH = 0.16, 0.08
SIGN_IN, SEARCH = 0.3, 0.12
LIKE, DISLIKE, SKIP = 0.1, 0.02, 0.05
CART, REMOVE, BUY, REFUND = 0.16, 0.12, 0.5, 0.06


class Visit:
    """One session being played: its clock, its cart and the events so far."""

    def __init__(self, population: Population, rng: Random, shopper: Shopper, session_id: str, start_ms: int) -> None:
        self.population = population
        self.market = population.market
        self.rng = rng
        self.shopper = shopper
        self.session_id = session_id
        self.now = start_ms
        self.user_id = shopper.key if shopper.signs_in and rng.random() < 0.6 else None
        self.device = "phone" if rng.random() < 0.62 else "desktop"
        self.cart: list[int] = []
        self.events: list[Event] = []
        self.lists = 0
        self.intent = self._new_intent()

    def play(self) -> list[Event]:
        pages = 1 + min(9, int(self.rng.expovariate(0.42)))
        for page in range(pages):
            self._move_intent()
            if page == 1 and self.user_id is None and self.shopper.signs_in and self.rng.random() < SIGN_IN:
                self.user_id = self.shopper.key
                self._add("identify", None)
            if self.rng.random() < SEARCH:
                self._add("search", None, {"query": self._query()})
            self._page("home" if page == 0 or self.rng.random() < 0.6 else "product")
        if self.cart and self.rng.random() < BUY:
            self._buy()
        return self.events

    def _new_intent(self) -> int:
        if self.rng.random() < 0.15:
            return self.market.category[self.market.draw(self.rng)]
        sums = self.shopper.taste_sums
        at = self.rng.random() * sums[-1]
        return next(i for i, value in enumerate(sums) if value > at)

    def _move_intent(self) -> None:
        chance = self.rng.random()
        if chance < SWITCH:
            self.intent = self._new_intent()
        elif chance < SWITCH + DRIFT and self.market.neighbours[self.intent]:
            self.intent = self.rng.choice(self.market.neighbours[self.intent])

    def _query(self) -> str:
        return self.market.categories[self.intent].split(" > ")[1].lower()

    def _shown(self) -> list[int]:
        """A list as a shop without personalization would show it: mostly the category browsed, some of the rest."""
        rng, market, shown = self.rng, self.market, dict[int, None]()
        while len(shown) < LIST_LENGTH:
            chance = rng.random()
            if chance < 0.68:
                shown[market.draw(rng, self.intent)] = None
            elif chance < 0.84 and market.neighbours[self.intent]:
                shown[market.draw(rng, rng.choice(market.neighbours[self.intent]))] = None
            else:
                shown[market.draw(rng)] = None
        return list(shown)

    def _page(self, surface: str) -> None:
        rng = self.rng
        request_id = f"{self.session_id}-l{self.lists}"
        self.lists += 1
        for position, item in enumerate(self._shown()):
            # Position bias: each row is a chance to stop looking.
            if rng.random() < 0.06 + 0.015 * position:
                break
            self.now += 200 + int(rng.expovariate(1 / 600))
            seen = {"surface": surface, "device": self.device}
            self._add("impression", item, seen, request_id, position)
            if rng.random() < self.population.preference(self.shopper, item, self.intent):
                self._open(item, request_id, position)
            elif rng.random() < SKIP:
                self._add("skip", item, None, request_id, position)
        self.now += 1_500 + int(rng.expovariate(1 / 4_000))

    def _open(self, item: int, request_id: str, position: int) -> None:
        rng = self.rng
        liking = self.population.preference(self.shopper, item, self.intent)
        self._add("click", item, {"device": self.device}, request_id, position)
        dwell = int(1_500 + rng.expovariate(1 / (4_000 + 40_000 * liking)))
        if rng.random() < 0.4:
            self.now += dwell // 3
            self._add("scroll", item, {"depth_pct": str(rng.randrange(20, 101, 10))})
        self.now += dwell
        self._add("dwell", item, {"dwell_ms": str(dwell)})
        chance = rng.random()
        if chance < LIKE * (0.5 + 3 * liking):
            self._add("like", item)
        elif chance > 1 - DISLIKE:
            self._add("dislike", item)
        if rng.random() < CART * (0.4 + 3 * liking):
            self.cart.append(item)
            self._add("add_to_cart", item, {"price": str(self.market.items[item].price), "quantity": "1"})
            if rng.random() < REMOVE:
                self.now += 4_000
                self.cart.remove(item)
                self._add("remove_from_cart", item)

    def _buy(self) -> None:
        self.now += 20_000 + int(self.rng.expovariate(1 / 60_000))
        items = [self.market.items[i] for i in dict.fromkeys(self.cart)]
        lines = [{"item_id": item.id, "quantity": 1, "price": item.price} for item in items]
        order = {
            "order_id": f"order-{self.session_id}",
            "items": orjson.dumps(lines).decode(),
            "value": f"{sum(item.price for item in items):.2f}",
            "currency": "EUR",
        }
        self._add("purchase", None, order)
        if self.rng.random() < REFUND:
            back = self.cart[0]
            self.now += int((0.5 + 8 * self.rng.random()) * DAY_MS)
            self._add("refund", back, {"order_id": order["order_id"], "value": str(self.market.items[back].price)})

    def _add(
        self,
        event_type: str,
        item: int | None,
        props: dict[str, str] | None = None,
        request_id: str | None = None,
        position: int | None = None,
    ) -> None:
        self.now += 40 + self.rng.randrange(400)
        event: Event = {
            "event_id": f"{self.session_id}-{len(self.events)}",
            "session_id": self.session_id,
            "event_type": event_type,
            "ts_ms": self.now,
            "schema_version": 2,
        }
        if self.user_id is not None:
            event["user_id"] = self.user_id
        if item is not None:
            event["item_id"] = self.market.items[item].id
        if props:
            event["props"] = props
        if request_id is not None:
            event["request_id"] = request_id
            event["position"] = position
        self.events.append(event)


def generate_events(
    items: list[Item], count: int = 60_000, *, seed: int = 7, end_ms: int = END_MS_DEFAULT, days: int = DAYS
) -> list[Event]:
    """The newest `count` events of a population that has shopped for `days` days; `ts_ms` ascending, last = `end_ms`.

    Raises ValueError without items.
    """
    population = Population(items, seed=seed)
    rng = Random(f"traffic-{seed}")
    events: list[Event] = []
    number = 0
    while len(events) < count:
        start_ms = session_start(rng, end_ms, days)
        visit = Visit(population, rng, population.visitor(rng), f"s{seed}-{number:05d}", start_ms)
        # A session that is still going at the end has only happened so far.
        events.extend(event for event in visit.play() if event["ts_ms"] <= end_ms)
        number += 1
    events.sort(key=lambda event: (event["ts_ms"], event["event_id"]))
    events = events[len(events) - count :]
    shift = end_ms - events[-1]["ts_ms"] if events else 0
    for event in events:
        event["ts_ms"] += shift
    return events


def to_ndjson(events: Iterable[Event]) -> bytes:
    """One event a line, as `rtp import events` and `POST /v1/events` take them."""
    return b"".join(orjson.dumps(event) + b"\n" for event in events)
