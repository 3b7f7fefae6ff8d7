from __future__ import annotations

import pytest

from rtp_monolith.breaker import Breaker
from rtp_monolith.clock import ManualClock
from rtp_monolith.ranking.budget import SHARE_MIN, Gate
from rtp_monolith.ranking.faults import Fault, Faults

FAILED, SLOW = "ranker_failed", "ranker_slow"


class List:
    """A list that is due in `left_ms`."""

    def __init__(self, clock: ManualClock, left_ms: float = 100.0) -> None:
        self.deadline_s = clock.monotonic_s() + left_ms / 1000
        self.codes: list[str] = []

    def step_down(self, code: str) -> None:
        self.codes.append(code)


class Stage:
    """A gate before work that takes `takes_ms` for all of it, and fails when told to."""

    def __init__(self, *, must: bool = False) -> None:
        self.clock = ManualClock(1_000_000)
        self.faults = Faults(self.clock)
        self.gate = Gate("rank", 10.0, Breaker(3, 1.0), self.clock, self.faults, failed=FAILED, slow=SLOW, must=must)
        self.takes_ms = 1
        self.fails = False
        self.shares: list[float] = []

    def work(self, share: float) -> None:
        self.shares.append(share)
        self.clock.advance(round(self.takes_ms * share))
        if self.fails:
            raise RuntimeError("no")

    def run(self, left_ms: float = 100.0) -> tuple[bool, list[str]]:
        made = List(self.clock, left_ms)
        return self.gate.run(made, self.work), made.codes


def test_a_stage_with_time_is_done_whole_and_names_nothing() -> None:
    stage = Stage()
    assert [stage.run() for _ in range(5)] == [(True, [])] * 5
    assert stage.shares == [1.0] * 5


def test_a_stage_without_time_is_not_begun() -> None:
    stage = Stage()
    assert stage.run(left_ms=1) == (False, [SLOW])
    assert stage.run(left_ms=-5) == (False, [SLOW])
    assert stage.shares == []


def test_a_stage_that_must_be_is_begun_whatever_time_is_left() -> None:
    stage = Stage(must=True)
    assert stage.run(left_ms=-5) == (True, [])


def test_with_little_time_it_shrinks_and_says_so() -> None:
    stage = Stage()
    stage.takes_ms = 8
    for _ in range(100):
        stage.run()
    stage.shares.clear()
    assert stage.run(left_ms=7) == (True, [SLOW])
    assert stage.shares == [pytest.approx(6 / 12, abs=0.01)]
    assert stage.run(left_ms=1.5)[0] is False
    assert len(stage.shares) == 1, f"less than {SHARE_MIN} of it is not worth beginning"


def test_a_failure_is_named_and_three_in_a_row_open_the_breaker() -> None:
    stage = Stage()
    stage.fails = True
    assert [stage.run() for _ in range(5)] == [(False, [FAILED])] * 5
    assert len(stage.shares) == 3


def test_after_the_cool_down_one_try_decides() -> None:
    stage = Stage()
    stage.fails = True
    for _ in range(4):
        stage.run()
    stage.clock.advance(1_001)
    assert stage.run() == (False, [FAILED])
    assert stage.run() == (False, [FAILED])
    assert len(stage.shares) == 4, "the try failed, so it is left out again"
    stage.clock.advance(1_001)
    stage.fails = False
    assert [stage.run() for _ in range(3)] == [(True, [])] * 3


def test_a_success_in_between_starts_the_count_again() -> None:
    stage = Stage()
    for fails in (True, True, False, True, True, False):
        stage.fails = fails
        stage.run()
    assert len(stage.shares) == 6


def test_what_came_late_is_used_but_three_times_in_a_row_is_too_often() -> None:
    stage = Stage()
    stage.takes_ms = 11
    assert [stage.run() for _ in range(4)] == [(True, [])] * 3 + [(False, [SLOW])]


def test_a_stall_lasts_no_longer_than_the_budget() -> None:
    stage = Stage()
    stage.faults.switch(Fault("rank", "stall", stall_ms=5_000))
    for _ in range(3):
        before = stage.clock.monotonic_s()
        assert stage.run() == (False, [SLOW])
        assert stage.clock.monotonic_s() - before == pytest.approx(0.010)
    before = stage.clock.monotonic_s()
    assert stage.run() == (False, [SLOW])
    assert stage.clock.monotonic_s() == before, "the breaker is open: nobody waits"
    stage.faults.switch(Fault(off=True))
    stage.clock.advance(1_001)
    assert stage.run() == (True, [])


def test_a_stall_lasts_no_longer_than_the_list_has() -> None:
    stage = Stage()
    stage.faults.switch(Fault("rank", "stall"))
    before = stage.clock.monotonic_s()
    assert stage.run(left_ms=6) == (False, [SLOW])
    assert stage.clock.monotonic_s() - before == pytest.approx(0.005)


def test_a_short_stall_is_only_slowness() -> None:
    stage = Stage()
    stage.faults.switch(Fault("rank", "stall", stall_ms=4))
    assert stage.run() == (True, [])


def test_one_long_pause_does_not_keep_a_stage_out_for_ever() -> None:
    stage = Stage()
    stage.takes_ms = 600_000
    stage.run()
    stage.takes_ms = 1
    assert any(stage.run(left_ms=3) == (True, []) for _ in range(100))
