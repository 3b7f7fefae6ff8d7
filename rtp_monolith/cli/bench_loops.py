"""Two ways to load a server: a closed loop of clients that wait for answers, an open one of arrivals that do not.

Invariant: in the open loop a latency counts from the moment the request was due, sent or not, so a stalled server is
seen (no coordinated omission). Only exchanges that end inside the window count. It does not know what an exchange is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from time import perf_counter

import msgspec

from rtp_monolith.cli.bench_client import Connection

Exchange = Callable[[Connection, float, Callable[[], None]], None]
"""Plays one exchange on a connection; gets the second it was due, calls back when it is over."""

WARM_UP_SHARE, WARM_UP_S_MAX = 0.2, 2.0


class Window:
    """What happened between the end of the warm-up and the end of the run; times of `perf_counter`."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.from_s = perf_counter() + min(WARM_UP_SHARE * seconds, WARM_UP_S_MAX)
        self.until_s = self.from_s + seconds
        self.latencies_s: list[float] = []
        self.failed: dict[int, int] = {}
        self.work = 0
        """Units of work done in the window, such as events."""

    def done(self, began_s: float, work: int = 1) -> None:
        """An exchange that began then has ended well now."""
        now = perf_counter()
        if self.from_s <= now < self.until_s:
            self.latencies_s.append(now - began_s)
            self.work += work

    def fail(self, status: int) -> None:
        self.failed[status] = self.failed.get(status, 0) + 1

    @property
    def over(self) -> bool:
        return perf_counter() >= self.until_s

    def summary(self) -> Summary:
        return summarize(self.latencies_s, self.work, self.seconds, self.failed)


class Summary(msgspec.Struct, frozen=True):
    """Rates per second, times in ms."""

    count: int
    per_s: float
    work_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: dict[str, int]


def summarize(latencies_s: Sequence[float], work: int, seconds: float, failed: dict[int, int]) -> Summary:
    ordered = sorted(latencies_s)
    return Summary(
        count=len(ordered),
        per_s=round(len(ordered) / seconds, 1),
        work_per_s=round(work / seconds, 1),
        p50_ms=percentile_ms(ordered, 0.50),
        p99_ms=percentile_ms(ordered, 0.99),
        max_ms=percentile_ms(ordered, 1.0),
        failed={str(status): count for status, count in sorted(failed.items())},
    )


def percentile_ms(ordered_s: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed; 0 of none."""
    if not ordered_s:
        return 0.0
    at = max(0, -int(-share * len(ordered_s) // 1) - 1)
    return round(ordered_s[min(at, len(ordered_s) - 1)] * 1000, 3)


async def closed_loop(connections: Sequence[Connection], window: Window, exchange: Exchange) -> None:
    """Each connection begins its next exchange when the last one is over, until the window closes."""
    finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    active = len(connections)

    def begin(connection: Connection) -> None:
        nonlocal active
        if window.over:
            active -= 1
            if active == 0 and not finished.done():
                finished.set_result(None)
            return
        try:
            exchange(connection, perf_counter(), lambda: begin(connection))
        except Exception as error:
            if not finished.done():
                finished.set_exception(error)

    for connection in connections:
        begin(connection)
    await finished


class OpenLoop:
    """Poisson arrivals at `rate_per_s`; an arrival that finds every connection busy waits for one."""

    def __init__(
        self, connections: Sequence[Connection], window: Window, exchange: Exchange, rate_per_s: float, rng: Random
    ) -> None:
        self._idle = list(connections)
        self._count = len(connections)
        self._window = window
        self._exchange = exchange
        self._rate = rate_per_s
        self._rng = rng
        self._due_s = perf_counter()
        self._late: deque[float] = deque()
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the window is over and everything that arrived in it is answered."""
        self._pump()
        await self._finished

    def _pump(self) -> None:
        """Looks at the clock in every round of the loop: its timers know whole milliseconds only."""
        if self._finished.done():
            return
        now = perf_counter()
        while self._due_s <= now and self._due_s < self._window.until_s:
            self._late.append(self._due_s)
            self._due_s += self._rng.expovariate(self._rate)
        while self._late and self._idle:
            self._start(self._idle.pop(), self._late.popleft())
        if now >= self._window.until_s and not self._late and len(self._idle) == self._count:
            self._finished.set_result(None)
            return
        asyncio.get_running_loop().call_soon(self._pump)

    def _start(self, connection: Connection, due_s: float) -> None:
        try:
            self._exchange(connection, due_s, lambda: self._idle.append(connection))
        except Exception as error:
            if not self._finished.done():
                self._finished.set_exception(error)
