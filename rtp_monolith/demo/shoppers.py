"""The people of the generated shop: what they like, and how that makes them open, take and buy.

A shopper has a lasting taste (categories, brands, colours, a price level); what is wanted at a moment is an aisle, the
intent. `Population.preference` is the truth that experiments and simulations compare with.
Invariant: a shopper's traits depend on the seed, the shop and the shopper's number alone, so a larger population only
adds people; what the traits of those beyond a log are worth can be measured on people the log has never seen.
Knows nothing of lists, positions, sessions or time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from rtp_monolith.demo.market import Floats, Ints, Market
from rtp_monolith.demo.shop import Item

Setting = Literal["intent", "markov"]
NO_INTENT = -1

FAVOURITES = 4
BLOCK = 1024
ACTIVITY_MAX = 30.0


class Weights(msgspec.Struct, frozen=True):
    """What a true preference is made of: terms of a log-odds. The defaults are those of setting `intent`."""

    bias: float = -4.7
    aisle: float = 5.2
    category: float = 3.4
    department: float = 0.5
    taste: float = 1.3
    brand: float = 0.7
    colour: float = 0.5
    quality: float = 0.5
    price: float = 0.8
    # Of the log-odds to take what was opened, and to buy what was taken.
    cart_bias: float = -1.3
    cart_liking: float = 0.45
    cart_price: float = 1.5
    buy_bias: float = 0.4
    buy_price: float = 1.8


# Nobody in `markov` has a taste: what is wanted next depends on what was opened last, and on nothing that lasts.
WEIGHTS: dict[Setting, Weights] = {
    "intent": Weights(),
    "markov": Weights(bias=-4.5, aisle=5.5, category=3.8, department=0.0, taste=0.0, brand=0.0, colour=0.0),
}

TRAITS = np.dtype(
    [
        ("favourites", "i4", (FAVOURITES,)),  # categories
        ("fondness", "f8", (FAVOURITES,)),  # 0..1 for each of them
        ("habits", "i4", (FAVOURITES,)),  # the style looked for first in each of them
        ("brands", "i4", (FAVOURITES,)),
        ("colours", "i4", (3,)),
        ("price_level", "f8"),  # log ratio to the usual price of a category
        ("activity", "f8"),  # how many sessions, relative to others
        ("signs_in", "?"),
    ]
)


class Population:
    """`shoppers` people of one seed and the market they visit. Raises ValueError without items."""

    def __init__(
        self, items: Sequence[Item], *, seed: int = 7, shoppers: int = 900, setting: Setting = "intent"
    ) -> None:
        self.seed = seed
        self.setting: Setting = setting
        self.weights = WEIGHTS[setting]
        self.market = Market(items, np.random.default_rng([seed, 1]))
        blocks = [self._block(number) for number in range(-(-shoppers // BLOCK))]
        self.traits = np.concatenate(blocks)[:shoppers] if blocks else np.zeros(0, dtype=TRAITS)

    def __len__(self) -> int:
        return len(self.traits)

    def preference(self, shopper: Any, item: Any, intent: Any = NO_INTENT) -> Floats:
        """True probability that a shopper who is after the aisle `intent` opens an item when looking at it.

        Numbers of shoppers, items and aisles, broadcast against each other; `NO_INTENT` is nothing in particular.
        Position plays no part in it.
        """
        return sigmoid(self._liking(np.asarray(shopper), np.asarray(item), np.asarray(intent)))

    def cart_chance(self, shopper: Any, item: Any, intent: Any = NO_INTENT) -> Floats:
        """True probability that an opened item goes into the cart: liking helps, a price that does not fit hurts."""
        weights = self.weights
        liking = self._liking(np.asarray(shopper), np.asarray(item), np.asarray(intent))
        misfit = self._misfit(np.asarray(shopper), np.asarray(item))
        return sigmoid(weights.cart_bias + weights.cart_liking * liking - weights.cart_price * misfit)

    def buy_chance(self, shopper: Any, item: Any) -> Floats:
        """True probability that a cart with this item alone is paid for; of several items the mean price fit counts."""
        return self.buy_chance_of(self._misfit(np.asarray(shopper), np.asarray(item)))

    def buy_chance_of(self, misfit: Any) -> Floats:
        """The same from the mean misfit of a cart's prices."""
        return sigmoid(self.weights.buy_bias - self.weights.buy_price * np.asarray(misfit))

    def cart_misfit(self, shopper: Ints, cart: Ints) -> Floats:
        """Mean price misfit of each cart: (b,) from shoppers (b,) and items (b, m), -1 where a cart has no more."""
        taken = cart >= 0
        each = np.where(taken, self._misfit(shopper[:, None], np.maximum(cart, 0)), 0.0)
        return np.asarray(each.sum(axis=1) / np.maximum(1, taken.sum(axis=1)))

    def _misfit(self, shopper: Ints, item: Ints) -> Floats:
        level = self.traits["price_level"][shopper] if self.setting == "intent" else 0.0
        return np.asarray(np.abs(self.market.relative[item] - level))

    def _liking(self, shopper: Ints, item: Ints, intent: Ints) -> Floats:
        market, weights = self.market, self.weights
        category, aisle = market.category[item], market.aisle[item]
        wanted = market.category_of[intent]
        same_category = category == wanted
        same_department = market.department_of[category] == market.department_of[wanted]
        match = np.where(same_category, weights.category, weights.department * same_department)
        match = np.where(aisle == intent, weights.aisle, match)
        liking = weights.bias + np.where(intent >= 0, match, 0.0)
        liking = liking + weights.quality * market.quality[item] - weights.price * self._misfit(shopper, item)
        if weights.taste or weights.brand or weights.colour:
            traits = self.traits[shopper]
            same = traits["favourites"] == category[..., None]
            taste = np.max(np.where(same, traits["fondness"], 0.0), axis=-1)
            liking = liking + weights.taste * taste
            liking = liking + weights.brand * (traits["brands"] == market.brand[item][..., None]).any(axis=-1)
            liking = liking + weights.colour * (traits["colours"] == market.colour[item][..., None]).any(axis=-1)
        return np.asarray(liking)

    def _block(self, number: int) -> Any:
        """The traits of BLOCK people: whole blocks are drawn, so that nobody depends on how many there are."""
        rng, market = np.random.default_rng([self.seed, 2, number]), self.market
        traits = np.zeros(BLOCK, dtype=TRAITS)
        count = len(market.categories)
        order = np.argsort(rng.random((BLOCK, count)), axis=1)
        chosen = order[:, np.arange(FAVOURITES) % count]
        fondness = 0.55 + 0.45 * rng.random((BLOCK, FAVOURITES))
        # Two to four real favourites; the rest are there and weigh nothing.
        real = np.arange(FAVOURITES) < 2 + (rng.random((BLOCK, 1)) * 3).astype(np.int32)
        traits["favourites"] = chosen
        traits["fondness"] = np.where(real, fondness, 0.0)
        traits["habits"] = (rng.random((BLOCK, FAVOURITES)) * 64).astype(np.int32)
        # A brand of each favourite's department: the maker of an item of it.
        makers = market.of_department.draw(market.department_of[chosen], len(market), rng.random((BLOCK, FAVOURITES)))
        traits["brands"] = np.where(makers >= 0, market.brand[makers], -1)
        traits["colours"] = (rng.random((BLOCK, 3)) * len(market.colours)).astype(np.int32)
        traits["price_level"] = 0.45 * rng.standard_normal(BLOCK)
        traits["activity"] = np.minimum(ACTIVITY_MAX, (1 - rng.random(BLOCK)) ** (-1 / 1.4))
        traits["signs_in"] = rng.random(BLOCK) < 0.5
        return traits


def sigmoid(value: Any) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-value)))
