"""How what a shopper is after comes and goes: two families of one interface.

`intent`: drawn from a lasting taste and the mood of the hour, drifts to a neighbour, switches, and moves on sooner once
something went into the cart. `markov`: a sparse chain over categories, led by the item opened last; nothing lasts.
Invariant: the same chances move the same visit in the same way, and how many are used does not depend on what happens.
Knows nothing of lists or clicks, only what was opened last.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rtp_monolith.demo.market import Floats, Ints, Market
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import Rows

FIRST_CHANCES, NEXT_CHANCES = 4, 8
HOUR_MS = 3_600_000

FROM_TASTE, BY_HABIT = 0.78, 0.6
SWITCH, DRIFT, DRIFT_AFTER_CART = 0.07, 0.16, 0.5
SAME_CATEGORY = 0.5

# A category follows itself, or one of four others.
STAY, SUCCESSORS = 0.35, (0.28, 0.18, 0.12, 0.07)
LEAP, LEAP_UNMOVED, SAME_STYLE = 0.05, 0.12, 0.7


class Wishes(Protocol):
    """Aisles (b,) for visits (b,): from chances (b, FIRST_CHANCES) at the start, (b, NEXT_CHANCES) before a list."""

    def first(self, visits: Rows, chance: Floats) -> Ints: ...
    def next(self, visits: Rows, chance: Floats) -> Ints: ...


def wishes_of(population: Population) -> Wishes:
    """Those of the population's setting."""
    return MarkovWishes(population) if population.setting == "markov" else TasteWishes(population)


class TasteWishes:
    """Setting `intent`."""

    def __init__(self, population: Population) -> None:
        self._traits = population.traits
        self._market = population.market
        owner = population.market.department_of
        # Categories are sorted by path, so those of a department are neighbours in number too.
        self._first_of = np.searchsorted(owner, owner, side="left")
        self._count_of = np.bincount(owner)[owner]

    def first(self, visits: Rows, chance: Floats) -> Ints:
        market, traits = self._market, self._traits[visits["shopper"]]
        sums = np.cumsum(traits["fondness"], axis=1)
        pick = (sums <= chance[:, 1:2] * sums[:, -1:]).sum(axis=1)
        rows = np.arange(len(visits))
        category, habit = traits["favourites"][rows, pick], traits["habits"][rows, pick]
        style = np.where(chance[:, 3] < BY_HABIT, habit, _digit(chance[:, 2], 64))
        own = market.aisle_in(category, style)
        return np.where(chance[:, 0] < FROM_TASTE, own, _by_mood(market, visits, chance[:, 1], chance[:, 2]))

    def next(self, visits: Rows, chance: Floats) -> Ints:
        move = chance[:, 0]
        drift = np.where(visits["carted"], DRIFT_AFTER_CART, DRIFT)
        moved = np.where(move < SWITCH + drift, self._beside(visits["intent"], chance), visits["intent"])
        return np.where(move < SWITCH, self.first(visits, chance[:, 4:]), moved)

    def _beside(self, intent: Ints, chance: Floats) -> Ints:
        """Another style of the category, or a category of the department."""
        market = self._market
        category = market.category_of[intent]
        styles = market.aisles_of[category]
        step = 1 + _digit(chance[:, 2], np.maximum(1, styles - 1))
        style = market.aisle_in(category, market.style_of[intent] + step)
        first, count = self._first_of[category], self._count_of[category]
        other = first + (category - first + 1 + _digit(chance[:, 2], np.maximum(1, count - 1))) % count
        return np.where(chance[:, 1] < SAME_CATEGORY, style, market.aisle_in(other, _digit(chance[:, 3], 64)))


class MarkovWishes:
    """Setting `markov`: `successors` (c, 4) are the others that may follow a category, likeliest first."""

    def __init__(self, population: Population) -> None:
        self._market = market = population.market
        rng = np.random.default_rng([population.seed, 3])
        count = len(market.categories)
        order = np.argsort(rng.random((count, count)) + 2.0 * np.eye(count), axis=1)
        self.successors = order[:, np.arange(len(SUCCESSORS)) % count]

    def first(self, visits: Rows, chance: Floats) -> Ints:
        return _by_mood(self._market, visits, chance[:, 1], chance[:, 2])

    def next(self, visits: Rows, chance: Floats) -> Ints:
        market = self._market
        last = market.category[visits["last"]]
        follow = np.searchsorted(np.cumsum((STAY, *SUCCESSORS))[:-1], chance[:, 1], side="right")
        category = np.where(follow == 0, last, self.successors[last, follow - 1])
        style = np.where(chance[:, 3] < SAME_STYLE, market.style_of[visits["intent"]], _digit(chance[:, 2], 64))
        led = np.where(visits["opened"], market.aisle_in(category, style), visits["intent"])
        leaps = chance[:, 0] < np.where(visits["opened"], LEAP, LEAP_UNMOVED)
        return np.where(leaps, self.first(visits, chance[:, 4:]), led)


def _digit(chance: Floats, count: Any) -> Ints:
    return np.asarray(chance * count).astype(np.int32)


def _by_mood(market: Market, visits: Rows, which: Floats, style: Floats) -> Ints:
    """What people are in the mood for at this hour (UTC)."""
    sums = market.mood[visits["now_ms"] // HOUR_MS % 24]
    category = np.minimum((sums <= which[:, None]).sum(axis=1), len(market.categories) - 1)
    return market.aisle_in(category, _digit(style, 64))
