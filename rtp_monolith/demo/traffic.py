"""What the shoppers did: the log of a generated shop, written as it is made.

Visits are played in the order in which they begin, some thousand at a time, against the lists of `policy.py`; events
earlier than the next visits' beginning are final and go out. How many visits each part gets follows from how many
events the parts before it gave, so the count comes out exactly without keeping the log.
Invariant: exactly the asked number of events, in time order, the last one at `end_ms`, each id used once, memory
bounded by one part. Knows nothing of the shard that will read them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from rtp_monolith.demo import behaviour
from rtp_monolith.demo.calendar import Calendar
from rtp_monolith.demo.policy import DRAW_CHANCES, DRAWN, LIST_LENGTH, shop_lists
from rtp_monolith.demo.shop import END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population, Setting
from rtp_monolith.demo.visits import EVENT, Rows, begin, joined
from rtp_monolith.demo.wishes import Wishes, wishes_of
from rtp_monolith.demo.written import Pen

DAYS = 21
SHOPPERS_MIN, EVENTS_PER_SHOPPER = 900, 150
EVENTS_PER_VISIT = 23.0
PART_VISITS = 1500


def shoppers_for(events: int) -> int:
    """How many people a log of this size is of, unless told otherwise."""
    return max(SHOPPERS_MIN, events // EVENTS_PER_SHOPPER)


class Traffic:
    """The log of one population; iterate `parts` once for its events, then look at what they were.

    Equal arguments give equal events. Raises ValueError without shoppers.
    """

    def __init__(
        self,
        population: Population,
        events: int,
        *,
        end_ms: int = END_MS_DEFAULT,
        days: int = DAYS,
        recent_share: float = 0.0,
        shoppers: int | None = None,
        blind_home: bool = False,
    ) -> None:
        """Only the first `shoppers` of the population take part, all of them by default."""
        self.population = population
        self.events = events
        self.end_ms = end_ms
        self.calendar = Calendar(end_ms, days, recent_share)
        self.pen = Pen(population, f"s{population.seed}-")
        active = population.traits["activity"][: len(population) if shoppers is None else shoppers]
        if not len(active):
            raise ValueError("a log needs shoppers")
        self._activity = np.cumsum(active)
        self._blind_home = blind_home
        self._rng = np.random.default_rng([population.seed, 4])
        self._wishes = wishes_of(population)
        self._visits = 0
        self._made = 0

    def parts(self) -> Iterator[Rows]:
        """Events in time order, a part at a time."""
        if not self.events:
            return
        count = max(1, round(self.events / EVENTS_PER_VISIT / PART_VISITS))
        edges = np.linspace(0.0, 1.0, count + 1)
        open_events, left = np.zeros(0, dtype=EVENT), self.events
        for part in range(count - 1):
            planned = (self.events - self._made) / (count - part) / self._events_per_visit()
            events = joined([open_events, self._play(round(planned), edges[part], edges[part + 1])])
            final = int(np.searchsorted(events["ts_ms"], self.calendar.moment(edges[part + 1])))
            out, open_events = events[: min(final, left)], events[final:]
            left -= len(out)
            yield out
        if left:
            yield self._last(open_events, left, edges[-2])

    def _events_per_visit(self) -> float:
        """Measured so far; what is known beforehand counts like a hundred visits."""
        return (self._made + 100 * EVENTS_PER_VISIT) / (self._visits + 100)

    def _last(self, open_events: Rows, left: int, edge: float) -> Rows:
        """Exactly `left` events, the last at the end: whole visits are left out, and of one the rest of its events."""
        before = joined([open_events[open_events["ts_ms"] <= self.end_ms]])[:left]
        needed, first, fresh = left - len(before), self._visits, np.zeros(0, dtype=EVENT)
        while len(fresh) < needed:
            surplus = 20 + round(1.1 * (needed - len(fresh)) / self._events_per_visit())
            more = self._play(surplus, edge, 1.0)
            # What would happen after the end has not happened yet.
            fresh = joined([fresh, more[more["ts_ms"] <= self.end_ms]])
        # Visits in a random order, each with its events in theirs; the first so many events are kept.
        turn = self._rng.permutation(self._visits - first)
        fresh = fresh[np.argsort(turn[fresh["session"] - first], kind="stable")][:needed]
        events = joined([before, fresh])
        events["ts_ms"] += self.end_ms - events["ts_ms"][-1]
        return events

    def _play(self, count: int, low: float, high: float) -> Rows:
        """All events of `count` visits that begin between two quantiles of the calendar."""
        rng = self._rng
        moments = self.calendar.moment(low + (high - low) * np.sort(rng.random(count)))
        who = np.searchsorted(self._activity, rng.random(count) * self._activity[-1], side="right")
        visits = begin(who.astype(np.int32), np.arange(self._visits, self._visits + count), moments)
        events = joined(play(self.population, self._wishes, visits, rng, blind_home=self._blind_home))
        self._visits += count
        self._made += len(events)
        return events


def play(
    population: Population, wishes: Wishes, visits: Rows, rng: np.random.Generator, *, blind_home: bool = False
) -> list[Rows]:
    """Plays visits that have just begun to their ends, against the lists of the shop without personalization."""
    behaviour.arrive(population, wishes, visits, rng.random((len(visits), behaviour.ARRIVAL_CHANCES)))
    events: list[Rows] = []
    while len(visits):
        count = len(visits)
        events += behaviour.turn(population, wishes, visits, rng.random((count, behaviour.PAGE_CHANCES)))
        lists = shop_lists(population.market, visits, rng.random((count, DRAWN, DRAW_CHANCES)), blind_home=blind_home)
        places = rng.random((count, LIST_LENGTH, behaviour.PLACE_CHANCES))
        luck = rng.random((count, LIST_LENGTH, behaviour.ITEM_CHANCES))
        events.append(behaviour.look(population, visits, lists, places, luck))
        goes = behaviour.leaving(visits, rng.random((count, behaviour.LEAVING_CHANCES)))
        gone = visits[goes]
        events += behaviour.leave(population, gone, rng.random((len(gone), behaviour.END_CHANCES)))
        visits = visits[~goes]
    return events


def traffic_of(
    items: Sequence[Item],
    events: int = 60_000,
    *,
    seed: int = 7,
    end_ms: int = END_MS_DEFAULT,
    days: int = DAYS,
    recent_share: float = 0.0,
    shoppers: int | None = None,
    setting: Setting = "intent",
    blind_home: bool = False,
) -> Traffic:
    """The log of a fresh population. Raises ValueError without items."""
    people = shoppers_for(events) if shoppers is None else shoppers
    population = Population(items, seed=seed, shoppers=people, setting=setting)
    return Traffic(population, events, end_ms=end_ms, days=days, recent_share=recent_share, blind_home=blind_home)
