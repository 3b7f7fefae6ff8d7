from __future__ import annotations

import msgspec
import numpy as np
import pytest

from rtp_monolith.demo.market import Market, Shelf
from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item


@pytest.fixture(scope="module")
def market(items: list[Item]) -> Market:
    return Market(items, np.random.default_rng(1))


def chances(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(count)


def test_a_shelf_draws_by_weight_within_a_group() -> None:
    shelf = Shelf(np.array([1.0, 0.0, 3.0, 5.0]), np.array([0, 0, 0, 1]), 2)
    drawn = shelf.draw(0, 4, chances(40_000))
    assert set(drawn.tolist()) == {0, 2}
    assert (drawn == 2).mean() == pytest.approx(0.75, abs=0.01)
    assert set(shelf.draw(1, 4, chances(100)).tolist()) == {3}


def test_a_shelf_has_only_what_has_arrived_and_may_be_empty() -> None:
    shelf = Shelf(np.ones(4), np.array([1, 0, 1, 1]), 2)
    arrived = np.array([[0], [1], [3], [4]])
    drawn = shelf.draw(1, arrived, chances(400)[None, :])
    assert [set(row.tolist()) for row in drawn] == [{-1}, {0}, {0, 2}, {0, 2, 3}]


@pytest.mark.parametrize("chance", [0.0, float(np.nextafter(1.0, 0.0))])
def test_the_ends_of_chance_never_reach_what_weighs_nothing(chance: float) -> None:
    weights = np.array([0.0, 0.1, 0.2, 0.7, 0.0, 0.0])
    shelf = Shelf(weights, np.zeros(6, dtype=int), 1)
    assert int(shelf.draw(0, 6, np.array([chance]))[0]) in {1, 3}


def test_unavailable_items_are_never_drawn(market: Market, items: list[Item]) -> None:
    for shelf in (market.popular, market.any):
        assert all(items[i].available for i in set(shelf.draw(0, len(market), chances(20_000)).tolist()))


def test_a_tenth_of_the_items_gets_a_large_part_of_the_popular_draws(market: Market) -> None:
    counts = np.sort(np.bincount(market.popular.draw(0, len(market), chances(20_000)), minlength=600))[::-1]
    assert 0.3 < counts[:60].sum() / 20_000 < 0.7


def test_groups_keep_to_themselves(market: Market) -> None:
    for shelf, group in ((market.of_category, market.category), (market.of_aisle, market.aisle)):
        assert set(group[shelf.draw(5, len(market), chances(300))].tolist()) == {5}


def test_arrivals_follow_created_at(market: Market, items: list[Item]) -> None:
    for moment in (END_MS_DEFAULT - 100 * DAY_MS, END_MS_DEFAULT - DAY_MS, END_MS_DEFAULT):
        assert market.arrived(moment) == sum(item.created_at <= moment for item in items)
    assert market.arrived(0) == 1


def test_an_aisle_is_a_style_of_a_category(market: Market, items: list[Item]) -> None:
    for number in (0, 99, 599):
        path, style = market.aisles[market.aisle[number]]
        assert (path, style) == (items[number].categories[0], items[number].attributes["style"])
        assert market.categories[market.category_of[market.aisle[number]]] == path
    category = int(market.category[0])
    styles = int(market.aisles_of[category])
    around = market.aisle_in(np.full(2 * styles, category), np.arange(2 * styles))
    assert around[:styles].tolist() == around[styles:].tolist()
    assert set(market.category_of[around].tolist()) == {category}


def test_prices_are_relative_to_the_category(market: Market) -> None:
    for category in range(len(market.categories)):
        assert np.median(market.relative[market.category == category]) == pytest.approx(0.0, abs=1e-9)


def test_the_mood_changes_with_the_hour(market: Market) -> None:
    shares = np.diff(market.mood, axis=1, prepend=0.0)
    assert np.allclose(market.mood[:, -1], 1.0)
    assert (shares >= 0).all()
    assert (shares.max(axis=0) > 2 * shares.min(axis=0)).all()


def test_queries_are_words_of_the_items(market: Market, items: list[Item]) -> None:
    assert len(market.queries) == 4 * len(market.aisles)
    path, style = market.aisles[7]
    queries = market.queries[28:32]
    assert queries[0] == path.split(" > ")[1].lower()
    assert queries[1].startswith(style.lower())
    titles = " ".join(item.title.lower() for item in items if market.categories.index(item.categories[0]) < 10)
    assert sum(query.split()[-1] in titles for query in market.queries[:80]) > 60


def test_items_out_of_order_and_no_items_are_refused(items: list[Item]) -> None:
    with pytest.raises(ValueError, match="need items"):
        Market([], np.random.default_rng(1))
    late = msgspec.structs.replace(items[0], created_at=END_MS_DEFAULT)
    with pytest.raises(ValueError, match="order of their arrival"):
        Market([late, *items[1:]], np.random.default_rng(1))
