"""Every feature, once.

The families: what the session did, who the user is, how the item, its category and its seller do, the context, and
what user and item have in common. A context that the request leaves open is the one of the user's latest events.
Windows are 5 min, 1 h, 1 d, 7 d and lifetime.
"""

from __future__ import annotations

from rtp_monolith.features.spec import DAY_MS, HOUR_MS, Feature


def _session() -> list[Feature]:
    counts = [
        Feature(name=f"session_{name}", op="session_count", event=event, meaning=f"{event} events in this session")
        for name, event in (
            ("clicks", "click"),
            ("views", "view"),
            ("searches", "search"),
            ("impressions", "impression"),
            ("skips", "skip"),
            ("likes", "like"),
        )
    ]
    return [
        *counts,
        Feature(
            name="session_cart_adds",
            op="session_count",
            event="add_to_cart",
            meaning="add_to_cart events in this session",
        ),
        Feature(
            name="session_purchases", op="session_count", event="purchase", meaning="purchase events in this session"
        ),
        Feature(name="session_items", op="session_items", meaning="actions of this session in the last-K list"),
        Feature(name="session_distinct_items", op="session_distinct_items", meaning="different items acted on"),
        Feature(
            name="session_distinct_categories",
            op="session_distinct_categories",
            meaning="different primary categories of the wanted items",
        ),
        Feature(name="session_dwell_mean_s", op="session_dwell_mean", meaning="mean dwell on an item, seconds"),
        Feature(
            name="session_duration_min",
            op="session_duration_minutes",
            meaning="first to last event of the session, minutes",
        ),
        Feature(name="session_idle_min", op="session_idle_minutes", meaning="minutes since the session's last event"),
        Feature(name="session_scroll_pct", op="session_scroll", meaning="deepest scroll, percent"),
        Feature(name="session_cart_items", op="session_cart_items", meaning="different items in the cart"),
        Feature(name="session_cart_quantity", op="session_cart_quantity", meaning="pieces in the cart"),
        Feature(name="session_cart_value", op="session_cart_value", meaning="catalogue price of the cart"),
        Feature(
            name="session_price_mean",
            op="session_price_mean",
            meaning="mean price of the session's wanted items, else of the user's",
        ),
    ]


def _user() -> list[Feature]:
    counts = [
        Feature(
            name=f"user_{event}s_{window}",
            op="user_count",
            event=event,
            window=window,
            meaning=f"{event} events, {window}",
        )
        for event, windows in (("click", ("5m", "1h", "1d", "7d", "lifetime")), ("purchase", ("7d", "lifetime")))
        for window in windows
    ]
    return [
        *counts,
        Feature(
            name="user_clicks_decayed_1d",
            op="user_decayed",
            event="click",
            half_life_ms=DAY_MS,
            meaning="clicks, each worth half per day of age",
        ),
        Feature(
            name="user_click_rate_7d",
            op="user_rate",
            hits="click",
            trials="impression",
            window="7d",
            prior_rate=0.05,
            prior_strength=20.0,
            default=0.05,
            meaning="clicks per viewed impression, 7 days",
        ),
        Feature(
            name="user_dwell_mean_ms", op="user_moment", moment="dwell", statistic="mean", meaning="mean dwell, ms"
        ),
        Feature(
            name="user_price_mean",
            op="user_moment",
            moment="price",
            statistic="mean",
            meaning="mean price of wanted items",
        ),
        Feature(
            name="user_price_deviation",
            op="user_moment",
            moment="price",
            statistic="deviation",
            meaning="standard deviation of the price of wanted items",
        ),
        Feature(
            name="user_order_value_mean",
            op="user_moment",
            moment="order_value",
            statistic="mean",
            meaning="mean order value, refunds taken off",
        ),
        Feature(
            name="user_spend",
            op="user_moment",
            moment="order_value",
            statistic="sum",
            meaning="sum of order values, refunds taken off",
        ),
        Feature(name="user_sessions", op="user_sessions", meaning="sessions so far"),
        Feature(name="user_categories", op="user_categories", meaning="different categories wanted, at most 32"),
        Feature(name="user_age_days", op="user_age_days", meaning="days since the first event"),
        Feature(name="user_idle_hours", op="user_idle_hours", meaning="hours since the last event"),
        Feature(
            name="user_loyalty_tier",
            op="user_attribute",
            key="loyalty_tier",
            meaning="attribute `loyalty_tier` of the user record, a number",
        ),
    ]


def _item_rates() -> list[Feature]:
    return [
        Feature(
            name="item_ctr_1d",
            op="item_rate",
            hits="click",
            trials="impression",
            window="1d",
            prior_rate=0.05,
            prior_strength=50.0,
            meaning="clicks per viewed impression, 1 day",
        ),
        Feature(
            name="item_ctr_served_7d",
            op="item_rate",
            hits="click",
            trials="served",
            window="7d",
            prior_rate=0.05,
            prior_strength=50.0,
            meaning="clicks per served impression, 7 days",
        ),
        Feature(
            name="item_cart_rate_7d",
            op="item_rate",
            hits="add_to_cart",
            trials="click",
            window="7d",
            prior_rate=0.1,
            prior_strength=20.0,
            meaning="carts per click, 7 days",
        ),
        Feature(
            name="item_purchase_rate_7d",
            op="item_rate",
            hits="purchase",
            trials="click",
            window="7d",
            prior_rate=0.02,
            prior_strength=50.0,
            meaning="order lines per click, 7 days",
        ),
    ]


def _item() -> list[Feature]:
    counts = [
        Feature(name=f"item_clicks_{w}", op="item_count", event="click", window=w, meaning=f"clicks on the item, {w}")
        for w in ("5m", "1h", "1d", "7d")
    ]
    return [
        *counts,
        Feature(
            name="item_cart_adds_1d",
            op="item_count",
            event="add_to_cart",
            window="1d",
            meaning="carts it went into, 1 day",
        ),
        Feature(
            name="item_purchases_7d",
            op="item_count",
            event="purchase",
            window="7d",
            meaning="order lines of it, 7 days",
        ),
        Feature(name="item_refunds_7d", op="item_count", event="refund", window="7d", meaning="refunds of it, 7 days"),
        Feature(
            name="item_clicks_decayed_6h",
            version=2,
            op="item_decayed",
            event="click",
            half_life_ms=6 * HOUR_MS,
            meaning="clicks, each worth half per 6 hours of age",
        ),
        *_item_rates(),
        Feature(
            name="item_popularity",
            version=2,
            op="item_popularity",
            half_life_ms=3 * DAY_MS,
            meaning="weighted interest, half-life 3 days; refunds take purchases back",
        ),
        Feature(
            name="item_trend", op="item_trend", meaning="last hour above what the week makes one expect, deviations"
        ),
        Feature(name="item_dwell_mean_s", op="item_dwell_mean", meaning="mean dwell on the item, seconds"),
        Feature(name="item_revenue", op="item_revenue", meaning="revenue of the item so far, refunds taken off"),
        Feature(name="item_price", op="item_price", meaning="price"),
        Feature(name="item_price_bucket", op="item_price_bucket", meaning="whole part of log2(1 + price)"),
        Feature(
            name="item_seller_trust",
            op="item_attribute",
            key="seller_trust",
            meaning="attribute `seller_trust` of the item, a number",
        ),
        Feature(
            name="item_age_days",
            version=2,
            op="item_age_days",
            meaning="days since the item was created or first put",
        ),
        Feature(name="item_available", op="item_available", meaning="1 when it can be had", default=1.0),
        Feature(name="item_neighbours", op="item_neighbours", meaning="items it was seen together with, at most 64"),
    ]


def _category() -> list[Feature]:
    return [
        Feature(
            name="category_clicks_1d",
            op="category_count",
            event="click",
            window="1d",
            meaning="clicks in the item's primary category, 1 day",
        ),
        Feature(
            name="category_ctr_7d",
            op="category_rate",
            hits="click",
            trials="impression",
            window="7d",
            prior_rate=0.05,
            prior_strength=200.0,
            default=0.05,
            meaning="clicks per viewed impression in the category, 7 days",
        ),
        Feature(
            name="category_purchase_rate_7d",
            op="category_rate",
            hits="purchase",
            trials="click",
            window="7d",
            prior_rate=0.02,
            prior_strength=200.0,
            default=0.02,
            meaning="order lines per click in the category, 7 days",
        ),
        Feature(
            name="category_popularity",
            version=2,
            op="category_popularity",
            half_life_ms=3 * DAY_MS,
            meaning="weighted interest in the category, half-life 3 days",
        ),
        Feature(
            name="category_trend", op="category_trend", meaning="the category's last hour above its week, deviations"
        ),
    ]


def _seller() -> list[Feature]:
    return [
        Feature(
            name="seller_clicks_7d",
            op="seller_count",
            event="click",
            window="7d",
            meaning="clicks on items of the seller, 7 days",
        ),
        Feature(
            name="seller_purchase_rate_7d",
            op="seller_rate",
            hits="purchase",
            trials="click",
            window="7d",
            prior_rate=0.02,
            prior_strength=200.0,
            default=0.02,
            meaning="order lines per click at the seller, 7 days",
        ),
        Feature(
            name="seller_refund_rate_7d",
            op="seller_rate",
            hits="refund",
            trials="purchase",
            window="7d",
            prior_rate=0.05,
            prior_strength=20.0,
            default=0.05,
            meaning="refunds per order line at the seller, 7 days",
        ),
    ]


def _context() -> list[Feature]:
    return [
        Feature(name="context_hour", op="context_hour", meaning="hour of the day, UTC"),
        Feature(name="context_weekend", op="context_weekend", meaning="1 on Saturday and Sunday, UTC"),
        Feature(name="context_mobile", op="context_is", key="device", value="mobile", meaning="1 on a mobile device"),
        Feature(name="context_app", op="context_is", key="channel", value="app", meaning="1 inside the app"),
        Feature(
            name="context_app_major",
            op="context_number",
            key="app_version",
            meaning="major version of the app, 7 of `7.2.1`",
        ),
        *[
            Feature(
                name=f"context_{key}_ctr_7d",
                op="context_rate",
                key=key,
                hits="click",
                trials="impression",
                window="7d",
                prior_rate=0.05,
                prior_strength=200.0,
                default=0.05,
                meaning=f"clicks per viewed impression under this {key}, 7 days",
            )
            for key in ("device", "country", "channel")
        ],
        *[
            Feature(
                name=f"context_{key}_item_7d",
                op="context_item_count",
                key=key,
                window="7d",
                meaning=f"interactions with the item under this {key}, 7 days",
            )
            for key in ("device", "country", "channel")
        ],
    ]


def _cross() -> list[Feature]:
    return [
        Feature(name="cross_in_cart", op="cross_in_cart", meaning="1 when the item is in the session's cart"),
        Feature(name="cross_clicked", op="cross_clicked", meaning="1 when the user clicked it, last 256 items"),
        Feature(name="cross_bought", op="cross_bought", meaning="1 when the user bought it, last 128 items"),
        Feature(
            name="cross_minutes_since",
            op="cross_minutes_since",
            default=1e6,
            meaning="minutes since the user last acted on the item",
        ),
        Feature(
            name="cross_session_category_share",
            op="cross_session_category_share",
            meaning="share of the session's wishes in the item's primary category",
        ),
        Feature(
            name="cross_user_category_share",
            op="cross_user_category_share",
            meaning="share of the user's wishes in the item's primary category",
        ),
        Feature(
            name="cross_same_category_as_last",
            op="cross_same_category_as_last",
            meaning="1 when the session's last wish has the item's primary category",
        ),
        Feature(
            name="cross_same_brand_as_last",
            op="cross_same_brand_as_last",
            meaning="1 when the session's last wish has the item's brand",
        ),
        Feature(
            name="cross_price_ratio",
            op="cross_price_ratio",
            default=1.0,
            meaning="price over the mean price of the session's wishes",
        ),
        Feature(
            name="cross_covisitation",
            op="cross_covisitation",
            meaning="co-visitation score of the item with the session's last ten wishes",
        ),
    ]


FEATURES: tuple[Feature, ...] = (*_session(), *_user(), *_item(), *_category(), *_seller(), *_context(), *_cross())
