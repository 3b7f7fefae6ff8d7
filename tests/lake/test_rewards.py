"""What followed a shown item, on logs short enough to read."""

from __future__ import annotations

from typing import Any

import pytest

from rtp_monolith.config import Lake as Settings
from rtp_monolith.lake.journal import load
from tests.lake.shelf import DAY_MS, HOUR_MS, MINUTE_MS, NOON, Shelf

OUTCOMES = "clicked, carted, purchased, quantity, value, refunded"
NOTHING = (False, False, False, 0, 0.0, False)
LATER = 200 * DAY_MS


def rewards(shelf: Shelf, columns: str = OUTCOMES, *, until_ms: int | None = None) -> dict[tuple[str, str], Any]:
    """By request and item, once every window is over."""
    shelf.tell("view", "f", LATER if until_ms is None else until_ms, session_id="end")
    shelf.write()
    rows = shelf.ask(f"select request_id, item_id, {columns} from rewards")
    assert len({row[:2] for row in rows}) == len(rows), "a shown item has one row"
    return {(request, item): tuple(rest) for request, item, *rest in rows}


def test_what_followed_is_in_the_row_of_the_list_that_showed_it(shelf: Shelf) -> None:
    shelf.show("r1", "ab", 0)
    shelf.tell("impression", "a", 1_000, request_id="r1")
    shelf.tell("click", "a", 2_000, request_id="r1")
    shelf.tell("click", "a", 3_000, request_id="r1")
    shelf.tell("dwell", "a", 4_000, props={"dwell_ms": "1500"})
    shelf.tell("dwell", "a", 5_000, props={"dwell_ms": "500"})
    found = rewards(shelf, "viewed, clicked, epoch_ms(first_click), dwell_ms, carted, surface, propensity")
    assert found["r1", "a"] == (True, True, NOON + 2_000, 2000.0, False, "home", 1.0)
    assert found["r1", "b"] == (False, False, None, 0.0, False, "home", 1.0)


def test_an_event_belongs_to_one_list(shelf: Shelf) -> None:
    shelf.show("r1", "ab", 0)
    shelf.tell("click", "a", 2 * MINUTE_MS, request_id="r1")
    shelf.show("r2", "abc", 3 * MINUTE_MS)
    shelf.tell("add_to_cart", "a", 4 * MINUTE_MS)
    shelf.tell("add_to_cart", "b", 4 * MINUTE_MS)
    shelf.tell("click", "b", 4 * MINUTE_MS + 1, request_id="r1")
    items = '[{"item_id":"a","price":2.5,"quantity":2},{"item_id":"c","price":4}]'
    shelf.tell("purchase", None, 5 * MINUTE_MS, props={"items": items, "order_id": "o"})
    # r1 was clicked for a, so a's cart and order are its own; b was shown last by r2, whatever was clicked later.
    assert rewards(shelf) == {
        ("r1", "a"): (True, True, True, 2, 5.0, False),
        ("r1", "b"): (True, False, False, 0, 0.0, False),
        ("r2", "a"): NOTHING,
        ("r2", "b"): (False, True, False, 0, 0.0, False),
        ("r2", "c"): (False, False, True, 1, 4.0, False),
    }


def test_only_the_window_counts_and_only_what_came_after(shelf: Shelf) -> None:
    shelf.settings = Settings(click_window_ms=MINUTE_MS, conversion_window_ms=2 * MINUTE_MS)
    shelf.show("r1", "abc", HOUR_MS)
    shelf.tell("click", "a", HOUR_MS + MINUTE_MS)
    shelf.tell("click", "b", HOUR_MS + MINUTE_MS + 1)
    shelf.tell("add_to_cart", "b", HOUR_MS + 2 * MINUTE_MS)
    shelf.tell("add_to_cart", "c", HOUR_MS + 2 * MINUTE_MS + 1)
    shelf.tell("click", "c", HOUR_MS - 1)
    found = rewards(shelf, "clicked, carted")
    assert found == {("r1", "a"): (True, False), ("r1", "b"): (False, True), ("r1", "c"): (False, False)}


def test_others_do_not_count_and_a_user_does_on_every_device(shelf: Shelf) -> None:
    shelf.show("r1", "ab", 0, user="u")
    shelf.tell("click", "a", MINUTE_MS, session_id="s2", user_id="v")
    shelf.tell("click", "b", MINUTE_MS, session_id="s3", user_id="u")
    assert rewards(shelf, "clicked") == {("r1", "a"): (False,), ("r1", "b"): (True,)}


def test_windows_reach_over_the_hour(shelf: Shelf) -> None:
    shelf.show("r1", "a", 59 * MINUTE_MS)
    shelf.tell("click", "a", 80 * MINUTE_MS)
    shelf.show("r2", "a", 85 * MINUTE_MS)
    # The click of r1 lies in the hour before the cart; r2 showed it later and was not clicked.
    shelf.tell("add_to_cart", "a", 118 * MINUTE_MS)
    assert rewards(shelf, "clicked, carted") == {("r1", "a"): (True, True), ("r2", "a"): (False, False)}


def test_an_hour_is_made_when_its_windows_are_over_and_again_when_something_arrives_late(shelf: Shelf) -> None:
    shelf.show("r1", "ab", 10 * MINUTE_MS)
    shelf.tell("click", "a", 11 * MINUTE_MS)
    assert rewards(shelf, "clicked", until_ms=2 * HOUR_MS - 1) == {}
    assert load(shelf.folder).rewards_due == [NOON // HOUR_MS]
    made = rewards(shelf, "clicked", until_ms=2 * HOUR_MS + 60_000)
    assert made == {("r1", "a"): (True,), ("r1", "b"): (False,)}
    assert load(shelf.folder).rewards_due == []
    shelf.tell("click", "b", 12 * MINUTE_MS)
    assert rewards(shelf, "clicked") == {("r1", "a"): (True,), ("r1", "b"): (True,)}


def test_unfinished_rewards_are_made_again(shelf: Shelf) -> None:
    shelf.show("r1", "a", 0)
    shelf.write(unfinished=True)
    assert shelf.ask("select clicked from rewards") == [(False,)]
    shelf.tell("click", "a", 1)
    shelf.write(unfinished=True)
    assert shelf.ask("select clicked from rewards") == [(True,)]


@pytest.mark.parametrize(
    ("refund", "rest"),
    [
        ({"order_id": "o"}, {"a": (False, 0, 0.0, True), "b": (False, 0, 0.0, True)}),
        ({"order_id": "o", "items": '[{"item_id":"a"}]'}, {"a": (True, 2, 5.0, True), "b": (True, 1, 4.0, False)}),
        ({"order_id": "o", "items": '[{"item_id":"a","quantity":3}]'}, {"a": (False, 0, 0.0, True)}),
        ({"order_id": "another"}, {"a": (True, 3, 7.5, False), "b": (True, 1, 4.0, False)}),
        ({}, {"a": (False, 0, 0.0, True), "b": (False, 0, 0.0, True)}),
    ],
)
def test_a_refund_days_later_corrects_what_was_counted(shelf: Shelf, refund: dict[str, str], rest: Any) -> None:
    shelf.show("r1", "ab", 0)
    items = '[{"item_id":"a","price":2.5,"quantity":3},{"item_id":"b","price":4}]'
    shelf.tell("purchase", None, MINUTE_MS, props={"items": items, "order_id": "o"})
    columns = "purchased, quantity, value, refunded"
    before = rewards(shelf, columns, until_ms=DAY_MS)
    assert before == {("r1", "a"): (True, 3, 7.5, False), ("r1", "b"): (True, 1, 4.0, False)}
    shelf.tell("refund", None, 3 * DAY_MS, props=refund)
    after = rewards(shelf, columns)
    assert {item: after["r1", item] for item in rest} == rest
    assert load(shelf.folder).refunds == []


def test_a_refund_after_its_window_corrects_nothing(shelf: Shelf) -> None:
    shelf.show("r1", "a", 0)
    shelf.tell("purchase", "a", MINUTE_MS, props={"price": "3", "quantity": "2", "order_id": "o"})
    shelf.tell("refund", None, 15 * DAY_MS, props={"order_id": "o"})
    assert rewards(shelf, "purchased, value") == {("r1", "a"): (True, 6.0)}


def test_other_windows_make_every_hour_again(shelf: Shelf) -> None:
    shelf.show("r1", "a", 0)
    shelf.tell("click", "a", 10 * MINUTE_MS)
    assert rewards(shelf, "clicked") == {("r1", "a"): (True,)}
    shelf.settings = Settings(click_window_ms=MINUTE_MS)
    assert rewards(shelf, "clicked") == {("r1", "a"): (False,)}
