"""Events written down in the form of the contract, version 2, one JSON document a line.

Invariant: the bytes depend on the events and the names of items and shoppers alone; nothing of the truth behind an
event (`shopper`, `intent`) is written. Knows nothing of how events come about.
"""

from __future__ import annotations

import orjson

from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import (
    ADD,
    CLICK,
    DEVICES,
    DWELL,
    IMPRESSION,
    KINDS,
    NOBODY,
    NOTHING,
    PURCHASE,
    REFUND,
    SCROLL,
    SEARCH,
    SURFACES,
    Rows,
)

_HEADS = [f'","event_type":"{kind}","ts_ms":' for kind in KINDS]
_SEEN = [[f',"props":{{"surface":"{surface}","device":"{device}"}}' for device in DEVICES] for surface in SURFACES]


class Pen:
    """Writes the events of one population; `prefix` begins every session id, `users` every user id."""

    def __init__(self, population: Population, prefix: str, *, users: str = "shopper-") -> None:
        market = population.market
        self._market = market
        self._prefix = prefix
        self._users = users
        self._items = [f',"item_id":{_json(name)}' for name in market.ids]
        self._prices = [str(price) for price in market.price.tolist()]
        self._found = [f',"props":{{"query":{_json(query)},"surface":"search"}}' for query in market.queries]

    def session_id(self, session: int) -> str:
        return f"{self._prefix}{session:05d}"

    def user_id(self, shopper: int) -> str:
        return f"{self._users}{shopper:04d}"

    def lines(self, events: Rows) -> list[bytes]:
        """One line an event, each with its line feed."""
        columns = (
            events[name].tolist() for name in ("session", "number", "ts_ms", "kind", "item", "user", "page", "position")
        )
        prefix, items, users = self._prefix, self._items, self._users
        props = self._props(events)
        lines = []
        for (session, number, ts_ms, kind, item, user, page, position), more in zip(
            zip(*columns, strict=True), props, strict=True
        ):
            own = f"{prefix}{session:05d}"
            who = "" if user == NOBODY else f',"user_id":"{users}{user:04d}"'
            what = "" if item == NOTHING else items[item]
            listed = "" if position == NOTHING else f',"request_id":"{own}-l{page}","position":{position}'
            line = (
                f'{{"event_id":"{own}-{number}","session_id":"{own}{_HEADS[kind]}{ts_ms},"schema_version":2'
                f"{who}{what}{more}{listed}}}\n"
            )
            lines.append(line.encode())
        return lines

    def _props(self, events: Rows) -> list[str]:
        """The props of each event as JSON with what comes before it; empty where there are none."""
        found, prices, props = self._found, self._prices, []
        columns = (events[name].tolist() for name in ("kind", "surface", "device", "value", "item", "session"))
        for place, (kind, surface, device, value, item, session) in enumerate(zip(*columns, strict=True)):
            if kind in (IMPRESSION, CLICK):
                props.append(_SEEN[surface][device])
            elif kind == DWELL:
                props.append(f',"props":{{"dwell_ms":"{value}"}}')
            elif kind == SCROLL:
                props.append(f',"props":{{"depth_pct":"{value}"}}')
            elif kind == ADD:
                props.append(f',"props":{{"price":"{prices[item]}","quantity":"1"}}')
            elif kind == SEARCH:
                props.append(found[value])
            elif kind == PURCHASE:
                props.append(self._order(session, events["cart"][place].tolist()))
            elif kind == REFUND:
                order = f"order-{self.session_id(session)}"
                props.append(f',"props":{{"order_id":"{order}","value":"{prices[item]}","currency":"EUR"}}')
            else:
                props.append("")
        return props

    def _order(self, session: int, cart: list[int]) -> str:
        market = self._market
        taken = [item for item in cart if item != NOTHING]
        lines = [{"item_id": market.ids[item], "quantity": 1, "price": float(market.price[item])} for item in taken]
        order = {
            "order_id": f"order-{self.session_id(session)}",
            "items": orjson.dumps(lines).decode(),
            "value": f"{sum(float(market.price[item]) for item in taken):.2f}",
            "currency": "EUR",
        }
        return f',"props":{_json(order)}'


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
