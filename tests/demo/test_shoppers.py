from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.demo.shop import Item
from rtp_monolith.demo.shoppers import NO_INTENT, WEIGHTS, Population


@pytest.fixture(scope="module")
def population(items: list[Item]) -> Population:
    return Population(items, seed=3, shoppers=100)


def plain_preference(population: Population, shopper: int, item: int, intent: int) -> float:
    """The same truth in plain words, one item at a time."""
    market, weights, traits = population.market, population.weights, population.traits[shopper]
    category = market.category[item]
    liking = weights.bias + weights.quality * market.quality[item]
    if intent != NO_INTENT:
        wanted = market.category_of[intent]
        if market.aisle[item] == intent:
            liking += weights.aisle
        elif category == wanted:
            liking += weights.category
        elif market.department_of[category] == market.department_of[wanted]:
            liking += weights.department
    level = traits["price_level"] if population.setting == "intent" else 0.0
    liking -= weights.price * abs(market.relative[item] - level)
    fond = [f for c, f in zip(traits["favourites"], traits["fondness"], strict=True) if c == category]
    liking += weights.taste * max(fond, default=0.0)
    liking += weights.brand * (market.brand[item] in traits["brands"])
    liking += weights.colour * (market.colour[item] in traits["colours"])
    return float(1 / (1 + np.exp(-liking)))


@pytest.mark.parametrize("setting", ["intent", "markov"])
def test_preference_of_arrays_equals_the_plain_one(items: list[Item], setting: str) -> None:
    population = Population(items, seed=3, shoppers=40, setting=setting)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    shoppers = rng.integers(0, 40, (30, 1))
    some, intents = rng.integers(0, 600, (30, 8)), rng.integers(-1, len(population.market.aisles), (30, 1))
    found = population.preference(shoppers, some, intents)
    assert found.shape == (30, 8)
    for row in range(30):
        wanted = [plain_preference(population, int(shoppers[row, 0]), int(i), int(intents[row, 0])) for i in some[row]]
        assert found[row] == pytest.approx(wanted)


def test_one_seed_gives_the_same_people_and_more_people_change_nobody(items: list[Item]) -> None:
    small, large = Population(items, seed=3, shoppers=100), Population(items, seed=3, shoppers=3000)
    assert len(small) == 100 and len(large) == 3000
    assert (large.traits[:100] == small.traits).all()
    assert not (Population(items, seed=4, shoppers=100).traits == small.traits).any()


def test_intent_raises_its_aisle_most_its_category_less_its_department_least(population: Population) -> None:
    market = population.market
    for intent in (0, 50, 120):
        everything = np.arange(len(market))
        gain = population.preference(7, everything, intent) / population.preference(7, everything)
        in_aisle = market.aisle == intent
        in_category = (market.category == market.category_of[intent]) & ~in_aisle
        department = market.department_of[market.category_of[intent]]
        beside = (market.department == department) & ~in_aisle & ~in_category
        elsewhere = market.department != department
        assert gain[elsewhere] == pytest.approx(1.0)
        assert gain[in_aisle].min() > 2 and gain[beside].min() > 1.1
        assert np.median(gain[in_aisle]) > np.median(gain[in_category]) > np.median(gain[beside])


def test_taste_brand_colour_and_a_fitting_price_raise_the_preference(items: list[Item]) -> None:
    population = Population(items, seed=3, shoppers=2)
    market, item = population.market, 17
    neutral = population.traits[0].copy()
    neutral["favourites"], neutral["brands"], neutral["colours"] = -1, -1, -1
    neutral["price_level"] = market.relative[item]
    changes = [("brands", market.brand[item]), ("colours", market.colour[item]), ("favourites", market.category[item])]
    for name, value in changes:
        population.traits[0] = population.traits[1] = neutral
        population.traits["fondness"] = 0.8
        population.traits[name][1] = value
        plain, better = population.preference(np.arange(2), item)
        assert better > 1.4 * plain
    population.traits[0] = population.traits[1] = neutral
    population.traits["price_level"][1] += 1.5
    assert population.preference(0, item) > 2 * population.preference(1, item)
    assert population.cart_chance(0, item) > 3 * population.cart_chance(1, item)
    assert population.buy_chance(0, item) > 3 * population.buy_chance(1, item)


def test_liking_helps_into_the_cart(population: Population) -> None:
    market = population.market
    wanted = population.cart_chance(5, np.arange(600), market.aisle)
    assert (wanted > 1.5 * population.cart_chance(5, np.arange(600))).all()


def test_a_cart_is_as_ill_priced_as_its_mean(population: Population) -> None:
    cart = np.array([[3, 8, -1, -1], [-1, -1, -1, -1]], dtype=np.int32)
    level = population.traits["price_level"][4]
    mean = np.abs(population.market.relative[[3, 8]] - level).mean()
    assert population.cart_misfit(np.array([4, 4]), cart) == pytest.approx([mean, 0.0])
    assert population.buy_chance(4, 3) == pytest.approx(
        population.buy_chance_of(population.cart_misfit(np.array([4]), np.array([[3, -1, -1, -1]])))[0]
    )


def test_nobody_in_markov_has_a_taste(items: list[Item]) -> None:
    population = Population(items, seed=3, shoppers=50, setting="markov")
    worth = population.preference(np.arange(50)[:, None], np.arange(600)[None, :], 9)
    assert (worth == worth[0]).all()
    weights = WEIGHTS["markov"]
    assert weights.taste == weights.brand == weights.colour == 0


def test_traits_are_spread_as_said(items: list[Item]) -> None:
    traits = Population(items, seed=3, shoppers=5000).traits
    real = (traits["fondness"] > 0).sum(axis=1)
    assert set(real.tolist()) == {2, 3, 4}
    assert traits["signs_in"].mean() == pytest.approx(0.5, abs=0.03)
    assert traits["price_level"].std() == pytest.approx(0.45, abs=0.02)
    assert traits["activity"].min() >= 1 and traits["activity"].max() == 30
    assert all(len(set(row.tolist())) == 4 for row in traits["favourites"][:50])


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="need items"):
        Population([])
