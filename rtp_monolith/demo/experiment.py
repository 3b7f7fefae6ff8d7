"""Experiments on live shoppers: ways of making lists (arms) judged by the same people with the same luck.

An arm is played by everybody's visits in the order of their pages; the truth about each list is added up for each
shopper. Figures are ratios of sums over shoppers with bootstrap intervals (Efron, percentile), and arms are compared
shopper by shopper, so what shoppers differ by does not blur a difference.
Invariant: equal plans and equal lists give equal figures. Knows nothing of shards, HTTP or clocks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
import numpy as np

from rtp_monolith.demo.live import Event, LiveShoppers, LiveVisit, Page
from rtp_monolith.demo.market import Floats, Ints
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import begin
from rtp_monolith.demo.wishes import FIRST_CHANCES, wishes_of

RESAMPLES = 2_000
LEVEL = 0.95
PROBE_CLICKS = 3
HOUR_MS = 3_600_000

# What is added up for each shopper, and the figures made of it.
SUMS = ("preference", "ndcg", "lists", "clicks", "impressions", "revenue", "orders", "turns", "visits")
_REVENUE = SUMS.index("revenue")
FIGURES = {
    "preference": ("preference", "lists"),
    "ndcg": ("ndcg", "lists"),
    "ctr": ("clicks", "impressions"),
    "orders_per_visit": ("orders", "visits"),
    "revenue_per_visit": ("revenue", "visits"),
    "pages_per_visit": ("turns", "visits"),
}


Shows = Literal["arm", "shop"]


class TooSmall(ValueError):
    """The shop has no room for what was asked."""


class Shown(msgspec.Struct, frozen=True):
    """A list as an arm made it."""

    request_id: str
    ids: list[str]


class Arm(Protocol):
    """Makes lists, and learns what was done with them before the next one is asked for."""

    def show(self, page: Page, k: int) -> Shown: ...
    def send(self, events: Sequence[Event]) -> None: ...


class Plan(msgspec.Struct, frozen=True):
    """Who visits and when: `visits` rounds, a visit beginning every `gap_ms`; lists of `k`.

    The arms make the lists of the kinds of `pages` and are judged by them. On other pages all see the shop's own
    listing of what they browse, which is where somebody whom the arm knows nothing of shows what is wanted.

    With `shown` "shop" people see and use the shop's own lists on every page (its home page blind): each arm is asked
    at the same moments, after the same events, and judged by what it would have shown. That says less of a visit,
    clicks and revenue are those of the shop's lists, and more of the lists: chance does not part the arms.
    """

    shoppers: Sequence[int]
    start_ms: int
    visits: int = 3
    k: int = 10
    gap_ms: int = 40_000
    pages: frozenset[str] = frozenset(("home", "product"))
    shown: Shows = "arm"


class Figure(msgspec.Struct, frozen=True):
    """An estimate with its interval of LEVEL."""

    mean: float
    low: float
    high: float


class Probe(msgspec.Struct, frozen=True):
    """Lists after clicks on one intent against lists without: `raised` of `seeds` have a higher true preference."""

    seeds: int
    raised: int
    control: float
    clicked: float
    difference: Figure


def play_arm(live: LiveShoppers, plan: Plan, arm: Arm, tell: Callable[[int], None] | None = None) -> Floats:
    """Sums (shoppers, SUMS) of all visits of a plan. `tell` hears how many visits have ended.

    Raises KeyError when a list holds an item that the shop does not have.
    """
    rows = len(plan.shoppers)
    sums = np.zeros((rows, len(SUMS)))
    agenda: list[tuple[int, int]] = []
    visits: list[LiveVisit] = []
    for number in range(plan.visits):
        for shopper in plan.shoppers:
            start_ms = plan.start_ms + len(visits) * plan.gap_ms
            agenda.append((start_ms, len(visits)))
            visits.append(live.visit(shopper, number, start_ms))
    heapq.heapify(agenda)
    later: list[tuple[int, str, Event]] = []
    ended = 0
    while agenda:
        now_ms, place = heapq.heappop(agenda)
        while later and later[0][0] <= now_ms:
            arm.send([heapq.heappop(later)[2]])
        visit = visits[place]
        events = _page(visit, arm, plan, sums[place % rows])
        # What comes back days later must not move the shop's time ahead of everybody else.
        held = [event for event in events if event["event_type"] == "refund"]
        for event in held:
            heapq.heappush(later, (event["ts_ms"], event["event_id"], event))
        arm.send([event for event in events if event["event_type"] != "refund"])
        if visit.over:
            ended += 1
            if tell is not None:
                tell(ended)
        else:
            heapq.heappush(agenda, (visit.now_ms, place))
    return sums


def _page(visit: LiveVisit, arm: Arm, plan: Plan, sums: Floats) -> list[Event]:
    """One list asked for, judged and used; its events are still to be sent."""
    page, k = visit.turn(), plan.k
    if page.events:
        arm.send(page.events)
    if page.surface not in plan.pages:
        events = visit.show(visit.listing())
        sums[_REVENUE:] += (*_paid(events), 1.0, visit.over)
        return events
    shown = arm.show(page, k)
    worth = np.zeros(k)
    worth[: len(shown.ids)] = visit.preference(shown.ids[:k])
    best = np.zeros(k)
    ideal = visit.preference(visit.best(k))
    best[: len(ideal)] = ideal
    if plan.shown == "shop":
        events = visit.show(visit.listing(blind_home=True))
    else:
        events = visit.show(shown.ids[:k], shown.request_id)
    kinds = [event["event_type"] for event in events]
    clicks, impressions = kinds.count("click"), kinds.count("impression")
    judged = (float(worth.mean()), gain(worth) / gain(best), 1.0, clicks, impressions)
    sums += (*judged, *_paid(events), 1.0, visit.over)
    return events


def _paid(events: Sequence[Event]) -> tuple[float, float]:
    """Revenue and orders."""
    orders = [float(event["props"]["value"]) for event in events if event["event_type"] == "purchase"]
    return sum(orders), len(orders)


def gain(worth: Floats) -> float:
    """Discounted cumulative gain (Järvelin and Kekäläinen, 2002) of a list, the gain being the true preference."""
    return float((worth / np.log2(np.arange(len(worth)) + 2)).sum())


def resamples(shoppers: int, seed: int, count: int = RESAMPLES) -> Floats:
    """How often each shopper is in each resample: (count, shoppers). The same for all arms, so they stay paired."""
    rng = np.random.default_rng([seed, 6])
    return rng.multinomial(shoppers, np.full(shoppers, 1 / shoppers), size=count).astype(np.float64)


def figures(sums: Floats, draws: Floats) -> dict[str, Figure]:
    """The figures of one arm."""
    return {name: _figure(*_ratios(sums, draws, name)) for name in FIGURES}


def differences(before: Floats, after: Floats, draws: Floats) -> dict[str, Figure]:
    """What the second arm has more than the first, paired by shopper."""
    found = {}
    for name in FIGURES:
        (one, ones), (two, twos) = _ratios(before, draws, name), _ratios(after, draws, name)
        found[name] = _figure(two - one, twos - ones)
    return found


def _ratios(sums: Floats, draws: Floats, name: str) -> tuple[float, Floats]:
    above, below = (sums[:, SUMS.index(part)] for part in FIGURES[name])
    if not below.sum():
        return 0.0, np.zeros(len(draws))
    # A resample of people who saw nothing has no rate; it counts as none.
    totals = draws @ below
    drawn = np.divide(draws @ above, totals, out=np.zeros(len(draws)), where=totals > 0)
    return float(above.sum() / below.sum()), drawn


def _figure(mean: float, drawn: Floats) -> Figure:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(round(mean, 5), round(float(low), 5), round(float(high), 5))


def probe(population: Population, arm: Arm, shoppers: Sequence[int], start_ms: int, k: int = 10) -> Probe:
    """For each shopper an intent: PROBE_CLICKS items of it are clicked in one new session, nothing in another.

    Both sessions then ask for a list, whose true preference under that intent is compared: how well the list fits,
    not from which category it is. Nobody signs in, so nothing but the clicks differs. Raises TooSmall.
    """
    lifts, levels = [], []
    for place, shopper in enumerate(shoppers):
        rng = np.random.default_rng([population.seed, 7, shopper])
        intent, clicked = _intent_with_items(population, shopper, start_ms, rng)
        now_ms = start_ms + place * 60_000
        worth = []
        for session, items in ((f"probe-{shopper}-control", []), (f"probe-{shopper}-clicked", clicked)):
            arm.send([_click(session, n, population.market.ids[item], now_ms) for n, item in enumerate(items)])
            page = Page("home", session, None, "desktop", now_ms + 10_000, (), None, None, None, [])
            numbers = [population.market.number[item] for item in arm.show(page, k).ids[:k]]
            worth.append(float(population.preference(shopper, np.array(numbers), intent).sum()) / k)
        levels.append(worth)
        lifts.append(worth[1] - worth[0])
    lift, count = np.array(lifts), len(lifts)
    drawn = resamples(count, population.seed) @ lift / count
    control, after = np.mean(levels, axis=0).tolist()
    return Probe(count, int((lift > 0).sum()), round(control, 5), round(after, 5), _figure(float(lift.mean()), drawn))


def _intent_with_items(
    population: Population, shopper: int, now_ms: int, rng: np.random.Generator
) -> tuple[int, list[int]]:
    """An aisle that the shopper may well be after and that has more than is clicked, and what is clicked there."""
    market, arrived = population.market, population.market.arrived(now_ms)
    visit = begin(np.array([shopper], dtype=np.int32), np.zeros(1, dtype=np.int64), np.array([now_ms]))
    there = market.available & (np.arange(len(market)) < arrived)
    for _ in range(1_000):
        intent = int(wishes_of(population).first(visit, rng.random((1, FIRST_CHANCES)))[0])
        items: Ints = np.flatnonzero(there & (market.aisle == intent))
        if len(items) > PROBE_CLICKS:
            return intent, rng.permutation(items)[:PROBE_CLICKS].tolist()
    raise TooSmall("no aisle of the shop has more items than are clicked")


def _click(session: str, number: int, item: str, now_ms: int) -> Event:
    return {
        "event_id": f"{session}-{number}", "session_id": session, "event_type": "click", "item_id": item,
        "ts_ms": now_ms + number * 2_000, "schema_version": 2,
    }  # fmt: skip
