from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.demo.shop import END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import Rows, begin
from rtp_monolith.demo.wishes import (
    DRIFT,
    DRIFT_AFTER_CART,
    FIRST_CHANCES,
    NEXT_CHANCES,
    STAY,
    SUCCESSORS,
    SWITCH,
    MarkovWishes,
    TasteWishes,
    wishes_of,
)

COUNT = 20_000


def visits_of(population: Population) -> Rows:
    who = np.arange(COUNT, dtype=np.int32) % len(population)
    return begin(who, np.arange(COUNT), np.full(COUNT, END_MS_DEFAULT))


def chances(width: int) -> np.ndarray:
    return np.random.default_rng(8).random((COUNT, width))


@pytest.fixture(scope="module")
def tasteful(items: list[Item]) -> Population:
    return Population(items, seed=3, shoppers=200)


@pytest.fixture(scope="module")
def chain(items: list[Item]) -> Population:
    return Population(items, seed=3, shoppers=200, setting="markov")


def test_the_setting_chooses_the_family(tasteful: Population, chain: Population) -> None:
    assert isinstance(wishes_of(tasteful), TasteWishes)
    assert isinstance(wishes_of(chain), MarkovWishes)


def test_first_wishes_come_mostly_from_the_favourites(tasteful: Population) -> None:
    visits = visits_of(tasteful)
    wanted = tasteful.market.category_of[TasteWishes(tasteful).first(visits, chances(FIRST_CHANCES))]
    traits = tasteful.traits[visits["shopper"]]
    own = ((traits["favourites"] == wanted[:, None]) & (traits["fondness"] > 0)).any(axis=1)
    assert 0.78 < own.mean() < 0.85


def test_a_wish_stays_drifts_within_the_department_or_switches(tasteful: Population) -> None:
    wishes, market = TasteWishes(tasteful), tasteful.market
    for carted, drift in ((False, DRIFT), (True, DRIFT_AFTER_CART)):
        visits = visits_of(tasteful)
        visits["intent"], visits["carted"] = 40, carted
        moved = wishes.next(visits, chances(NEXT_CHANCES))
        stays = moved == 40
        assert stays.mean() == pytest.approx(1 - SWITCH - drift, abs=0.015)
        home = market.department_of[market.category_of[40]]
        outside = market.department_of[market.category_of[moved]] != home
        assert 0.75 * SWITCH < outside.mean() <= SWITCH + 0.005
        same_category = (market.category_of[moved] == market.category_of[40]) & ~stays
        assert same_category.mean() == pytest.approx(drift / 2, abs=0.02)


def test_the_chain_follows_the_item_opened_last(chain: Population) -> None:
    wishes, market = MarkovWishes(chain), chain.market
    visits = visits_of(chain)
    last = 33
    visits["intent"], visits["last"], visits["opened"] = 90, last, True
    moved = market.category_of[wishes.next(visits, chances(NEXT_CHANCES))]
    successors = wishes.successors[market.category[last]]
    assert len(set(successors.tolist())) == len(SUCCESSORS) and market.category[last] not in successors
    shares = [(moved == category).mean() for category in (market.category[last], *successors)]
    assert shares == pytest.approx(np.array([STAY, *SUCCESSORS]) * 0.95, abs=0.02)


def test_the_chain_stands_still_when_nothing_was_opened(chain: Population) -> None:
    visits = visits_of(chain)
    visits["intent"] = 90
    moved = MarkovWishes(chain).next(visits, chances(NEXT_CHANCES))
    assert (moved == 90).mean() == pytest.approx(0.88, abs=0.01)


def test_the_chain_is_not_the_order_of_departments(chain: Population) -> None:
    owner = chain.market.department_of
    crosses = owner[MarkovWishes(chain).successors] != owner[:, None]
    assert crosses.mean() > 0.8


def test_the_hour_moves_first_wishes(chain: Population) -> None:
    wishes, market = MarkovWishes(chain), chain.market
    shares = []
    for hour in (4, 16):
        visits = visits_of(chain)
        visits["now_ms"] = hour * 3_600_000
        wanted = wishes.first(visits, chances(FIRST_CHANCES))
        shares.append(np.bincount(market.department_of[market.category_of[wanted]], minlength=12) / COUNT)
    assert np.abs(shares[0] - shares[1]).sum() > 0.3
