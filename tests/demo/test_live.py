from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from rtp_monolith.demo.live import Event, LiveShoppers, LiveVisit, Page, play
from rtp_monolith.demo.shop import END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population, Setting
from rtp_monolith.demo.visits import SURFACES

START_MS = END_MS_DEFAULT + 60_000


@pytest.fixture(scope="module", params=["intent", "markov"])
def population(request: pytest.FixtureRequest, items: list[Item]) -> Population:
    setting: Setting = request.param
    return Population(items, seed=5, shoppers=60, setting=setting)


def visits_of(population: Population, *, seed: int = 1, prefix: str = "") -> list[LiveVisit]:
    live = LiveShoppers(population, seed=seed, prefix=prefix)
    return [live.visit(shopper, 0, START_MS) for shopper in range(60)]


def popular(population: Population) -> list[str]:
    market = population.market
    return [market.ids[item] for item in np.argsort(-np.where(market.available, market.quality, -9.0))[:10]]


def clicks(events: list[Event]) -> int:
    return sum(event["event_type"] == "click" for event in events)


def test_the_same_lists_give_the_same_events(population: Population) -> None:
    shown = popular(population)
    first, again, other = (
        [play(visit, lambda _: shown) for visit in visits_of(population, seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other


def test_events_are_in_order_from_the_start_and_numbered(population: Population) -> None:
    for visit in visits_of(population)[:40]:
        events = play(visit, lambda _, visit=visit: visit.best(10))
        refunded = [e for e in events if e["event_type"] == "refund"]
        times = [event["ts_ms"] for event in events]
        assert times == sorted(times) and times[0] >= START_MS
        assert [event["event_id"].rsplit("-", 1)[1] for event in events] == [str(n) for n in range(len(events))]
        assert len({event["session_id"] for event in events}) == 1 and len(refunded) <= 1


def test_better_lists_are_opened_more(population: Population) -> None:
    shown = popular(population)
    poor = sum(clicks(play(visit, lambda _: shown)) for visit in visits_of(population))
    good = sum(clicks(play(visit, lambda _, visit=visit: visit.best(10))) for visit in visits_of(population))
    assert good > 3 * poor > 0


def test_best_is_the_top_of_the_preference_and_can_be_had(population: Population) -> None:
    visit = visits_of(population)[3]
    visit.turn()
    market = population.market
    everything = [item for n, item in enumerate(market.ids) if market.available[n]]
    worth = visit.preference(everything)
    best = visit.preference(visit.best(10))
    assert best == pytest.approx(np.sort(worth)[::-1][:10])
    assert visit.preference(market.ids[:50]) == pytest.approx(
        population.preference(visit.shopper, np.arange(50), visit.intent)
    )


def test_an_item_is_as_lucky_wherever_it_stands(population: Population) -> None:
    """Among those attended to: the place decides on that, the item's own luck on the rest."""
    dwells: list[dict[str, str]] = []
    for turned in (False, True):
        found = {}
        for visit in visits_of(population):
            visit.turn()
            best = visit.best(6)
            for event in visit.show(best[::-1] if turned else best):
                if event["event_type"] == "dwell":
                    found[event["session_id"] + event["item_id"]] = event["props"]["dwell_ms"]
        dwells.append(found)
    both = dwells[0].keys() & dwells[1].keys()
    assert len(both) > 30
    assert all(dwells[0][key] == dwells[1][key] for key in both)


def test_pages_say_what_a_list_may_know(population: Population) -> None:
    pages: list[Page] = []
    for visit in visits_of(population):
        while not visit.over:
            page = visit.turn()
            assert (page.surface == "search") == (page.query is not None)
            assert (page.surface == "category") == (page.category is not None)
            assert (page.surface == "product") == (page.item_id is not None)
            assert [e["props"]["query"] for e in page.events if e["event_type"] == "search"] == (
                [page.query] if page.query else []
            )
            visit.show(visit.best(10))
            pages.append(page)
    assert Counter(page.surface for page in pages).keys() == set(SURFACES)
    assert any(page.cart for page in pages)
    assert {page.user_id is None for page in pages} == {True, False}


def test_the_request_that_made_the_list_is_named(population: Population) -> None:
    visit = visits_of(population)[0]
    visit.turn()
    events = visit.show(visit.best(10), request_id="r-1")
    assert {event.get("request_id") for event in events} == {"r-1", None}
    assert all(("request_id" in event) == ("position" in event) for event in events)


def test_a_prefix_makes_strangers_with_the_same_luck(population: Population) -> None:
    shown = popular(population)
    plain, other = (
        [event for visit in visits_of(population, prefix=prefix) for event in play(visit, lambda _: shown)]
        for prefix in ("", "b-")
    )
    for one, two in zip(plain, other, strict=True):
        assert (two["session_id"], one["ts_ms"]) == (f"b-{one['session_id']}", two["ts_ms"])
        assert two.get("user_id") == (f"b-{one['user_id']}" if "user_id" in one else None)


def test_the_intent_moves_on_between_pages(population: Population) -> None:
    moves = []
    for visit in visits_of(population):
        intents = []
        while not visit.over:
            visit.turn()
            intents.append(visit.intent)
            visit.show(visit.best(10))
        moves += [a != b for a, b in itertools.pairwise(intents)]
    assert 0.1 < np.mean(moves) < (0.6 if population.setting == "intent" else 1.0)


def test_misuse_is_refused(population: Population) -> None:
    live = LiveShoppers(population, seed=1)
    with pytest.raises(ValueError, match="at most 1000"):
        live.visit(0, 1000, START_MS)
    visit = live.visit(0, 0, START_MS)
    visit.turn()
    with pytest.raises(KeyError, match="nowhere"):
        visit.show(["nowhere"])
    play(visit, lambda _: [])
    with pytest.raises(ValueError, match="over"):
        visit.turn()
