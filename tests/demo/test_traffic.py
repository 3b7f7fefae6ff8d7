from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config
from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item, to_ndjson
from rtp_monolith.demo.traffic import Traffic, shoppers_for, traffic_of
from rtp_monolith.demo.visits import ADD, CLICK, IMPRESSION, KINDS, PURCHASE, REFUND, SKIP
from rtp_monolith.state.shard_state import ShardState
from tests.demo.conftest import Log, played

WITH_ITEM = {"impression", "click", "view", "add_to_cart", "remove_from_cart", "like", "dislike", "skip"}


def gini(counts: np.ndarray) -> float:
    ascending = np.sort(counts)
    return float(1 - 2 * (np.cumsum(ascending) / ascending.sum()).mean() + 1 / len(counts))


def test_one_seed_gives_the_same_bytes(items: list[Item], log: Log) -> None:
    setting = log.traffic.population.setting
    assert played(traffic_of(items, 60_000, seed=5, setting=setting)).lines == log.lines
    assert played(traffic_of(items, 2_000, seed=6, setting=setting)).lines != log.lines[:2_000]


def test_the_settings_are_two_shops(items: list[Item]) -> None:
    one, other = (played(traffic_of(items, 2_000, setting=setting)).lines for setting in ("intent", "markov"))
    assert len(set(one) & set(other)) < 400


@pytest.mark.parametrize("count", [0, 1, 2, 17, 500, 34_567, 120_001])
def test_any_size_is_exact_in_time_order_and_ends_at_the_end(items: list[Item], count: int) -> None:
    parts = list(traffic_of(items, count, seed=2, days=4).parts())
    times = np.concatenate([part["ts_ms"] for part in parts]) if parts else np.zeros(0)
    assert len(times) == count
    assert (np.diff(times) >= 0).all()
    if count:
        assert times[-1] == END_MS_DEFAULT
        assert times[0] >= END_MS_DEFAULT - 4 * DAY_MS
    # Bounded: a part does not grow with the log.
    assert max(map(len, parts), default=0) < 60_000


def test_events_have_the_form_of_the_contract(items: list[Item], log: Log) -> None:
    known = {item.id for item in items}
    assert len({event["event_id"] for event in log.events}) == len(log.events) == 60_000
    for event in log.events:
        assert event["schema_version"] == 2
        assert event["event_type"] not in WITH_ITEM or event["item_id"] in known
        assert (
            ("request_id" in event) == ("position" in event) == (event["event_type"] in ("impression", "click", "skip"))
        )


def test_a_shard_takes_every_event_and_item(tmp_path: Path, items: list[Item], log: Log) -> None:
    state = ShardState.open(tmp_path / "shard", Config(), ManualClock(END_MS_DEFAULT))
    try:
        bare = to_ndjson(items, bare_share=0.2)
        assert state.ingest_sync("items", bare, "ndjson", trusted=True).accepted == len(items)
        for start in range(0, 20_000, 1000):
            reply = state.ingest_sync("events", b"".join(log.lines[start : start + 1000]), "ndjson", trusted=True)
            assert (reply.accepted, reply.duplicates, reply.rejected) == (1000, 0, [])
    finally:
        state.close()


def test_every_kind_of_behaviour_happens(log: Log) -> None:
    counts = Counter(event["event_type"] for event in log.events)
    assert counts.keys() == set(KINDS)
    assert 0.1 < counts["click"] / counts["impression"] < 0.3
    assert counts["purchase"] < counts["add_to_cart"] < counts["click"] < counts["impression"]


def test_sessions_have_three_to_forty_events(log: Log) -> None:
    lengths = np.unique(log.rows["session"], return_counts=True)[1]
    assert np.percentile(lengths, 2) >= 3
    assert (lengths <= 40).mean() > 0.85
    assert 12 < np.median(lengths) < 24


def test_clicks_follow_an_impression_of_the_same_list_and_place(log: Log) -> None:
    seen = set()
    for event in log.events:
        if event["event_type"] == "impression":
            seen.add((event["request_id"], event["position"], event["item_id"]))
        elif event["event_type"] in ("click", "skip"):
            assert (event["request_id"], event["position"], event["item_id"]) in seen


def test_the_click_rate_falls_with_the_place(log: Log) -> None:
    shown, clicked = (
        np.bincount(log.rows["position"][log.rows["kind"] == kind], minlength=10) for kind in (IMPRESSION, CLICK)
    )
    rates = clicked / shown
    assert shown[0] > 1.5 * shown[5] > 1.5 * shown[9]
    assert rates[0] > 1.25 * rates[2] and rates[1] > 1.25 * rates[5]
    # What stands there is as good: it is the place that costs the clicks.
    impressions = log.rows[log.rows["kind"] == IMPRESSION]
    worth = log.traffic.population.preference(impressions["shopper"], impressions["item"], impressions["intent"])
    by_place = [worth[impressions["position"] == place].mean() for place in (0, 2, 5)]
    assert max(by_place) < 1.2 * min(by_place)


def test_popularity_is_skewed_and_everything_is_shown(log: Log) -> None:
    market = log.traffic.population.market
    shown, clicked = (np.bincount(log.rows["item"][log.rows["kind"] == k], minlength=600) for k in (IMPRESSION, CLICK))
    assert 0.27 < gini(shown[market.available]) < 0.5
    assert 0.45 < gini(clicked[market.available]) < 0.75
    settled = market.available & (market.created < log.rows["ts_ms"][0])
    assert (shown[settled] > 0).all() and not shown[~market.available].any()


def test_new_items_are_seen_later(log: Log) -> None:
    market = log.traffic.population.market
    start = int(log.rows["ts_ms"][0])
    first = {int(item): int(ts) for item, ts in zip(log.rows["item"][::-1], log.rows["ts_ms"][::-1], strict=True)}
    assert all(ts >= market.created[item] for item, ts in first.items() if item >= 0)
    arriving = [item for item in range(600) if market.created[item] > start and item in first]
    waits = [first[item] - int(market.created[item]) for item in arriving]
    assert len(arriving) > 20 and float(np.median(waits)) < 2 * DAY_MS


def test_the_shop_sleeps_at_night_and_moods_change_over_the_day(log: Log) -> None:
    starts = log.rows[log.rows["number"] == 0]
    hours = np.bincount(starts["ts_ms"] % DAY_MS // 3_600_000, minlength=24)
    assert hours[19:22].sum() > 6 * hours[2:5].sum()
    market = log.traffic.population.market
    department = market.department_of[market.category_of[starts["intent"]]]
    half_day = starts["ts_ms"] % DAY_MS // (DAY_MS // 2)
    shares = [np.bincount(department[half_day == part], minlength=12) / (half_day == part).sum() for part in (0, 1)]
    assert np.abs(shares[0] - shares[1]).sum() > 0.05


def test_what_is_wanted_shows_in_what_is_opened(log: Log) -> None:
    market = log.traffic.population.market
    rates = {}
    for kind in (IMPRESSION, CLICK):
        rows = log.rows[log.rows["kind"] == kind]
        aisle = market.aisle[rows["item"]] == rows["intent"]
        category = market.category[rows["item"]] == market.category_of[rows["intent"]]
        rates[kind] = np.array([aisle.sum(), (category & ~aisle).sum(), (~category).sum()])
    aisle, category, other = rates[CLICK] / rates[IMPRESSION]
    assert aisle > 1.5 * category > 7 * other


def test_the_next_click_is_near_the_last_one(log: Log) -> None:
    market = log.traffic.population.market
    clicked: dict[int, list[int]] = defaultdict(list)
    for row in log.rows[log.rows["kind"] == CLICK]:
        clicked[int(row["session"])].append(int(market.category[row["item"]]))
    pairs = [(a, b) for names in clicked.values() for a, b in itertools.pairwise(names)]
    same = sum(a == b for a, b in pairs) / len(pairs)
    assert same > (0.55 if log.traffic.population.setting == "intent" else 0.2)


def test_some_visitors_sign_in_and_some_never_do(log: Log) -> None:
    users: dict[str, set[str | None]] = defaultdict(set)
    for event in log.events:
        users[event["session_id"]].add(event.get("user_id"))
    kinds = Counter(len(names) if None not in names else -len(names) for names in users.values())
    assert kinds.keys() == {1, -1, -2}
    assert all(event["user_id"].startswith("shopper-") for event in log.events if event["event_type"] == "identify")


def test_refunds_follow_purchases_and_purchases_carts(log: Log) -> None:
    paid: dict[int, tuple[int, set[int]]] = {}
    carts: dict[int, set[int]] = defaultdict(set)
    refunds = 0
    for row in log.rows:
        session = int(row["session"])
        if row["kind"] == ADD:
            carts[session].add(int(row["item"]))
        elif row["kind"] == PURCHASE:
            bought = {item for item in row["cart"].tolist() if item >= 0}
            assert bought and bought <= carts[session]
            paid[session] = (int(row["ts_ms"]), bought)
        elif row["kind"] == REFUND:
            refunds += 1
            when, bought = paid[session]
            assert int(row["item"]) in bought
            assert row["ts_ms"] - when >= DAY_MS // 2
    assert refunds > 3 and len(paid) / len(carts) > 0.06


def test_price_decides_about_carts_and_purchases(items: list[Item]) -> None:
    log = played(traffic_of(items, 40_000, seed=5))
    population = log.traffic.population
    misfits = []
    for kind in (CLICK, ADD):
        rows = log.rows[log.rows["kind"] == kind]
        level = population.traits["price_level"][rows["shopper"]]
        misfits.append(float(np.abs(population.market.relative[rows["item"]] - level).mean()))
    paid = log.rows[log.rows["kind"] == PURCHASE]
    misfits.append(float(population.cart_misfit(paid["shopper"], paid["cart"]).mean()))
    assert misfits[0] > 1.05 * misfits[1] and misfits[1] > 1.05 * misfits[2]


def test_only_the_first_shoppers_take_part_when_asked(items: list[Item], log: Log) -> None:
    population = log.traffic.population
    some = Traffic(population, 5_000, shoppers=40)
    assert np.concatenate(list(some.parts()))["shopper"].max() < 40
    with pytest.raises(ValueError, match="needs shoppers"):
        Traffic(population, 5_000, shoppers=0)


def test_a_skip_is_of_something_attended_and_not_opened(log: Log) -> None:
    skips, clicks = (
        {(int(e["session"]), int(e["page"]), int(e["item"])) for e in log.rows[log.rows["kind"] == kind]}
        for kind in (SKIP, CLICK)
    )
    assert skips and not skips & clicks


def test_people_come_with_the_size_of_the_log() -> None:
    assert (shoppers_for(1_000), shoppers_for(1_500_000)) == (900, 10_000)


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="need items"):
        traffic_of([], 10)
