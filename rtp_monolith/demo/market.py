"""What shoppers know of the items, as arrays: aisles, hidden quality, relative price, and lists to draw from.

An aisle is a style of a category (`Outdoor > Tents`, Storm): the finest thing a shopper can be after. Items are in the
order of their arrival, so the shop of a moment is a prefix of the arrays.
Invariant: nothing is drawn that is unavailable or has not arrived. Knows nothing of shoppers.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.demo.shop import Item
from rtp_monolith.demo.taxonomy import CATEGORIES

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

POPULARITY_SIGMA = 1.05
QUERIES = 4
# How strongly the hour of the day moves what people are in the mood for, by department.
MOOD_SWING = 0.7


class Market:
    """`n` items in `c` categories and `a` aisles; raises ValueError without items."""

    def __init__(self, items: Sequence[Item], rng: np.random.Generator) -> None:
        if not items:
            raise ValueError("shoppers need items to look at")
        if any(after.created_at < before.created_at for before, after in itertools.pairwise(items)):
            raise ValueError("items come in the order of their arrival")
        self.ids = [item.id for item in items]
        self.number = {item_id: n for n, item_id in enumerate(self.ids)}
        self.price = np.array([item.price for item in items])
        self.created = np.array([item.created_at for item in items], dtype=np.int64)
        available = np.array([item.available for item in items])
        self.categories = sorted({item.categories[0] for item in items})
        self.departments = sorted({name.split(" > ")[0] for name in self.categories})
        self.brands = sorted({item.brand for item in items})
        self.colours = sorted({str(item.attributes["color"]) for item in items})
        self.category = _numbers([item.categories[0] for item in items], self.categories)
        self.brand = _numbers([item.brand for item in items], self.brands)
        self.colour = _numbers([str(item.attributes["color"]) for item in items], self.colours)
        owner = [self.departments.index(name.split(" > ")[0]) for name in self.categories]
        self.department_of = np.array(owner, dtype=np.int32)
        self._lay_aisles(items)
        self.department = self.department_of[self.category]
        self.quality = rng.standard_normal(len(items))
        self.relative = self._relative_prices()
        weights = np.where(available, np.exp(POPULARITY_SIGMA * self.quality), 0.0)
        self.popular = Shelf(weights, np.zeros(len(items), dtype=np.int32), 1)
        self.any = Shelf(available.astype(np.float64), np.zeros(len(items), dtype=np.int32), 1)
        self.of_aisle = Shelf(weights, self.aisle, len(self.aisles))
        self.of_category = Shelf(weights, self.category, len(self.categories))
        self.of_department = Shelf(weights, self.department, len(self.departments))
        self.available = available
        self.mood = self._moods(weights, rng)
        self.queries = [query for name in self.aisles for query in _queries(*name)]

    def __len__(self) -> int:
        return len(self.ids)

    def arrived(self, moment_ms: Any) -> Any:
        """How many items there are at each moment; at least one, so that a shop is never empty."""
        return np.maximum(1, np.searchsorted(self.created, moment_ms, side="right"))

    def aisle_in(self, category: Ints, style: Ints) -> Ints:
        """The aisle of a category for any number from 0: styles are counted round."""
        return np.asarray(self.aisle_table[category, style % self.aisles_of[category]])

    def _lay_aisles(self, items: Sequence[Item]) -> None:
        names = [(item.categories[0], str(item.attributes["style"])) for item in items]
        self.aisles = sorted(set(names))
        self.aisle = _numbers(names, self.aisles)
        self.category_of = _numbers([category for category, _ in self.aisles], self.categories)
        self.aisles_of = np.bincount(self.category_of, minlength=len(self.categories)).astype(np.int32)
        first = np.cumsum(self.aisles_of) - self.aisles_of
        self.style_of = (np.arange(len(self.aisles)) - first[self.category_of]).astype(np.int32)
        self.aisle_table = np.full((len(self.categories), int(self.aisles_of.max())), -1, dtype=np.int32)
        self.aisle_table[self.category_of, self.style_of] = np.arange(len(self.aisles))

    def _relative_prices(self) -> Floats:
        """Log ratio of each price to the median of its category."""
        logs = np.log(self.price)
        usual = [float(np.median(logs[self.category == number])) for number in range(len(self.categories))]
        return np.asarray(logs - np.array(usual)[self.category])

    def _moods(self, weights: Floats, rng: np.random.Generator) -> Floats:
        """(24, c) cumulative shares of categories by the hour: popularity, moved by each department's own day."""
        shares = np.bincount(self.category, weights=weights + 1e-9, minlength=len(self.categories))
        peaks = rng.random(len(self.departments)) * 24
        hours = np.arange(24)[:, None]
        day = 1 + MOOD_SWING * np.cos((hours - peaks[None, :]) * np.pi / 12)
        moods = np.sqrt(shares)[None, :] * day[:, self.department_of]
        return np.asarray(np.cumsum(moods, axis=1) / moods.sum(axis=1, keepdims=True))


class Shelf:
    """Draws items by weight out of groups, of those that have arrived."""

    def __init__(self, weights: Floats, group: Ints, groups: int) -> None:
        order = np.argsort(group, kind="stable")
        self._items = order.astype(np.int32)
        self._sums = np.concatenate([[0.0], np.cumsum(weights[order])])
        self._size = len(weights)
        # Group and arrival in one ascending key: where the part of a group that has arrived ends is one search.
        self._keys = group[order].astype(np.int64) * self._size + order
        self._first = np.searchsorted(self._keys, np.arange(groups, dtype=np.int64) * self._size)

    def draw(self, group: Any, arrived: Any, chance: Floats) -> Ints:
        """One item number for each chance in [0, 1), -1 where the group has nothing yet; arguments are broadcast."""
        first = self._first[group]
        last = np.searchsorted(self._keys, np.asarray(group, dtype=np.int64) * self._size + arrived)
        low, high = self._sums[first], self._sums[last]
        # Rounding must not reach `high`: what lies there may be unavailable or not have arrived.
        at = np.minimum(low + chance * (high - low), np.nextafter(high, low))
        place = np.searchsorted(self._sums, at, side="right") - 1
        return np.where(high > low, self._items[np.clip(place, 0, self._size - 1)], -1)


def _numbers(names: Sequence[Any], known: Sequence[Any]) -> NDArray[np.int32]:
    number = {name: n for n, name in enumerate(known)}
    return np.array([number[name] for name in names], dtype=np.int32)


def _queries(path: str, style: str) -> tuple[str, ...]:
    """What somebody who is after an aisle types: from vague to exact, QUERIES of them."""
    found = next((category for category in CATEGORIES if category.path == path), None)
    nouns = found.nouns if found else (path.rpartition(" > ")[2],)
    name, first, last = path.rpartition(" > ")[2].lower(), nouns[0].lower(), nouns[-1].lower()
    return (name, f"{style.lower()} {first}", last, f"{style.lower()} {last}")
