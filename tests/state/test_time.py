"""Both clocks, and events that come late."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.clock import EventClock, ManualClock

from .conftest import DAY, HOUR, NOON, Book, event


def order(book: Book) -> list[str]:
    return [entry["item_id"] for entry in book.state("s")["sessions"][0]["items"]]


def test_wall_now_is_the_time_of_the_machine(book: Book) -> None:
    book.click("e", session="s", ts=NOON - DAY)
    assert book.shard.now_ms() == NOON


def test_events_now_is_the_latest_accepted_event(tmp_path: Path) -> None:
    book = Book(tmp_path, clock=EventClock())
    assert book.shard.now_ms() == 0
    old = NOON - 3_000 * DAY
    book.click("e1", session="s", ts=old)
    book.click("e2", session="s", ts=old - 2 * HOUR)
    assert book.shard.now_ms() == old
    book.click("e1", session="s", ts=old + DAY)
    assert book.shard.now_ms() == old, "a duplicate moves nothing"
    assert book.state("s")["features"]["user_clicks_1h"] == 1
    book.clock = EventClock()
    book.reopen()
    assert book.shard.now_ms() == old, "a restart knows the time"
    book.shard.close()


@pytest.mark.parametrize(("ahead_ms", "codes"), [(300_000, []), (300_001, ["ts_in_future"])])
def test_the_future_is_refused_by_wall_time(book: Book, ahead_ms: int, codes: list[str]) -> None:
    reply = book.send(event("e", session="s", ts=NOON + ahead_ms))
    assert [refused.code for refused in reply.rejected] == codes


def test_a_late_event_takes_its_place_in_the_list_and_the_windows(book: Book) -> None:
    book.click("e1", session="s", item="b", ts=NOON)
    book.click("e2", session="s", item="a", ts=NOON - 2 * HOUR)
    assert order(book) == ["a", "b"]
    features = book.state("s")["features"]
    assert (features["user_clicks_1h"], features["user_clicks_1d"]) == (1, 2)
    assert (book.state("s")["sessions"][0]["started_ms"], book.state("s")["last_ms"]) == (NOON - 2 * HOUR, NOON)


def test_everything_else_counts_in_the_order_of_the_log(book: Book) -> None:
    """The cart: a removal that arrives last removes, whatever its time says."""
    book.send(event("e1", session="s", event_type="add_to_cart"))
    book.send(event("e2", session="s", event_type="remove_from_cart", ts=NOON - DAY))
    assert book.state("s")["sessions"][0]["cart"] == []


def test_too_late_for_a_window_still_counts_for_life(book: Book) -> None:
    book.click("e1", session="s", ts=NOON)
    book.click("e2", session="s", ts=NOON - 400 * DAY)
    features = book.state("s")["features"]
    assert (features["user_clicks_7d"], features["user_clicks_lifetime"]) == (1, 2)


def test_the_last_k_keeps_the_latest_50_by_time(book: Book) -> None:
    book.send(*[event(f"e{n}", session="s", item=f"i{n}", ts=NOON - 60_000 * n) for n in range(60)])
    assert order(book) == [f"i{n}" for n in range(49, -1, -1)]


def test_windows_move_with_the_clock_alone(book: Book) -> None:
    assert isinstance(book.clock, ManualClock)
    book.click("e", session="s")
    assert book.state("s")["features"]["user_clicks_5m"] == 1
    book.clock.advance(10 * 60_000)
    features = book.state("s")["features"]
    assert (features["user_clicks_5m"], features["user_clicks_1h"]) == (0, 1)
