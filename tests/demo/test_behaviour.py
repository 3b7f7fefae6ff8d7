from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.demo import behaviour
from rtp_monolith.demo.behaviour import attention, leave, leaving, look
from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import (
    ADD,
    CART_MAX,
    CLICK,
    DWELL,
    IDENTIFY,
    IMPRESSION,
    NOTHING,
    PURCHASE,
    REFUND,
    REMOVE,
    SEARCH,
    Rows,
    begin,
    joined,
)
from rtp_monolith.demo.wishes import TasteWishes

COUNT, K = 8_000, 10


@pytest.fixture(scope="module")
def population(items: list[Item]) -> Population:
    return Population(items, seed=3, shoppers=200)


def visits_of(population: Population, count: int = COUNT, intent: int = 20) -> Rows:
    visits = begin(np.arange(count, dtype=np.int32) % 200, np.arange(count), np.full(count, END_MS_DEFAULT))
    visits["intent"], visits["page"] = intent, 0
    return visits


def luck(seed: int, count: int = COUNT, k: int = K) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((count, k, behaviour.PLACE_CHANCES)), rng.random((count, k, behaviour.ITEM_CHANCES))


def random_lists(count: int = COUNT) -> np.ndarray:
    rng = np.random.default_rng(1)
    # Ten different ones, a tenth of the shop each.
    return np.asarray(rng.integers(0, 60, (count, K)) * 10 + rng.permuted(np.tile(np.arange(K), (count, 1)), axis=1))


def test_clicks_are_attention_times_true_preference(population: Population) -> None:
    visits = visits_of(population)
    wanted = np.flatnonzero(population.market.category == population.market.category_of[20])
    lists = np.tile(wanted, (COUNT, 1))
    worth = population.preference(visits["shopper"][:, None], lists, 20)
    events = look(population, visits, lists, *luck(2, COUNT, len(wanted)))
    for place in range(6):
        seen = events["position"] == place
        shown, clicks = (events["kind"] == IMPRESSION) & seen, (events["kind"] == CLICK) & seen
        rate = clicks.sum() / shown.sum()
        assert rate == pytest.approx(attention(place) * worth[:, place].mean(), rel=0.1)


def test_attention_falls_with_the_place_and_so_does_what_comes_into_view(population: Population) -> None:
    assert (np.diff(attention(np.arange(30))) < 0).all()
    events = look(population, visits_of(population), random_lists(), *luck(3))
    viewed = np.bincount(events["position"][events["kind"] == IMPRESSION], minlength=K)
    assert viewed[:3].tolist() == [COUNT] * 3
    assert (np.diff(viewed[2:]) < 0).all()


def test_events_of_a_visit_are_numbered_and_later_than_the_ones_before(population: Population) -> None:
    visits = visits_of(population, 500)
    first = look(population, visits, random_lists(500), *luck(4, 500))
    second = look(population, visits, random_lists(500), *luck(5, 500))
    events = joined([first, second])
    for session in range(0, 500, 37):
        own = events[events["session"] == session]
        assert own["number"].tolist() == list(range(len(own)))
        assert (np.diff(own["ts_ms"]) > 0).all()
        assert own["ts_ms"][-1] == visits["now_ms"][session]
        assert len(own) == visits["events"][session]


def test_a_click_is_followed_by_its_dwell_and_liking_makes_it_longer(population: Population) -> None:
    visits = visits_of(population)
    lists = random_lists()
    events = look(population, visits, lists, *luck(6))
    clicks, dwells = events[events["kind"] == CLICK], events[events["kind"] == DWELL]
    assert clicks[["session", "item"]].tolist() == dwells[["session", "item"]].tolist()
    assert (dwells["ts_ms"] - clicks["ts_ms"] >= dwells["value"]).all()
    worth = population.preference(dwells["shopper"], dwells["item"], dwells["intent"])
    assert dwells["value"][worth > 0.5].mean() > 2 * dwells["value"][worth < 0.1].mean()


def test_the_same_luck_with_another_list_is_the_same_where_the_lists_agree(population: Population) -> None:
    lists = random_lists(300)
    other = lists.copy()
    other[:, 0] = (lists[:, 0] + 1) % 600
    one = look(population, visits_of(population, 300), lists, *luck(7, 300))
    two = look(population, visits_of(population, 300), other, *luck(7, 300))
    agree = [
        {(e["session"], e["position"], e["item"]) for e in events if e["kind"] == CLICK and e["position"] > 0}
        for events in (one, two)
    ]
    assert agree[0] == agree[1] and agree[0]


def test_carts_hold_different_items_up_to_their_size(population: Population) -> None:
    visits = visits_of(population, 2000)
    adds = removes = 0
    for seed in range(12):
        places, chance = luck(seed, 2000)
        places[:, :, 0], places[:, :, 1] = 1.0, 0.0
        chance[:, :, 0] = 0.0
        events = look(population, visits, random_lists(2000), places, chance)
        adds += (events["kind"] == ADD).sum()
        removes += (events["kind"] == REMOVE).sum()
    taken = (visits["cart"] != NOTHING).sum(axis=1)
    assert (taken == visits["taken"]).all() and taken.max() == CART_MAX
    assert taken.sum() == adds - removes
    assert all(len(set(row[row != NOTHING].tolist())) == n for row, n in zip(visits["cart"], taken, strict=True))
    assert removes / adds == pytest.approx(behaviour.REMOVES, abs=0.02)


def test_an_empty_and_a_short_list(population: Population) -> None:
    visits = visits_of(population, 3)
    assert len(look(population, visits, np.zeros((3, 0), dtype=np.int32), *luck(1, 3, 0))) == 0
    assert visits["now_ms"].tolist() == [END_MS_DEFAULT] * 3
    lists = np.array([[5, NOTHING], [NOTHING, NOTHING], [7, 8]], dtype=np.int32)
    events = look(population, visits, lists, *luck(1, 3, 2))
    seen = events[events["kind"] == IMPRESSION]
    assert seen[["session", "item"]].tolist() == [(0, 5), (2, 7), (2, 8)]


def test_people_stay_longer_where_they_found_something(population: Population) -> None:
    visits = visits_of(population)
    chance = np.random.default_rng(9).random((COUNT, 1))
    bored = leaving(visits, chance)
    visits["opened"] = True
    held = leaving(visits, chance)
    assert bored.mean() > held.mean() + 0.1 and not (held & ~bored).any()
    visits["page"] = behaviour.PAGES_MAX - 1
    assert leaving(visits, chance).all()


def test_carts_are_paid_for_when_prices_fit_and_some_comes_back(population: Population) -> None:
    visits = visits_of(population)
    dear = np.argmax(population.market.relative)
    plain = np.argmin(np.abs(population.market.relative))
    visits["cart"][:, 0] = np.where(np.arange(COUNT) < COUNT // 2, dear, plain)
    visits["taken"] = 1
    events = joined(leave(population, visits, np.random.default_rng(9).random((COUNT, behaviour.END_CHANCES))))
    bought, back = events[events["kind"] == PURCHASE], events[events["kind"] == REFUND]
    half = bought["session"] < COUNT // 2
    assert half.sum() < 0.8 * (~half).sum()
    assert (bought["cart"][:, 0] == np.where(half, dear, plain)).all()
    assert len(back) / len(bought) == pytest.approx(behaviour.REFUNDS, abs=0.02)
    paid = dict(zip(bought["session"].tolist(), bought["ts_ms"].tolist(), strict=True))
    waits = [e["ts_ms"] - paid[e["session"]] for e in back]
    assert min(waits) >= DAY_MS // 2 and max(waits) <= 8.5 * DAY_MS
    empty = visits_of(population, 10)
    assert leave(population, empty, np.zeros((10, behaviour.END_CHANCES))) == []


def test_signing_in_and_searching_belong_to_a_turn(population: Population) -> None:
    wishes, visits = TasteWishes(population), visits_of(population)
    rng = np.random.default_rng(2)
    behaviour.arrive(population, wishes, visits, rng.random((COUNT, behaviour.ARRIVAL_CHANCES)))
    signs = population.traits["signs_in"][visits["shopper"]]
    assert not (visits["user"] != NOTHING)[~signs].any()
    assert (visits["user"] != NOTHING)[signs].mean() == pytest.approx(behaviour.SIGNED_IN, abs=0.02)
    known = visits["user"] != NOTHING
    events = joined(behaviour.turn(population, wishes, visits, rng.random((COUNT, behaviour.PAGE_CHANCES))))
    signed = events[events["kind"] == IDENTIFY]
    assert (signed["user"] == signed["shopper"]).all() and not known[signed["session"]].any()
    assert len(signed) / (signs & ~known).sum() == pytest.approx(behaviour.SIGN_IN, abs=0.03)
    searched = events[events["kind"] == SEARCH]
    assert len(searched) / COUNT == pytest.approx(behaviour.SEARCHES, abs=0.01)
    assert (searched["value"] // 4 == searched["intent"]).all()
