"""The harness on arms whose worth is known: better lists must come out better, and nothing must depend on chance."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from rtp_monolith.demo.experiment import (
    FIGURES,
    SUMS,
    Plan,
    Shown,
    differences,
    figures,
    gain,
    play_arm,
    probe,
    resamples,
)
from rtp_monolith.demo.live import Event, LiveShoppers, Page
from rtp_monolith.demo.shop import END_MS_DEFAULT, Item
from rtp_monolith.demo.shoppers import Population

PLAN = Plan(range(900, 930), END_MS_DEFAULT + 60_000, visits=2)


class Popular:
    """The same list for everybody; keeps what it was sent."""

    def __init__(self, population: Population) -> None:
        market = population.market
        order = np.argsort(-np.where(market.available, market.quality, -9.0))
        self.ranked = [market.ids[item] for item in order]
        self.pages: list[Page] = []
        self.events: list[Event] = []

    def show(self, page: Page, k: int) -> Shown:
        self.pages.append(page)
        return Shown(f"r{len(self.pages)}", self.ranked[:k])

    def send(self, events: Sequence[Event]) -> None:
        self.events += events


class Nearby(Popular):
    """Items of the aisle, then of the category, of the session's last click first."""

    def __init__(self, population: Population) -> None:
        super().__init__(population)
        self.market = population.market
        self.last: dict[str, str] = {}

    def send(self, events: Sequence[Event]) -> None:
        super().send(events)
        self.last |= {event["session_id"]: event["item_id"] for event in events if event["event_type"] == "click"}

    def show(self, page: Page, k: int) -> Shown:
        shown = super().show(page, k)
        if page.session_id not in self.last:
            return shown
        market, last = self.market, self.market.number[self.last[page.session_id]]
        near = (market.aisle == market.aisle[last]) * 2.0 + (market.category == market.category[last])
        order = np.argsort(-np.where(market.available, near * 10 + market.quality, -9.0))
        return Shown(shown.request_id, [market.ids[item] for item in order[:k]])


@pytest.fixture(scope="module")
def population(items: list[Item]) -> Population:
    return Population(items, seed=5, shoppers=960)


@pytest.fixture(scope="module")
def live(population: Population) -> LiveShoppers:
    return LiveShoppers(population, seed=1)


def test_the_same_arm_gives_the_same_sums_and_no_difference(population: Population, live: LiveShoppers) -> None:
    one, two = (play_arm(live, PLAN, Popular(population)) for _ in range(2))
    assert (one == two).all()
    draws = resamples(30, 1, 200)
    assert all((f.mean, f.low, f.high) == (0, 0, 0) for f in differences(one, two, draws).values())
    assert figures(one, draws) == figures(two, draws)


def test_a_better_arm_is_found_better_beyond_chance(population: Population, live: LiveShoppers) -> None:
    plain, near = (play_arm(live, PLAN, kind(population)) for kind in (Popular, Nearby))
    found = differences(plain, near, resamples(30, 1))
    for name in ("preference", "ndcg"):
        assert found[name].low > 0, name
        assert found[name].low <= found[name].mean <= found[name].high


def test_at_the_same_moments_nothing_but_the_lists_differs(population: Population, live: LiveShoppers) -> None:
    plan = msgspec.structs.replace(PLAN, shown="shop")
    plain, near = Popular(population), Nearby(population)
    one, two = play_arm(live, plan, plain), play_arm(live, plan, near)
    assert plain.events == near.events and plain.pages == near.pages
    judged = [SUMS.index("preference"), SUMS.index("ndcg")]
    others = [at for at in range(len(SUMS)) if at not in judged]
    assert (one[:, others] == two[:, others]).all() and one[:, others].any(axis=0).all()
    draws = resamples(30, 1)
    found, apart = differences(one, two, draws), differences(one, play_arm(live, PLAN, near), draws)
    for name in ("preference", "ndcg"):
        assert found[name].low > 0
        assert found[name].high - found[name].low < apart[name].high - apart[name].low


def test_sums_are_those_of_what_was_shown_and_done(population: Population, live: LiveShoppers) -> None:
    arm = Popular(population)
    heard: list[int] = []
    sums = dict(zip(SUMS, play_arm(live, PLAN, arm, heard.append).sum(axis=0), strict=True))
    kinds = [event["event_type"] for event in arm.events if str(event.get("request_id", "")).startswith("r")]
    assert (sums["clicks"], sums["impressions"]) == (kinds.count("click"), kinds.count("impression"))
    assert sums["lists"] == len(arm.pages) < sums["turns"]
    assert sums["visits"] == 60 and heard == list(range(1, 61))
    paid = [float(event["props"]["value"]) for event in arm.events if event["event_type"] == "purchase"]
    assert (sums["orders"], sums["revenue"]) == (len(paid), pytest.approx(sum(paid)))
    assert {page.surface for page in arm.pages} == {"home", "product"}
    assert 0 < sums["preference"] / sums["lists"] < 0.2 < 1


def test_all_pages_may_be_judged(population: Population, live: LiveShoppers) -> None:
    plan = Plan(range(900, 910), PLAN.start_ms, visits=2, pages=frozenset(("home", "product", "search", "category")))
    arm = Popular(population)
    sums = dict(zip(SUMS, play_arm(live, plan, arm).sum(axis=0), strict=True))
    assert sums["lists"] == sums["turns"] == len(arm.pages)


def test_events_go_out_before_the_next_list_and_refunds_when_their_time_comes(
    population: Population, live: LiveShoppers
) -> None:
    arm = Popular(population)
    told: list[tuple[int, int]] = []
    shown = arm.show

    def watching(page: Page, k: int) -> Shown:
        told.append((len(arm.events), page.now_ms))
        return shown(page, k)

    arm.show = watching  # type: ignore[method-assign]
    play_arm(live, PLAN, arm)
    for count, now_ms in told:
        refunds = [event for event in arm.events[:count] if event["event_type"] == "refund"]
        assert all(event["ts_ms"] <= now_ms for event in refunds)
    moments = [now_ms for _, now_ms in told]
    # Pages come in time order, but for the few seconds between coming to a page and its list.
    assert max(a - b for a, b in itertools.pairwise(moments)) < 60_000
    by_session: dict[str, list[int]] = {}
    for event in arm.events:
        by_session.setdefault(event["session_id"], []).append(event["ts_ms"])
    assert all(times == sorted(times) for times in by_session.values())


def test_gain_is_discounted_by_place() -> None:
    assert gain(np.array([0.5, 0.0, 0.25])) == pytest.approx(0.5 + 0.25 / math.log2(4))


def test_intervals_cover_and_shrink_with_people() -> None:
    rng = np.random.default_rng(3)
    sums = np.zeros((400, len(SUMS)))
    sums[:, SUMS.index("lists")] = 4
    sums[:, SUMS.index("preference")] = 4 * rng.beta(2, 8, 400)
    many, few = (figures(sums[:n], resamples(n, 1))["preference"] for n in (400, 50))
    assert many.low < 0.2 < many.high and few.low < 0.2 < few.high
    error = float(np.sqrt(0.2 * 0.8 / 11 / 400))
    assert many.high - many.low == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert few.high - few.low > 2 * (many.high - many.low)


def test_people_who_saw_nothing_have_no_rates() -> None:
    found = figures(np.zeros((5, len(SUMS))), resamples(5, 1, 50))
    assert found.keys() == FIGURES.keys()
    assert all((f.mean, f.low, f.high) == (0, 0, 0) for f in found.values())


def test_three_clicks_raise_what_follows_them_and_nothing_else(population: Population) -> None:
    plain = probe(population, Popular(population), range(940, 960), PLAN.start_ms)
    assert (plain.seeds, plain.raised, plain.difference.mean) == (20, 0, 0)
    arm = Nearby(population)
    near = probe(population, arm, range(940, 960), PLAN.start_ms)
    assert near.control == plain.control
    assert near.raised >= 18 and near.difference.low > 0
    assert near.clicked - near.control == pytest.approx(near.difference.mean, abs=2e-5)
    assert len(arm.events) == 3 * 20
    assert all(event["session_id"].endswith("-clicked") and "user_id" not in event for event in arm.events)


def test_an_unknown_item_is_told(population: Population, live: LiveShoppers) -> None:
    arm = Popular(population)
    arm.ranked = ["nowhere"]
    with pytest.raises(KeyError, match="nowhere"):
        play_arm(live, PLAN, arm)
