"""The people of the generated shop: what they like, what they are after now, and what they do about it.

A shopper has a lasting taste (categories, brands, colours, a price level) and, within a session, a hidden intent that
drifts to a neighbouring category or switches. Clicks follow the true `preference`, seen through position bias.
Invariant: one seed gives the same events, in time order, none after `end_ms`; nothing here reads the clock.
Knows nothing of the shard: it ranks nothing and shows lists by popularity and intent only.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import Random

import msgspec

from rtp_monolith.demo.shop import DAY_MS, Item

INTENT_GAIN = 1.5
TASTE_GAIN = 1.1
BRAND_GAIN = 0.7
COLOUR_GAIN = 0.5
PRICE_COST = 0.8
QUALITY_GAIN = 0.6
CLICK_BIAS = -3.4


class Shopper(msgspec.Struct, frozen=True):
    """Lasting taste. `taste` has one weight a category in [0, 1]; `price_level` is a log ratio to the usual price."""

    key: str
    taste: tuple[float, ...]
    taste_sums: tuple[float, ...]
    brands: frozenset[str]
    colours: frozenset[str]
    price_level: float
    activity: float
    signs_in: bool


class Market:
    """What shoppers know of the items: categories, relative prices, hidden quality, and popularity to draw from."""

    def __init__(self, items: Sequence[Item], rng: Random) -> None:
        self.items = items
        self.categories = sorted({item.categories[0] for item in items})
        number = {name: i for i, name in enumerate(self.categories)}
        self.category = [number[item.categories[0]] for item in items]
        self.department = [name.split(" > ")[0] for name in self.categories]
        self.quality = [rng.gauss(0, 1) for _ in items]
        self.members: list[list[int]] = [[] for _ in self.categories]
        for i, category in enumerate(self.category):
            self.members[category].append(i)
        self.neighbours = [
            [j for j, other in enumerate(self.department) if other == name and j != i]
            for i, name in enumerate(self.department)
        ]
        usual = [sorted(items[i].price for i in members)[len(members) // 2] for members in self.members]
        self.price = [math.log(item.price / usual[self.category[i]]) for i, item in enumerate(items)]
        weights = [math.exp(1.05 * self.quality[i]) if item.available else 0.0 for i, item in enumerate(items)]
        self.sums = list(accumulate(weights))
        self.member_sums = [list(accumulate(weights[i] for i in members)) for members in self.members]

    def draw(self, rng: Random, category: int | None = None) -> int:
        """An item by popularity, of one category or of all."""
        sums = self.sums if category is None else self.member_sums[category]
        place = bisect(sums, rng.random() * sums[-1])
        return min(place, len(sums) - 1) if category is None else self.members[category][min(place, len(sums) - 1)]


class Population:
    """The shoppers of one seed and their market; `preference` is the truth an experiment may compare with."""

    def __init__(self, items: Sequence[Item], *, seed: int = 7, shoppers: int = 900) -> None:
        if not items:
            raise ValueError("shoppers need items to look at")
        rng = Random(f"shoppers-{seed}")
        self.seed = seed
        self.market = Market(items, rng)
        self.shoppers = [_shopper(rng, self.market, index) for index in range(shoppers)]
        self.activity_sums = list(accumulate(shopper.activity for shopper in self.shoppers))

    def preference(self, shopper: Shopper, item: int, intent: int | None = None) -> float:
        """True probability that `shopper`, who is after category number `intent`, opens item number `item` when it is
        looked at; position plays no part in it."""
        market = self.market
        category = market.category[item]
        facts = market.items[item]
        score = CLICK_BIAS + TASTE_GAIN * shopper.taste[category] + QUALITY_GAIN * market.quality[item]
        if intent is not None:
            if category == intent:
                score += INTENT_GAIN
            elif market.department[category] == market.department[intent]:
                score += INTENT_GAIN * 0.3
        if facts.brand in shopper.brands:
            score += BRAND_GAIN
        if facts.attributes.get("color") in shopper.colours:
            score += COLOUR_GAIN
        score -= PRICE_COST * abs(market.price[item] - shopper.price_level)
        return 1.0 / (1.0 + math.exp(-score))

    def visitor(self, rng: Random) -> Shopper:
        """Somebody to start a session, the active ones more often."""
        return self.shoppers[bisect(self.activity_sums, rng.random() * self.activity_sums[-1])]


def _shopper(rng: Random, market: Market, index: int) -> Shopper:
    count = len(market.categories)
    taste = [0.05 * rng.random() for _ in range(count)]
    for favourite in rng.sample(range(count), rng.randint(2, 4)):
        taste[favourite] = 0.6 + 0.4 * rng.random()
        for neighbour in market.neighbours[favourite]:
            taste[neighbour] = max(taste[neighbour], 0.25 * rng.random())
    some = [market.items[rng.randrange(len(market.items))] for _ in range(10)]
    return Shopper(
        key=f"shopper-{index:04d}",
        taste=tuple(taste),
        taste_sums=tuple(accumulate(taste)),
        brands=frozenset(item.brand for item in some[:5]),
        colours=frozenset(str(item.attributes["color"]) for item in some[:3]),
        price_level=rng.gauss(0, 0.35),
        activity=rng.paretovariate(1.4),
        signs_in=rng.random() < 0.5,
    )


# How busy each hour of the day is; a shop sleeps with its town.
HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 8, 9, 11, 10, 8, 8, 9, 10, 12, 14, 16, 15, 10, 5)
HOUR_SUMS = tuple(accumulate(HOURS))
RECENT_SHARE = 0.12


def session_start(rng: Random, end_ms: int, days: int) -> int:
    """A moment of the last `days` days by the hours' business; some always fall into the last three hours, because a
    shop that opens now must have something going on now."""
    if rng.random() < RECENT_SHARE:
        return end_ms - int(rng.random() * 3 * 3_600_000)
    midnight = end_ms - end_ms % DAY_MS - rng.randrange(days) * DAY_MS
    hour = bisect(HOUR_SUMS, rng.random() * HOUR_SUMS[-1])
    start = midnight + hour * 3_600_000 + rng.randrange(3_600_000)
    return start if start < end_ms else start - DAY_MS
