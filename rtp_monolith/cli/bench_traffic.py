"""What the load consists of: a catalogue, visitors with a past, and the requests they make.

Invariant: the same seed and sizes give the same bytes, times and the run's own prefix of ids apart; every event is
valid and no event id is used twice. It does not know how requests are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

import msgspec

from rtp_monolith.cli.bench_client import Address

DEPARTMENTS, SHELVES = 20, 10
BRANDS = 400
ITEMS_PER_PUT = 1_000
BATCH_EVENTS = 100
CLICKS_PER_VISIT = 4
TEMPLATES_MAX = 1_000
# (type, share in percent, props besides the context); each names an item, a search the one it was typed beside.
MIX: tuple[tuple[str, int, dict[str, str]], ...] = (
    ("impression", 38, {}),
    ("click", 26, {"referrer": "home"}),
    ("view", 9, {}),
    ("dwell", 8, {"dwell_ms": "18250"}),
    ("scroll", 5, {"depth_pct": "65"}),
    ("search", 4, {"query": "green running shoes"}),
    ("add_to_cart", 5, {"quantity": "1"}),
    ("remove_from_cart", 1, {}),
    ("purchase", 2, {"price": "39.90", "quantity": "1", "currency": "EUR", "value": "39.90"}),
    ("like", 2, {}),
)
DEVICES = ("phone", "phone", "phone", "desktop", "desktop", "tablet")
COUNTRIES = ("DE", "DE", "DE", "FR", "NL", "AT", "PL", "IT", "ES", "SE")

_encode = msgspec.json.encode


class Catalogue:
    """`count` items on 200 shelves; a few items of each shelf are asked for most of the time."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count = count
        self._rng = Random(f"catalogue-{seed}")
        self.shelves = min(DEPARTMENTS * SHELVES, max(1, count // 5))

    def id(self, number: int) -> str:
        return f"item-{number}"

    def shelf(self, rng: Random, shelf: int) -> int:
        """An item of a shelf, popular ones more often."""
        size = max(1, self.count // self.shelves)
        rank = int(size * rng.random() ** 3)
        return (rank * self.shelves + shelf) % self.count

    def items(self, now_ms: int) -> Iterator[dict[str, Any]]:
        rng = self._rng
        for number in range(self.count):
            shelf = number % self.shelves
            department = shelf // SHELVES
            yield {
                "id": self.id(number),
                "title": f"Item {number} of shelf {shelf}",
                "categories": [f"department {department} > shelf {shelf}"],
                "brand": f"brand {rng.randrange(BRANDS)}",
                "price": round(rng.lognormvariate(3.4, 0.8), 2),
                "currency": "EUR",
                "available": rng.random() > 0.03,
                "created_at": now_ms - rng.randrange(400 * 86_400_000),
                "attributes": {"colour": f"colour {rng.randrange(24)}", "material": f"material {rng.randrange(40)}"},
            }

    def requests(self, address: Address, now_ms: int) -> Iterator[bytes]:
        part: list[dict[str, Any]] = []
        for item in self.items(now_ms):
            part.append(item)
            if len(part) == ITEMS_PER_PUT:
                yield address.request("PUT", "/v1/items", _encode(part))
                part = []
        if part:
            yield address.request("PUT", "/v1/items", _encode(part))


class Visitors:
    """`count` visitors with one visit each; every second one is signed in."""

    def __init__(self, count: int, prefix: str) -> None:
        self.count = count
        self._prefix = prefix

    def session_id(self, number: int) -> str:
        return f"{self._prefix}-s{number}"

    def user_id(self, number: int) -> str | None:
        return f"{self._prefix}-u{number}" if number % 2 == 0 else None

    def who(self, number: int) -> dict[str, str]:
        user_id = self.user_id(number)
        named = {"session_id": self.session_id(number)}
        return named if user_id is None else {**named, "user_id": user_id}

    def list_request(self, address: Address, number: int, k: int = 20, surface: str = "home") -> bytes:
        body = {"surface": surface, **self.who(number), "k": k}
        return address.request("POST", "/v1/recommend", _encode(body))

    def past(self, address: Address, catalogue: Catalogue, now_ms: int, seed: int = 0) -> Iterator[bytes]:
        """The visit of each: clicks on two shelves, some of it added to the cart and bought."""
        rng = Random(f"past-{seed}")
        events: list[dict[str, Any]] = []
        for number in range(self.count):
            events.extend(self._visit(rng, catalogue, number, now_ms))
            if len(events) >= 5 * BATCH_EVENTS:
                yield address.request("POST", "/v1/events", _encode(events))
                events = []
        if events:
            yield address.request("POST", "/v1/events", _encode(events))

    def _visit(self, rng: Random, catalogue: Catalogue, number: int, now_ms: int) -> Iterator[dict[str, Any]]:
        started_ms = now_ms - 600_000 - rng.randrange(3_000_000)
        shelves = (rng.randrange(catalogue.shelves), rng.randrange(catalogue.shelves))
        props = {"device": rng.choice(DEVICES), "country": rng.choice(COUNTRIES), "channel": "web"}
        for step in range(CLICKS_PER_VISIT):
            event_type = "click"
            if step == CLICKS_PER_VISIT - 1 and rng.random() < 0.1:
                event_type = "purchase"
            item = catalogue.shelf(rng, shelves[step * 2 // CLICKS_PER_VISIT])
            yield {
                "event_id": f"past-{number}-{step}",
                **self.who(number),
                "event_type": event_type,
                "item_id": catalogue.id(item),
                "ts_ms": started_ms + step * 20_000,
                "props": props,
                "schema_version": 2,
            }


class Batches:
    """An endless supply of `POST /v1/events` with `size` events each, made by joining prepared parts.

    Users, types and props are prepared; event ids, items and times are put in for each request.
    """

    _WIDTH = 7
    """Parts of one event: opening, serial, index, item, name of the time, time, the rest."""

    def __init__(
        self,
        address: Address,
        catalogue: Catalogue,
        visitors: Visitors,
        size: int,
        wall_ms: Callable[[], int],
        run: str,
    ) -> None:
        rng = Random("batches")
        self._head = address.head("POST", "/v1/events")
        self._size = size
        self._wall_ms = wall_ms
        self._run = run
        self._serial = 0
        self._item_at = 0
        shelves = catalogue.shelves
        self._items = [_encode(catalogue.id(catalogue.shelf(rng, rng.randrange(shelves)))) for _ in range(50_021)]
        count = max(1, min(visitors.count // size, TEMPLATES_MAX))
        self._templates = [self._template(rng, visitors, n * size) for n in range(count)]

    def _template(self, rng: Random, visitors: Visitors, first: int) -> list[bytes]:
        parts: list[bytes] = []
        types = rng.choices(MIX, [share for _, share, _ in MIX], k=self._size)
        for n, (event_type, _, props) in enumerate(types):
            context = {"device": rng.choice(DEVICES), "country": rng.choice(COUNTRIES), "channel": "web"}
            who = visitors.who((first + n) % visitors.count)
            rest = _encode({**who, "event_type": event_type, "props": {**context, **props}, "schema_version": 2})
            opening = f'{"," if n else "["}{{"event_id":"{self._run}-'
            parts += [opening.encode(), b"", b'-%d","item_id":' % n, b"", b',"ts_ms":', b"", b"," + rest[1:]]
        return [*parts, b"]"]

    def next(self) -> bytes:
        """One request, head included."""
        self._serial += 1
        size = self._size
        parts = self._templates[self._serial % len(self._templates)]
        if self._item_at + size > len(self._items):
            self._item_at = 0
        parts[1 : -1 : self._WIDTH] = [b"%d" % self._serial] * size
        parts[3 : -1 : self._WIDTH] = self._items[self._item_at : self._item_at + size]
        parts[5 : -1 : self._WIDTH] = [b"%d" % self._wall_ms()] * size
        self._item_at += size
        body = b"".join(parts)
        return b"%b%d\r\n\r\n%b" % (self._head, len(body), body)


def body_of(request: bytes) -> bytes:
    """What follows the head."""
    return request[request.index(b"\r\n\r\n") + 4 :]


def mean_length(requests: Sequence[bytes]) -> float:
    return sum(map(len, requests)) / max(1, len(requests))
