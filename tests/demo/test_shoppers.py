from __future__ import annotations

from collections import Counter
from random import Random

import msgspec
import pytest

from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item, generate_items
from rtp_monolith.demo.shoppers import Population, session_start


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return generate_items(600)


@pytest.fixture(scope="module")
def population(items: list[Item]) -> Population:
    return Population(items, seed=3, shoppers=100)


def test_one_seed_gives_the_same_shoppers(items: list[Item], population: Population) -> None:
    assert Population(items, seed=3, shoppers=100).shoppers == population.shoppers
    assert Population(items, seed=4, shoppers=100).shoppers != population.shoppers


def test_preference_is_a_probability_that_grows_with_intent_and_taste(population: Population) -> None:
    market = population.market
    for shopper in population.shoppers[:20]:
        favourite = max(range(len(market.categories)), key=lambda c: shopper.taste[c])
        item = market.members[favourite][0]
        without, wanted = population.preference(shopper, item), population.preference(shopper, item, favourite)
        assert 0 < without < wanted < 1
        stranger = next(
            c for c in range(len(market.categories)) if market.department[c] != market.department[favourite]
        )
        assert population.preference(shopper, item, stranger) == without
        neighbour = market.neighbours[favourite][0]
        assert without < population.preference(shopper, item, neighbour) < wanted


def test_a_liked_brand_and_a_fitting_price_raise_the_preference(population: Population) -> None:
    market = population.market
    shopper = population.shoppers[0]
    item = market.members[0][0]
    brand = market.items[item].brand
    plain = Population.preference

    fan = msgspec.structs.replace(shopper, brands=frozenset({brand}))
    stranger = msgspec.structs.replace(shopper, brands=frozenset())
    assert plain(population, fan, item) > plain(population, stranger, item)
    fitting = msgspec.structs.replace(shopper, price_level=market.price[item])
    rich = msgspec.structs.replace(shopper, price_level=market.price[item] + 2)
    assert plain(population, fitting, item) > plain(population, rich, item)


def test_a_tenth_of_the_items_gets_a_large_part_of_the_looks(population: Population) -> None:
    rng = Random(1)
    looks = Counter(population.market.draw(rng) for _ in range(20_000))
    top = sum(count for _, count in looks.most_common(60))
    assert 0.3 < top / 20_000 < 0.7


def test_unavailable_items_are_never_drawn(items: list[Item], population: Population) -> None:
    rng = Random(2)
    drawn = {population.market.draw(rng) for _ in range(20_000)}
    assert all(items[i].available for i in drawn)


def test_a_category_draw_stays_in_the_category(population: Population) -> None:
    rng = Random(3)
    assert {population.market.category[population.market.draw(rng, 5)] for _ in range(200)} == {5}


def test_sessions_start_in_the_window_and_sleep_at_night() -> None:
    rng = Random(4)
    starts = [session_start(rng, END_MS_DEFAULT, 14) for _ in range(8000)]
    assert max(starts) <= END_MS_DEFAULT
    assert min(starts) >= END_MS_DEFAULT - 16 * DAY_MS
    hours = Counter(start % DAY_MS // 3_600_000 for start in starts if start < END_MS_DEFAULT - DAY_MS)
    assert hours[20] > 6 * hours[3]


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="need items"):
        Population([])
