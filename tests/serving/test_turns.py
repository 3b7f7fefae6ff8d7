from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from rtp_monolith.errors import DeadlineExceeded, Overloaded, RtpError
from rtp_monolith.serving.turns import Share, Turns


class Loop:
    """A loop of rounds on a clock that moves only when a turn costs something."""

    def __init__(self, **options: float) -> None:
        self.now_s = 100.0
        self.deferred: list[Callable[[], None]] = []
        self.turns = Turns(lambda: self.now_s, lambda call: self.deferred.append(call), **options)  # type: ignore[arg-type]
        self.ready: list[Callable[[], None]] = []
        self.done: list[str] = []
        self.failed: dict[str, RtpError] = {}

    def ask(self, name: str, share: Share, cost_s: float, deadline_s: float = 1e9) -> None:
        if self.turns.enter(share):
            self.now_s += cost_s
            self.done.append(name)
            self.turns.leave(share, cost_s)
            return

        def settle(error: RtpError | None) -> None:
            if error is not None:
                self.failed[name] = error
                return
            self.ready.append(run)

        def run() -> None:
            self.now_s += cost_s
            self.done.append(name)
            self.turns.leave(share, cost_s, waiter.granted_s)

        waiter = self.turns.wait(share, deadline_s, settle)

    def round(self) -> None:
        ready, self.ready = self.ready, []
        for run in ready:
            run()
        deferred, self.deferred = self.deferred, []
        for callback in deferred:
            callback()

    def drain(self) -> None:
        while self.deferred or self.ready:
            self.round()


def test_an_idle_queue_grants_at_once_until_the_rounds_budget_is_spent() -> None:
    loop = Loop(budget_ms=1.0)
    for name in "abc":
        loop.ask(name, "lists", 0.000_6)
    assert loop.done == ["a", "b"]
    assert loop.turns.waiting("lists") == 1
    loop.drain()
    assert loop.done == ["a", "b", "c"]


def test_a_new_round_has_a_new_budget_and_an_idle_queue_schedules_nothing() -> None:
    loop = Loop(budget_ms=1.0)
    loop.ask("a", "lists", 0.002)
    loop.drain()
    assert loop.deferred == []
    loop.ask("b", "lists", 0.002)
    assert loop.done == ["a", "b"]


def test_who_came_first_goes_first_even_when_a_later_one_would_fit() -> None:
    loop = Loop(budget_ms=1.0)
    names = [f"r{n}" for n in range(20)]
    for name in names:
        loop.ask(name, "lists", 0.000_9)
    loop.drain()
    assert loop.done == names


def test_nobody_overtakes_a_waiting_request() -> None:
    loop = Loop(budget_ms=1.0)
    loop.ask("first", "lists", 0.005)
    loop.ask("second", "lists", 0.005)
    assert not loop.turns.enter("ingest")


def test_a_deadline_that_passes_in_the_queue_is_answered_and_the_work_is_not_done() -> None:
    loop = Loop(budget_ms=1.0)
    loop.ask("slow", "lists", 0.5)
    loop.ask("late", "lists", 0.001, deadline_s=100.502)
    loop.ask("fine", "lists", 0.001, deadline_s=200.0)
    loop.now_s = 100.503
    loop.drain()
    assert loop.done == ["slow", "fine"]
    assert isinstance(loop.failed["late"], DeadlineExceeded)


def test_a_deadline_that_passed_before_the_queue_is_refused() -> None:
    loop = Loop(budget_ms=1.0)
    loop.ask("slow", "lists", 0.5)
    with pytest.raises(DeadlineExceeded):
        loop.ask("late", "lists", 0.001, deadline_s=100.2)


def test_a_full_queue_sheds() -> None:
    loop = Loop(budget_ms=1.0, queue_max=2)
    loop.ask("running", "lists", 0.002)
    loop.ask("one", "lists", 0.002)
    loop.ask("two", "lists", 0.002)
    with pytest.raises(Overloaded) as caught:
        loop.ask("three", "lists", 0.002)
    assert caught.value.retry_after_s == 1
    loop.ask("other share", "ingest", 0.002)
    loop.drain()
    assert sorted(loop.done) == ["one", "other share", "running", "two"]


def test_what_cannot_be_reached_in_time_is_shed_at_the_door() -> None:
    loop = Loop(budget_ms=1.0)
    for n in range(400):
        loop.ask(f"warm{n}", "lists", 0.010)
        loop.drain()
    loop.ask("running", "lists", 0.010)
    for n in range(10):
        loop.ask(f"r{n}", "lists", 0.010)
    assert loop.turns.expected_wait_s("lists") == pytest.approx(0.1 * loop.turns.slowdown, rel=0.01)
    with pytest.raises(Overloaded):
        loop.ask("hasty", "lists", 0.010, deadline_s=loop.now_s + 0.05)
    loop.ask("patient", "lists", 0.010, deadline_s=loop.now_s + 1.0)
    loop.drain()
    assert loop.done[-1] == "patient"
    assert loop.failed == {}


@pytest.mark.parametrize(
    ("ingest_share", "ingest_cost_s"), [(0.5, 0.001), (0.5, 0.000_1), (0.25, 0.001), (0.8, 0.000_5)]
)
def test_two_shares_that_both_wait_divide_the_time_by_their_weights(ingest_share: float, ingest_cost_s: float) -> None:
    loop = Loop(budget_ms=1.0, ingest_share=ingest_share, queue_max=100_000)
    for n in range(20_000):
        loop.ask(f"i{n}", "ingest", ingest_cost_s)
    for n in range(4_000):
        loop.ask(f"l{n}", "lists", 0.001)
    first = loop.done[0]
    while loop.turns.waiting("ingest") and loop.turns.waiting("lists"):
        loop.round()
    ingest_s = sum(ingest_cost_s for name in loop.done if name[0] == "i" and name != first)
    lists_s = sum(0.001 for name in loop.done if name[0] == "l")
    assert ingest_s / (ingest_s + lists_s) == pytest.approx(ingest_share, abs=0.03)


def test_a_share_that_was_idle_has_saved_up_nothing() -> None:
    loop = Loop(budget_ms=1.0)
    for n in range(500):
        loop.ask(f"warm{n}", "lists", 0.001)
        loop.drain()
    loop.done.clear()
    for n in range(100):
        loop.ask(f"i{n}", "ingest", 0.001)
        loop.ask(f"l{n}", "lists", 0.001)
    loop.drain()
    early = loop.done[:60]
    assert 20 <= sum(name[0] == "l" for name in early) <= 40


async def test_run_returns_and_raises_what_the_work_does() -> None:
    turns = Turns(time.perf_counter, asyncio.get_running_loop().call_soon)

    async def good() -> int:
        return 7

    async def waits() -> int:
        await asyncio.sleep(0.001)
        return 8

    async def bad() -> int:
        await asyncio.sleep(0)
        raise KeyError("x")

    deadline = time.perf_counter() + 10
    assert await turns.run("lists", deadline, good) == 7
    assert await turns.run("ingest", deadline, waits) == 8
    with pytest.raises(KeyError):
        await turns.run("lists", deadline, bad)


async def test_a_turn_is_over_when_the_work_first_waits() -> None:
    left: list[float] = []
    turns = Turns(time.perf_counter, asyncio.get_running_loop().call_soon)
    leave = turns.leave

    def spy(share: Share, cost_s: float, granted_s: float = 0.0) -> None:
        left.append(cost_s)
        leave(share, cost_s, granted_s)

    turns.leave = spy  # type: ignore[method-assign]
    gate = asyncio.Event()

    async def waits() -> None:
        await gate.wait()

    task = asyncio.create_task(turns.run("ingest", time.perf_counter() + 10, waits))
    await asyncio.sleep(0)
    assert len(left) == 1
    gate.set()
    await task
    assert len(left) == 1


async def test_a_cancelled_request_reaches_its_work() -> None:
    turns = Turns(time.perf_counter, asyncio.get_running_loop().call_soon)
    seen: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)
            seen.append("cleaned up")
            raise

    task = asyncio.create_task(turns.run("ingest", time.perf_counter() + 10, waits))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "cleaned up"]


async def test_a_burst_in_one_round_is_served_whole_and_in_order() -> None:
    turns = Turns(time.perf_counter, asyncio.get_running_loop().call_soon, budget_ms=0.01)
    order: list[int] = []

    async def one(n: int) -> None:
        async def work() -> None:
            order.append(n)

        await turns.run("lists", time.perf_counter() + 10, work)

    await asyncio.gather(*(one(n) for n in range(200)))
    assert order == list(range(200))
    assert turns.waiting("lists") == 0
