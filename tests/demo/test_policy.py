from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.demo.policy import DRAW_CHANCES, DRAWN, LIST_LENGTH, RANDOM_SHARE, distinct, shop_lists
from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import CATEGORY, HOME, NOTHING, PRODUCT, SURFACES, Rows, begin

COUNT = 4000


@pytest.fixture(scope="module")
def population(items: list[Item]) -> Population:
    return Population(items, seed=3, shoppers=10)


def visits_on(surface: int, *, now_ms: int = END_MS_DEFAULT) -> Rows:
    visits = begin(np.zeros(COUNT, dtype=np.int32), np.arange(COUNT), np.full(COUNT, now_ms))
    visits["intent"], visits["last"], visits["surface"] = 20, 5, surface
    return visits


def lists_on(population: Population, visits: Rows, *, blind_home: bool = False) -> np.ndarray:
    chance = np.random.default_rng(2).random((COUNT, DRAWN, DRAW_CHANCES))
    return np.asarray(shop_lists(population.market, visits, chance, blind_home=blind_home))


def test_the_first_different_items_in_their_order() -> None:
    drawn = np.array([[4, 4, 2, NOTHING, 4, 9, 1], [7, 7, 7, 7, 7, 7, 7]])
    assert distinct(drawn, 3).tolist() == [[4, 2, 9], [7, NOTHING, NOTHING]]


@pytest.mark.parametrize("surface", range(len(SURFACES)))
def test_lists_are_full_have_nothing_twice_and_a_fifth_of_them_is_random(population: Population, surface: int) -> None:
    lists, market = lists_on(population, visits_on(surface)), population.market
    assert lists.shape == (COUNT, LIST_LENGTH)
    assert all(len(set(row) - {NOTHING}) == LIST_LENGTH - row.count(NOTHING) for row in lists[:500].tolist())
    assert (lists != NOTHING).mean() > 0.998
    # What no other source would show: the least popular items, elsewhere in the shop.
    rare = market.available & (market.quality < -1.3) & (market.department != market.department[5])
    rare &= market.department != market.department_of[market.category_of[20]]
    share = np.isin(lists, np.flatnonzero(rare)).mean()
    even = rare.sum() / market.available.sum()
    assert share >= 0.9 * RANDOM_SHARE * even


def test_place_says_nothing_about_fit(population: Population) -> None:
    lists, market = lists_on(population, visits_on(HOME)), population.market
    fits = (market.category[lists] == market.category_of[20]).mean(axis=0)
    assert fits.max() - fits.min() < 0.05
    assert 0.2 < fits.mean() < 0.5


def test_a_blind_home_page_does_not_know_the_wish(population: Population) -> None:
    market, visits = population.market, visits_on(HOME)
    visits["intent"] = np.arange(COUNT) % len(market.aisles)
    opened = lists_on(population, visits, blind_home=True)
    assert (opened == lists_on(population, visits_on(HOME), blind_home=True)).all(), "only what was opened counts"
    visits["last"] = NOTHING
    before = lists_on(population, visits, blind_home=True)
    alike = np.sort(market.quality[before[before != NOTHING]])
    assert alike.mean() > market.quality.mean() + 0.5, "before anything was opened, what is popular"


def test_a_product_page_is_about_the_product_and_a_category_page_about_the_wish(population: Population) -> None:
    market = population.market
    about = market.category[lists_on(population, visits_on(PRODUCT))] == market.category[5]
    browsed = market.category[lists_on(population, visits_on(CATEGORY))] == market.category_of[20]
    assert about.mean() > 0.35 and browsed.mean() > 0.4


def test_only_what_has_arrived_is_shown(population: Population) -> None:
    moment = END_MS_DEFAULT - 60 * DAY_MS
    lists = lists_on(population, visits_on(HOME, now_ms=moment))
    assert population.market.created[lists[lists != NOTHING]].max() <= moment
