"""Every feature of the catalogue: a scenario in which its value changes from one literal to another.

The values are those of item `a` for user u1 in session s1 at noon, unless the case says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rtp_monolith.features.catalog import FEATURES

from .scene import DAY, HOUR, MINUTE, Scene, Step, click, crowd, event, later, put, put_user, served

REST = MINUTE - 1
"""From noon to the end of its minute, of which features of items and categories are values."""
FRESH = REST - MINUTE // 2
"""The age of an event of that minute then: that of the minute's middle."""


@dataclass(frozen=True)
class Case:
    """The value before, what happens, the value after; `context` is the request's, `then` the one of the second."""

    before: float
    steps: list[Step]
    after: float
    context: dict[str, str] = field(default_factory=dict)
    then: dict[str, str] | None = None


CLICKS_OVER_TIME = [click("a", ago) for ago in (2 * MINUTE, 50 * MINUTE, 20 * HOUR, 6 * DAY, 30 * DAY)]
ORDERS = [
    event("purchase", "a", ago=DAY, value="100"),
    event("purchase", "a", value="50"),
    event("refund", "a", value="30"),
]
CART = [event("add_to_cart", "a", quantity="2"), event("add_to_cart", "b")]

SESSION = {
    "session_clicks": Case(0, [click("a"), click("b")], 2),
    "session_views": Case(0, [event("view", "a"), click("a")], 1),
    "session_searches": Case(0, [event("search", query="boots"), event("search", query="hats")], 2),
    "session_impressions": Case(0, [event("impression", item) for item in "abc"], 3),
    "session_skips": Case(0, [event("skip", "a")], 1),
    "session_likes": Case(0, [event("like", "a"), event("dislike", "b")], 1),
    "session_cart_adds": Case(0, [*CART, event("remove_from_cart", "a")], 2),
    "session_purchases": Case(0, [event("purchase", "a")], 1),
    "session_items": Case(0, [click("a"), event("impression", "b"), click("b"), click("a")], 3),
    "session_distinct_items": Case(0, [click("a"), event("impression", "b"), click("b"), click("a")], 2),
    "session_distinct_categories": Case(0, [click("a"), click("b"), click("c"), event("skip", "d")], 2),
    "session_dwell_mean_s": Case(
        0,
        [*map(click, "abc"), event("dwell", "a", dwell_ms="4000"), event("dwell", "b", dwell_ms="8000")],
        6,
    ),
    "session_duration_min": Case(0, [click("a", 30 * MINUTE), click("b", 10 * MINUTE)], 20),
    "session_idle_min": Case(0, [click("b", 10 * MINUTE), click("a", 30 * MINUTE)], 10),
    "session_scroll_pct": Case(0, [event("scroll", depth_pct=pct) for pct in ("40", "80", "60")], 80),
    "session_cart_items": Case(0, CART, 2),
    "session_cart_quantity": Case(0, [*CART, event("remove_from_cart", "a", quantity="1")], 2),
    "session_cart_value": Case(0, CART, 2 * 10 + 30),
    "session_price_mean": Case(0, [click("a"), click("b"), click("d")], 20),
}

USER = {
    "user_clicks_5m": Case(0, CLICKS_OVER_TIME, 1),
    "user_clicks_1h": Case(0, CLICKS_OVER_TIME, 2),
    "user_clicks_1d": Case(0, CLICKS_OVER_TIME, 3),
    "user_clicks_7d": Case(0, CLICKS_OVER_TIME, 4),
    "user_clicks_lifetime": Case(0, CLICKS_OVER_TIME, 5),
    "user_purchases_7d": Case(0, [event("purchase", "a", ago=ago) for ago in (DAY, 10 * DAY)], 1),
    "user_purchases_lifetime": Case(0, [event("purchase", "a", ago=ago) for ago in (DAY, 10 * DAY)], 2),
    # The older click lies in a bucket from 24 to 22 hours ago and counts with the age of its middle.
    "user_clicks_decayed_1d": Case(0, [click("a"), click("a", DAY)], 1 + 2 ** (-23 / 24)),
    "user_click_rate_7d": Case(0.05, [event("impression", "a")] * 30 + [click("a")] * 4, (4 + 0.05 * 20) / (30 + 20)),
    "user_dwell_mean_ms": Case(0, [event("dwell", "a", dwell_ms=ms) for ms in ("2000", "4000")], 3000),
    "user_price_mean": Case(0, [click("a"), click("b")], 20),
    "user_price_deviation": Case(0, [click("a"), click("b")], 10),
    "user_order_value_mean": Case(0, ORDERS, (100 + 50 - 30) / 2),
    "user_spend": Case(0, ORDERS, 120),
    "user_sessions": Case(0, [click("a"), event("click", "a", session="s2")], 2),
    "user_categories": Case(0, [click("a"), click("b"), click("c")], 3),
    "user_age_days": Case(0, [click("a"), click("a", 3 * DAY)], 3),
    "user_idle_hours": Case(0, [click("a", 5 * HOUR), click("a", 3 * DAY)], 5),
    "user_loyalty_tier": Case(0, [put_user(loyalty_tier=3)], 3),
}

ITEM = {
    "item_clicks_5m": Case(0, CLICKS_OVER_TIME, 1),
    "item_clicks_1h": Case(0, CLICKS_OVER_TIME, 2),
    "item_clicks_1d": Case(0, CLICKS_OVER_TIME, 3),
    "item_clicks_7d": Case(0, [*CLICKS_OVER_TIME, click("b")], 4),
    "item_cart_adds_1d": Case(0, [event("add_to_cart", "a", ago=ago) for ago in (2 * HOUR, 3 * DAY)], 1),
    "item_purchases_7d": Case(0, [event("purchase", items='[{"item_id":"a"},{"item_id":"b"}]')], 1),
    "item_refunds_7d": Case(0, [event("purchase", "a", order_id="o"), event("refund", order_id="o")], 1),
    # The older one from 6 to 4 hours ago, counted with the age of the middle.
    "item_clicks_decayed_6h": Case(
        0,
        [click("a"), click("a", 6 * HOUR)],
        2 ** (-FRESH / (6 * HOUR)) + 2 ** (-(5 * HOUR + REST) / (6 * HOUR)),
    ),
    "item_ctr_1d": Case(0.05, [crowd("impression", "a", 50), crowd("click", "a", 5)], (5 + 2.5) / (50 + 50)),
    "item_ctr_served_7d": Case(0.05, [served("a", 50), crowd("click", "a", 5)], (5 + 2.5) / (50 + 50)),
    "item_cart_rate_7d": Case(0.1, [crowd("click", "a", 20), crowd("add_to_cart", "a", 4)], (4 + 2) / (20 + 20)),
    "item_purchase_rate_7d": Case(0.02, [crowd("click", "a", 50), crowd("purchase", "a", 3)], (3 + 1) / (50 + 50)),
    "item_popularity": Case(
        0,
        [event(kind, "a") for kind in ("click", "view", "like", "add_to_cart", "purchase", "refund", "dislike")],
        (1 + 1 + 2 + 3 + 5 - 5) * 2 ** (-FRESH / (3 * DAY)),
    ),
    # 24 in the last hour where the week makes one expect 24/168 an hour.
    "item_trend": Case(0, [crowd("click", "a", 24)], (24 - 1 / 7) / (1 / 7 + 1) ** 0.5),
    "item_dwell_mean_s": Case(0, [event("dwell", "a", dwell_ms=ms) for ms in ("2000", "4000")], 3),
    "item_revenue": Case(
        0,
        [
            event("purchase", items='[{"item_id":"a","quantity":2,"price":9},{"item_id":"b"}]'),
            event("purchase", "a"),
            event("refund", "a", price="9"),
        ],
        2 * 9 + 10 - 9,
    ),
    "item_price": Case(10, [put("a", price=12.5)], 12.5),
    "item_price_bucket": Case(3, [put("a", price=40)], 5),
    "item_seller_trust": Case(0, [put("a", attributes={"seller_trust": 0.75})], 0.75),
    "item_age_days": Case(REST / DAY, [later(2 * DAY)], 2 + REST / DAY),
    "item_available": Case(1, [put("a", available=False)], 0),
    "item_neighbours": Case(0, [click("a"), click("b"), click("c")], 2),
}

CATEGORY = {
    "category_clicks_1d": Case(0, [click("b"), click("a"), click("c"), click("b", 3 * DAY)], 2),
    "category_ctr_7d": Case(0.05, [crowd("impression", "b", 200), crowd("click", "a", 20)], (20 + 10) / (200 + 200)),
    "category_purchase_rate_7d": Case(
        0.02, [crowd("click", "b", 200), crowd("purchase", "b", 12)], (12 + 4) / (200 + 200)
    ),
    "category_popularity": Case(0, [event("add_to_cart", "b"), click("c")], 3 * 2 ** (-FRESH / (3 * DAY))),
    "category_trend": Case(0, [crowd("click", "b", 24)], (24 - 1 / 7) / (1 / 7 + 1) ** 0.5),
}

SELLER = {
    "seller_clicks_7d": Case(0, [click("b"), click("a"), click("c")], 2),
    "seller_purchase_rate_7d": Case(
        0.02, [crowd("click", "b", 200), crowd("purchase", "b", 12)], (12 + 4) / (200 + 200)
    ),
    "seller_refund_rate_7d": Case(0.05, [crowd("purchase", "b", 20), crowd("refund", "b", 3)], (3 + 1) / (20 + 20)),
}

CONTEXT = {
    "context_hour": Case(12, [later(3 * HOUR)], 15),
    "context_weekend": Case(0, [later(DAY)], 1),
    "context_mobile": Case(0, [click("a", device="mobile")], 1),
    "context_app": Case(0, [], 1, then={"channel": "app"}),
    "context_app_major": Case(0, [], 7, then={"app_version": "7.2.1"}),
    **{
        f"context_{key}_ctr_7d": Case(
            0.05,
            [crowd("impression", "a", 200, **{key: "x"}), crowd("click", "b", 20, **{key: "x"})],
            (20 + 10) / (200 + 200),
            context={key: "x"},
        )
        for key in ("device", "country", "channel")
    },
    **{
        f"context_{key}_item_7d": Case(
            0,
            [crowd("click", "a", 3, **{key: "x"}), crowd("click", "b", 2, **{key: "x"}), crowd("view", "a", 1)],
            3,
            context={key: "x"},
        )
        for key in ("device", "country", "channel")
    },
}

CROSS = {
    "cross_in_cart": Case(0, CART, 1),
    "cross_clicked": Case(0, [click("a")], 1),
    "cross_bought": Case(0, [event("purchase", items='[{"item_id":"b"},{"item_id":"a"}]')], 1),
    "cross_minutes_since": Case(1e6, [click("a", 15 * MINUTE), click("b")], 15),
    "cross_session_category_share": Case(0, [*map(click, "abcb"), event("skip", "a")], 3 / 4),
    "cross_user_category_share": Case(0, [click("a"), event("view", "b"), event("click", "c", session="s0")], 2 / 3),
    "cross_same_category_as_last": Case(0, [click("c"), click("b")], 1),
    "cross_same_brand_as_last": Case(0, [click("c"), click("b")], 1),
    "cross_price_ratio": Case(1, [click("b"), click("c"), event("view", "c")], 10 / ((30 + 5 + 5) / 3)),
    # One pair; both totals are 1 with 10 added.
    "cross_covisitation": Case(
        0,
        [event("click", item, user=None, session="other") for item in "ab"] + [click("b")],
        1 / 11,
    ),
}

CASES = {**SESSION, **USER, **ITEM, **CATEGORY, **SELLER, **CONTEXT, **CROSS}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.shard.close()


def test_every_feature_has_its_case() -> None:
    assert list(CASES) == [feature.name for feature in FEATURES]


@pytest.mark.parametrize("name", CASES)
def test_feature(name: str, scene: Scene) -> None:
    case = CASES[name]
    assert scene.value(name, context=case.context) == pytest.approx(case.before, rel=1e-6)
    for step in case.steps:
        step(scene)
    after = scene.value(name, context=case.context if case.then is None else case.then)
    assert after == pytest.approx(case.after, rel=1e-6)
    assert after != pytest.approx(case.before)


def test_a_request_speaks_before_the_memory_of_the_user(scene: Scene) -> None:
    click("a", device="mobile")(scene)
    assert scene.value("context_mobile", context={"device": "desktop"}) == 0
    assert scene.value("context_mobile", context={"device": "mobile"}) == 1


def test_an_item_without_data_has_the_defaults(scene: Scene) -> None:
    values = {feature.name: scene.value(feature.name, "d") for feature in FEATURES}
    assert values["item_price"] == values["item_price_bucket"] == values["item_seller_trust"] == 0
    assert values["seller_purchase_rate_7d"] == pytest.approx(0.02)
    assert values["cross_minutes_since"] == 1e6
    assert values["cross_price_ratio"] == 1


def test_a_late_event_counts_in_its_own_window(scene: Scene) -> None:
    click("a")(scene)
    click("a", 3 * HOUR)(scene)
    assert scene.value("user_clicks_1h") == 1
    assert scene.value("user_clicks_1d") == 2
    assert scene.value("cross_minutes_since") == 0


def test_values_survive_a_restart(scene: Scene) -> None:
    for step in (*CLICKS_OVER_TIME, *ORDERS, *CART, put_user(loyalty_tier=3), crowd("click", "b", 30)):
        step(scene)
    before = {feature.name: scene.value(feature.name) for feature in FEATURES}
    scene.reopen()
    assert {feature.name: scene.value(feature.name) for feature in FEATURES} == before
