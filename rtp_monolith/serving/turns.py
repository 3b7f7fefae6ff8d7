"""Who may use the processor next: an explicit queue of CPU turns with deadlines, shedding and guaranteed shares.

A request first gathers what it must await, then takes one turn: the part of its work that does not wait. While a round
of the event loop has budget left a turn is granted on the spot, without a task switch. Beyond the budget turns queue,
first in first out in each share, and one round's worth is granted at a time, so that the loop reads sockets, answers
commits and sees deadlines in between. Two shares that both wait divide the processor by their weights (start-time
fair queueing, Goyal et al. 1996).

Invariant: while anything is waiting a round is scheduled, so nobody waits for ever.
It does not know HTTP, nor what is done in a turn.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, Literal, TypeVar

from rtp_monolith.errors import DeadlineExceeded, Overloaded, RtpError

Share = Literal["ingest", "lists"]
Settle = Callable[[RtpError | None], None]
"""Told once how the wait ended: None means go."""

T = TypeVar("T")
SMOOTHING = 1 / 16
COST_FIRST_GUESS_S = 0.000_3


class Waiter:
    """One request in the queue; `granted_s` is the cost it was charged when it was let through."""

    __slots__ = ("deadline_s", "granted_s", "settle")

    def __init__(self, deadline_s: float, settle: Settle) -> None:
        self.deadline_s = deadline_s
        self.settle = settle
        self.granted_s = 0.0


class Lane:
    """One share: its queue, its weight, the mean cost of its turns and how much of its due it has used."""

    __slots__ = ("cost_s", "queue", "used", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.queue: deque[Waiter] = deque()
        self.cost_s = COST_FIRST_GUESS_S
        self.used = 0.0


class Turns:
    """The queue. `defer` runs a callback in the next round of the loop; all times are seconds of `monotonic_s`."""

    def __init__(
        self,
        monotonic_s: Callable[[], float],
        defer: Callable[[Callable[[], None]], object],
        *,
        ingest_share: float = 0.5,
        queue_max: int = 1024,
        budget_ms: float = 1.0,
    ) -> None:
        self._now = monotonic_s
        self._defer = defer
        self._lanes: dict[Share, Lane] = {"ingest": Lane(ingest_share), "lists": Lane(1 - ingest_share)}
        self._queue_max = queue_max
        self._budget_s = budget_ms / 1000
        self._spent_s = 0.0
        self._round_scheduled = False
        self._round_began_s = 0.0
        self._round_was_busy = False
        self._progress = 0.0
        self.slowdown = 1.0
        """Wall time of a busy round for each second spent in turns: what parsing and replying add."""

    def waiting(self, share: Share) -> int:
        """How many wait in this share."""
        return len(self._lanes[share].queue)

    def enter(self, share: Share) -> bool:
        """True when a turn may start at once. The caller runs it and then calls `leave`."""
        lanes = self._lanes
        if self._spent_s >= self._budget_s or lanes["ingest"].queue or lanes["lists"].queue:
            return False
        if not self._round_scheduled:
            self._schedule()
        return True

    def leave(self, share: Share, cost_s: float, granted_s: float = 0.0) -> None:
        """A turn has ended after `cost_s`; `granted_s` is what its waiter was charged already, 0 without one."""
        lane = self._lanes[share]
        lane.cost_s += (cost_s - lane.cost_s) * SMOOTHING
        if granted_s:
            lane.used += (cost_s - granted_s) / lane.weight
            self._spent_s += cost_s - granted_s
        else:
            self._charge(lane, cost_s)

    def wait(self, share: Share, deadline_s: float, settle: Settle) -> Waiter:
        """Joins the queue. Raises Overloaded when it is full or the turn would come too late, else DeadlineExceeded."""
        now = self._now()
        if now >= deadline_s:
            raise DeadlineExceeded("the deadline had passed before the request had its turn")
        lane = self._lanes[share]
        expected_s = self.expected_wait_s(share)
        if len(lane.queue) >= self._queue_max or now + expected_s > deadline_s:
            text = f"{len(lane.queue)} requests wait for {share}, about {expected_s * 1000:.0f} ms"
            raise Overloaded(text, retry_after_s=max(1, math.ceil(expected_s)))
        if not lane.queue:
            lane.used = max(lane.used, self._progress)
        waiter = Waiter(deadline_s, settle)
        lane.queue.append(waiter)
        if not self._round_scheduled:
            self._schedule()
        return waiter

    def expected_wait_s(self, share: Share) -> float:
        """How long a newcomer would wait: the work before it and what the other share may take meanwhile."""
        lane = self._lanes[share]
        other = self._lanes["lists" if share == "ingest" else "ingest"]
        own_s = len(lane.queue) * lane.cost_s
        other_s = min(len(other.queue) * other.cost_s, (own_s + lane.cost_s) * other.weight / lane.weight)
        return (own_s + other_s) * self.slowdown

    def _schedule(self) -> None:
        self._round_scheduled = True
        self._defer(self._round)

    def _round(self) -> None:
        """One round of the loop has passed: settle accounts, then grant what the next one has budget for."""
        now = self._now()
        if self._round_was_busy and self._spent_s > 0:
            ratio = min(max((now - self._round_began_s) / self._spent_s, 1.0), 100.0)
            self.slowdown += (ratio - self.slowdown) * SMOOTHING
        self._round_began_s = now
        self._round_scheduled = False
        self._spent_s = 0.0
        while self._spent_s < self._budget_s:
            lane = self._next_lane()
            if lane is None:
                break
            self._grant(lane, now)
        self._round_was_busy = self._next_lane() is not None
        if self._round_was_busy or self._spent_s > 0:
            self._schedule()

    def _grant(self, lane: Lane, now: float) -> None:
        waiter = lane.queue.popleft()
        if now >= waiter.deadline_s:
            waiter.settle(DeadlineExceeded("the deadline passed while the request waited for its turn"))
            return
        waiter.granted_s = lane.cost_s
        self._charge(lane, lane.cost_s)
        waiter.settle(None)

    def _charge(self, lane: Lane, cost_s: float) -> None:
        """Nobody saves up turns while idle: a lane starts from where the served ones are."""
        self._progress = max(lane.used, self._progress)
        lane.used = self._progress + cost_s / lane.weight
        self._spent_s += cost_s

    def _next_lane(self) -> Lane | None:
        ingest, lists = self._lanes["ingest"], self._lanes["lists"]
        if not ingest.queue:
            return lists if lists.queue else None
        if not lists.queue:
            return ingest
        return ingest if ingest.used <= lists.used else lists

    async def run(self, share: Share, deadline_s: float, work: Callable[[], Awaitable[T]]) -> T:
        """Takes a turn and awaits `work()` in it; the turn is over when the work first waits or returns.

        Raises Overloaded or DeadlineExceeded before the work has begun, and whatever the work raises.
        """
        granted_s = 0.0
        if self._now() >= deadline_s:
            raise DeadlineExceeded("the deadline had passed before the request asked for a turn")
        if not self.enter(share):
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            waiter = self.wait(share, deadline_s, lambda error: _settle(future, error))
            await future
            granted_s = waiter.granted_s
        return await self._turn(share, granted_s, work())

    @coroutine
    def _turn(self, share: Share, granted_s: float, work: Awaitable[T]) -> Generator[Any, Any, T]:
        """Steps the work up to its first wait by hand: only that stretch occupies the processor for this request."""
        steps = work.__await__()
        began_s = self._now()
        try:
            waits_for = next(steps)
        except StopIteration as done:
            value: T = done.value
            return value
        finally:
            self.leave(share, self._now() - began_s, granted_s)
        while True:
            try:
                yield waits_for
            except BaseException as error:  # a cancellation, most likely: the work has to see it
                try:
                    waits_for = steps.throw(error)
                except StopIteration as done:
                    value = done.value
                    return value
            else:
                value = yield from steps
                return value


def _settle(future: asyncio.Future[None], error: RtpError | None) -> None:
    if future.done():
        return  # the request was cancelled while it waited
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
