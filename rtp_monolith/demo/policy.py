"""The lists of a shop without personalization, which the generated log was made with.

Every row is drawn on its own: from the browsed aisle, its category or department, what is popular, or at random. So the
place of an item says nothing about how well it fits, and everybody is shown every item sometimes. A home
page may be blind: it goes by the item opened last, and before there is one by what is popular. From lists that know
what is wanted a ranker learns that whatever looks out of place must be wanted, so it is trained on a blind shop.
Invariant: a row is random with probability RANDOM_SHARE on every surface, or more where an aisle has too little to fill
its rows; nothing stands in a list twice. Knows nothing of tastes.
"""

from __future__ import annotations

import numpy as np

from rtp_monolith.demo.market import Floats, Ints, Market
from rtp_monolith.demo.visits import CATEGORY, FOUND, HOME, NOTHING, PRODUCT, SURFACES, Rows

LIST_LENGTH = 10
RANDOM_SHARE = 0.2
# Rows of the browsed aisle, its category and its department, by surface; the rest, but for the random ones, is popular.
BROWSED = {HOME: (0.16, 0.24, 0.06), CATEGORY: (0.3, 0.4, 0.04), FOUND: (0.45, 0.3, 0.03), PRODUCT: (0.3, 0.25, 0.1)}
# More rows are drawn than shown, since the same item comes twice; the last of them are random and fill what is missing.
DRAWN, DRAW_CHANCES, FILLING = 24, 3, 8

POPULAR = 4
"""Place of what is popular among the places a row is drawn from, after random, aisle, category and department."""
_SHARES = np.cumsum([[RANDOM_SHARE, *BROWSED[surface]] for surface in range(len(SURFACES))], axis=1)


def shop_lists(market: Market, visits: Rows, chance: Floats, *, blind_home: bool = False) -> Ints:
    """Item numbers (b, LIST_LENGTH), NOTHING where there are too few; chances (b, DRAWN, DRAW_CHANCES)."""
    arrived = market.arrived(visits["now_ms"])[:, None]
    # A category or a search says what is wanted; a product's page and a blind home page only know what was opened.
    surface = visits["surface"]
    told = (surface == CATEGORY) | (surface == FOUND) | ((surface == HOME) & (not blind_home))
    anchor = np.where(told, visits["intent"], market.aisle[visits["last"]])[:, None]
    category = market.category_of[anchor]
    source = (chance[:, :, :1] >= _SHARES[surface][:, None, :]).sum(axis=2)
    unknown = (~told & (visits["last"] == NOTHING))[:, None]
    source[unknown & (source > 0)] = POPULAR
    source[:, DRAWN - FILLING :] = 0
    place = chance[:, :, 1]
    drawn = np.choose(
        source,
        (
            market.any.draw(0, arrived, place),
            market.of_aisle.draw(anchor, arrived, place),
            market.of_category.draw(category, arrived, place),
            market.of_department.draw(market.department_of[category], arrived, place),
            market.popular.draw(0, arrived, place),
        ),
    )
    lists = distinct(drawn, LIST_LENGTH)
    # Small groups run out, so what came first was theirs: only now is the place of an item pure chance.
    order = np.argsort(np.where(lists == NOTHING, 1.0, chance[:, :LIST_LENGTH, 2]), axis=1, kind="stable")
    return np.take_along_axis(lists, order, axis=1)


def distinct(drawn: Ints, length: int) -> Ints:
    """The first `length` different items of each row (b, d), NOTHING after them."""
    same = drawn[:, :, None] == drawn[:, None, :]
    earlier = np.tril(np.ones((drawn.shape[1], drawn.shape[1]), dtype=bool), -1)
    fresh = (drawn != NOTHING) & ~(same & earlier).any(axis=2)
    order = np.argsort(~fresh, axis=1, kind="stable")[:, :length]
    return np.where(np.take_along_axis(fresh, order, axis=1), np.take_along_axis(drawn, order, axis=1), NOTHING)
