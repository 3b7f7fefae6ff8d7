from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import orjson
import pytest

from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, Item, generate_items
from rtp_monolith.demo.traffic import Event, generate_events, to_ndjson

WITH_ITEM = {"impression", "click", "view", "add_to_cart", "remove_from_cart", "like", "dislike", "skip"}
FIELDS = {
    "event_id", "user_id", "session_id", "event_type", "item_id", "ts_ms", "props", "request_id", "position",
    "schema_version",
}  # fmt: skip


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return generate_items(600)


@pytest.fixture(scope="module")
def events(items: list[Item]) -> list[Event]:
    return generate_events(items, 20_000, seed=5)


def test_one_seed_gives_the_same_bytes(items: list[Item], events: list[Event]) -> None:
    assert to_ndjson(generate_events(items, 20_000, seed=5)) == to_ndjson(events)
    assert to_ndjson(generate_events(items, 20_000, seed=6)) != to_ndjson(events)


def test_exactly_as_many_as_asked_in_time_order_ending_at_the_end(events: list[Event]) -> None:
    times = [event["ts_ms"] for event in events]
    assert len(events) == 20_000
    assert times == sorted(times)
    assert times[-1] == END_MS_DEFAULT
    assert times[0] > END_MS_DEFAULT - 32 * DAY_MS


def test_events_have_the_form_of_the_contract(items: list[Item], events: list[Event]) -> None:
    known = {item.id for item in items}
    assert len({event["event_id"] for event in events}) == len(events)
    for event in events:
        assert event.keys() <= FIELDS and event["schema_version"] == 2
        assert event["event_type"] not in WITH_ITEM or event["item_id"] in known
        assert all(isinstance(value, str) for value in event.get("props", {}).values())
        assert ("request_id" in event) == ("position" in event)


def test_every_kind_of_behaviour_happens(events: list[Event]) -> None:
    counts = Counter(event["event_type"] for event in events)
    assert counts.keys() >= WITH_ITEM - {"view"} | {"dwell", "scroll", "search", "purchase", "refund", "identify"}
    assert 0.08 < counts["click"] / counts["impression"] < 0.35
    assert counts["purchase"] < counts["add_to_cart"] < counts["click"] < counts["impression"]


def test_clicks_follow_an_impression_of_the_same_list_and_place(events: list[Event]) -> None:
    seen = {(e["request_id"], e["position"], e["item_id"]) for e in events if e["event_type"] == "impression"}
    # The first lists may have lost their impressions to the cut at the front.
    clicks = [e for e in events[1000:] if e["event_type"] == "click"]
    assert all((e["request_id"], e["position"], e["item_id"]) in seen for e in clicks)


def test_higher_places_are_looked_at_more(events: list[Event]) -> None:
    places = Counter(event["position"] for event in events if event["event_type"] == "impression")
    assert places[0] > 1.2 * places[5] > 1.2 * places[9]


def test_a_session_stays_mostly_with_one_category(items: list[Item], events: list[Event]) -> None:
    category = {item.id: item.categories[0] for item in items}
    clicked: dict[str, list[str]] = defaultdict(list)
    for event in events:
        if event["event_type"] == "click":
            clicked[event["session_id"]].append(category[event["item_id"]])
    pairs = [(a, b) for names in clicked.values() for a, b in itertools.pairwise(names)]
    assert sum(a == b for a, b in pairs) / len(pairs) > 0.4


def test_some_visitors_sign_in_and_some_never_do(events: list[Event]) -> None:
    users: dict[str, set[str | None]] = defaultdict(set)
    for event in events:
        users[event["session_id"]].add(event.get("user_id"))
    kinds = Counter(len(names) if None not in names else -len(names) for names in users.values())
    assert kinds.keys() == {1, -1, -2}
    identified = [event for event in events if event["event_type"] == "identify"]
    assert all(event["user_id"].startswith("shopper-") for event in identified)


def test_a_purchase_lists_what_was_in_the_cart(events: list[Event]) -> None:
    carts: dict[str, list[str]] = defaultdict(list)
    checked = 0
    for event in events[5000:]:
        if event["event_type"] == "add_to_cart":
            carts[event["session_id"]].append(event["item_id"])
        elif event["event_type"] == "purchase":
            lines = orjson.loads(event["props"]["items"])
            value = sum(line["price"] * line["quantity"] for line in lines)
            assert event["props"]["value"] == f"{value:.2f}"
            if event["session_id"] in carts:
                checked += {line["item_id"] for line in lines} <= set(carts[event["session_id"]])
    assert checked > 20


def test_ndjson_lines_are_events(events: list[Event]) -> None:
    assert [orjson.loads(line) for line in to_ndjson(events[:5]).splitlines()] == events[:5]


def test_no_items_are_refused() -> None:
    with pytest.raises(ValueError, match="need items"):
        generate_events([], 10)
