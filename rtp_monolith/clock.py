"""Time as an argument: the only module that reads a clock of the machine.

Invariant: `now_ms` never runs backwards under the `events` clock, and does not move there unless an event is observed.
It does not know what the times are used for.
"""

from __future__ import annotations

import time
from typing import Literal, Protocol

ClockName = Literal["wall", "events"]


class Clock(Protocol):
    """All times are integers of milliseconds since 1970, except `monotonic_s`, which counts from an arbitrary start."""

    def now_ms(self) -> int:
        """The shard's now: windows, decay and `as_of_ms` are measured from it."""

    def wall_ms(self) -> int:
        """Time of receipt, whatever the shard's clock is."""

    def monotonic_s(self) -> float:
        """For durations and deadlines."""

    def observe(self, ts_ms: int) -> None:
        """An event with this time was accepted."""

    def pause(self, seconds: float) -> None:
        """Waits, holding the thread: what an injected stall does, and nothing else."""


class WallClock:
    """`--clock wall`: now is the time of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.perf_counter()

    def observe(self, ts_ms: int) -> None:
        pass

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class EventClock(WallClock):
    """`--clock events`: now is the time of the latest accepted event, 0 before the first. For replays of old logs."""

    def __init__(self, latest_ms: int = 0) -> None:
        self._latest_ms = latest_ms

    def now_ms(self) -> int:
        return self._latest_ms

    def observe(self, ts_ms: int) -> None:
        if ts_ms > self._latest_ms:
            self._latest_ms = ts_ms


class ManualClock:
    """A clock that moves only when told: for tests and simulations."""

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def wall_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000

    def observe(self, ts_ms: int) -> None:
        pass

    def pause(self, seconds: float) -> None:
        self._now_ms += round(seconds * 1000)

    def advance(self, ms: int) -> None:
        self._now_ms += ms


def make_clock(name: ClockName) -> Clock:
    """The clock that `rtp serve --clock NAME` asks for."""
    return EventClock() if name == "events" else WallClock()
