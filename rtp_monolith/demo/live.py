"""Live shoppers: somebody of a population in front of any lists, a page at a time, with the truth beside.

The lists come from outside (a shard, a model, a test); what is done with them is the click model of the generated log.
Chance belongs to the seed, the shopper, the visit and the page, and within a page to rows and items, so two ways of
making lists are judged by the same people with the same luck, and an item is as lucky wherever it stands.
Invariant: equal arguments and equal lists give equal events; no network, no clock. Knows nothing of who makes lists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from rtp_monolith.demo import behaviour
from rtp_monolith.demo.market import Floats, Ints
from rtp_monolith.demo.policy import DRAW_CHANCES, DRAWN, shop_lists
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import CATEGORY, DEVICES, FOUND, NOTHING, PRODUCT, SEARCH, SURFACES, begin, joined
from rtp_monolith.demo.wishes import wishes_of
from rtp_monolith.demo.written import Pen

Event = dict[str, Any]

VISITS_PER_SHOPPER_MAX = 1_000


class Page(msgspec.Struct, frozen=True):
    """A list is wanted. `item_id` is the product looked at, `category` and `query` what is browsed or searched for;
    `events` happened before the list and are to be sent first."""

    surface: str
    session_id: str
    user_id: str | None
    device: str
    now_ms: int
    cart: tuple[str, ...]
    item_id: str | None
    category: str | None
    query: str | None
    events: list[Event]


class LiveShoppers:
    """The people of a population, ready to be shown lists; `seed` is the luck, not the people.

    `prefix` begins session ids and user ids, so that the same people can visit one shard several times as strangers.
    """

    def __init__(self, population: Population, *, seed: int, prefix: str = "") -> None:
        self.population = population
        self.seed = seed
        self.wishes = wishes_of(population)
        self.pen = Pen(population, f"{prefix}live{seed}-", users=f"{prefix}shopper-")

    def visit(self, shopper: int, number: int, start_ms: int) -> LiveVisit:
        """The `number`-th visit (from 0) of a shopper; raises ValueError beyond VISITS_PER_SHOPPER_MAX."""
        if not 0 <= number < VISITS_PER_SHOPPER_MAX:
            raise ValueError(f"a shopper visits at most {VISITS_PER_SHOPPER_MAX} times")
        return LiveVisit(self, shopper, number, start_ms)


class LiveVisit:
    """One visit: `turn` for the page that is wanted, `show` for the list it gets, until `over`."""

    def __init__(self, shoppers: LiveShoppers, shopper: int, number: int, start_ms: int) -> None:
        self._shoppers = shoppers
        self._population = shoppers.population
        self._market = shoppers.population.market
        self._stream = [shoppers.seed, 5, shopper, number]
        session = shopper * VISITS_PER_SHOPPER_MAX + number
        self._visit = begin(np.array([shopper], dtype=np.int32), np.array([session]), np.array([start_ms]))
        rng = np.random.default_rng([*self._stream, 0])
        behaviour.arrive(self._population, shoppers.wishes, self._visit, rng.random((1, behaviour.ARRIVAL_CHANCES)))
        self._rng = rng
        self.over = False

    @property
    def shopper(self) -> int:
        return int(self._visit["shopper"][0])

    @property
    def intent(self) -> int:
        """The aisle wanted at this moment."""
        return int(self._visit["intent"][0])

    @property
    def now_ms(self) -> int:
        return int(self._visit["now_ms"][0])

    def preference(self, ids: Sequence[str]) -> Floats:
        """The true preference at this moment for each item. Raises KeyError for an item the shop does not have."""
        return self._population.preference(self.shopper, self._numbers(ids), self.intent)

    def best(self, k: int) -> list[str]:
        """The `k` items that can be had now and are truly preferred, best first."""
        market = self._market
        there = np.flatnonzero(market.available[: int(market.arrived(self.now_ms))])
        worth = self._population.preference(self.shopper, there, self.intent)
        return [market.ids[item] for item in there[np.argsort(-worth, kind="stable")[:k]]]

    def listing(self, *, blind_home: bool = False) -> list[str]:
        """What the shop itself shows on the present page, as in the generated log: for pages that are not judged."""
        chance = np.random.default_rng([*self._stream, 1, int(self._visit["page"][0])]).random((1, DRAWN, DRAW_CHANCES))
        shown = shop_lists(self._market, self._visit, chance, blind_home=blind_home)[0]
        return [self._market.ids[item] for item in shown.tolist() if item != NOTHING]

    def turn(self) -> Page:
        """Goes on to the next page. Raises ValueError when the visit is over."""
        if self.over:
            raise ValueError("the visit is over")
        visit = self._visit
        self._rng = np.random.default_rng([*self._stream, 2 + int(visit["page"][0])])
        chance = self._rng.random((1, behaviour.PAGE_CHANCES))
        before = joined(behaviour.turn(self._population, self._shoppers.wishes, visit, chance))
        market, surface, user = self._market, int(visit["surface"][0]), int(visit["user"][0])
        searched = before["value"][before["kind"] == SEARCH]
        return Page(
            surface=SURFACES[surface],
            session_id=self._shoppers.pen.session_id(int(visit["session"][0])),
            user_id=None if user == NOTHING else self._shoppers.pen.user_id(user),
            device=DEVICES[int(visit["device"][0])],
            now_ms=self.now_ms,
            cart=tuple(market.ids[item] for item in visit["cart"][0].tolist() if item != NOTHING),
            item_id=market.ids[int(visit["last"][0])] if surface == PRODUCT else None,
            category=market.categories[int(market.category_of[self.intent])] if surface == CATEGORY else None,
            query=market.queries[int(searched[0])] if surface == FOUND else None,
            events=self._written(before, None),
        )

    def show(self, ids: Sequence[str], request_id: str | None = None) -> list[Event]:
        """What the shopper does with a list, up to leaving, as events of the contract in their order.

        `request_id` is the one that made the list. Raises KeyError for an item the shop does not have.
        """
        visit, rng, items = self._visit, self._rng, self._numbers(ids)
        leaving = rng.random((1, behaviour.LEAVING_CHANCES))
        ending = rng.random((1, behaviour.END_CHANCES))
        luck = rng.random((len(self._market), behaviour.ITEM_CHANCES))
        places = rng.random((len(items), behaviour.PLACE_CHANCES))
        happened = [behaviour.look(self._population, visit, items[None, :], places[None], luck[items][None])]
        if behaviour.leaving(visit, leaving)[0]:
            happened += behaviour.leave(self._population, visit, ending)
            self.over = True
        return self._written(joined(happened), request_id)

    def _numbers(self, ids: Sequence[str]) -> Ints:
        return np.array([self._market.number[item] for item in ids], dtype=np.int32)

    def _written(self, events: Any, request_id: str | None) -> list[Event]:
        written = [orjson.loads(line) for line in self._shoppers.pen.lines(events)]
        if request_id is not None:
            for event in written:
                if "request_id" in event:
                    event["request_id"] = request_id
        return written


def play(visit: LiveVisit, lists: Callable[[Page], Sequence[str]]) -> list[Event]:
    """Plays a whole visit against a function that makes lists of ids; all its events."""
    events: list[Event] = []
    while not visit.over:
        page = visit.turn()
        events += page.events
        events += visit.show(lists(page))
    return events
