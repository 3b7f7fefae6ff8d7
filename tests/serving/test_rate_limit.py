from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp_monolith.clock import ManualClock
from rtp_monolith.errors import RateLimited
from rtp_monolith.serving.rate_limit import RateLimit


def passes(limit: RateLimit, client: str = "a") -> bool:
    try:
        limit.take(client)
    except RateLimited:
        return False
    return True


@given(
    rate=st.floats(0.5, 50),
    burst=st.integers(1, 20),
    waits_ms=st.lists(st.integers(0, 500), min_size=1, max_size=200),
)
def test_no_stretch_of_time_lets_more_through_than_burst_and_rate(rate: float, burst: int, waits_ms: list[int]) -> None:
    clock = ManualClock()
    limit = RateLimit(rate, clock.monotonic_s, burst=burst)
    taken: list[float] = []
    for wait_ms in waits_ms:
        clock.advance(wait_ms)
        if passes(limit):
            taken.append(clock.monotonic_s())
    for first in range(len(taken)):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - taken[first]) + 1e-6


def test_the_time_to_wait_is_enough() -> None:
    clock = ManualClock()
    limit = RateLimit(0.4, clock.monotonic_s, burst=1)
    limit.take("a")
    with pytest.raises(RateLimited) as caught:
        limit.take("a")
    assert caught.value.retry_after_s == 3
    clock.advance(3000)
    assert passes(limit)


def test_the_burst_is_a_seconds_worth_unless_said() -> None:
    limit = RateLimit(3, ManualClock().monotonic_s)
    assert [passes(limit) for _ in range(4)] == [True, True, True, False]


def test_the_table_is_bounded_and_forgets_who_called_longest_ago() -> None:
    limit = RateLimit(1, ManualClock().monotonic_s, burst=1, clients_max=2)
    assert passes(limit, "a")
    assert passes(limit, "b")
    assert not passes(limit, "a")
    assert passes(limit, "c")
    assert not passes(limit, "a")
    assert passes(limit, "b")
