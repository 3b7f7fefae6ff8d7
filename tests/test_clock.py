from __future__ import annotations

from rtp_monolith.clock import EventClock, ManualClock, WallClock, make_clock


def test_the_event_clock_is_the_latest_event_and_never_runs_back() -> None:
    clock = make_clock("events")
    assert isinstance(clock, EventClock)
    assert clock.now_ms() == 0
    clock.observe(1_400_000_000_000)
    clock.observe(1_300_000_000_000)
    assert clock.now_ms() == 1_400_000_000_000


def test_receipt_is_wall_time_whatever_the_clock() -> None:
    wall, events = make_clock("wall"), EventClock(5)
    assert type(wall) is WallClock
    before = wall.now_ms()
    assert before <= events.wall_ms() <= wall.wall_ms()
    wall.observe(before + 10_000_000)
    assert wall.now_ms() < before + 10_000_000


def test_the_manual_clock_moves_when_told() -> None:
    clock = ManualClock(1_000)
    clock.advance(500)
    clock.observe(9_999)
    assert (clock.now_ms(), clock.wall_ms(), clock.monotonic_s()) == (1_500, 1_500, 1.5)
