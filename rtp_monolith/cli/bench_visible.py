"""Is what was acknowledged seen? One event, its acknowledgement, then a list that must know of it.

Invariant: a pair is stale when the list counts fewer events of its visitor than were acknowledged, or shows what was
just clicked. It does not know options.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from rtp_monolith.cli.bench_client import Connection
from rtp_monolith.cli.bench_loops import Exchange, Window
from rtp_monolith.cli.bench_parts import Bench, Report, ratio

REPLY_BYTES, ACK_BYTES = 2_000, 80


class _Shown(msgspec.Struct):
    id: str


class _List(msgspec.Struct):
    state_version: int
    items: list[_Shown]


class _Ack(msgspec.Struct):
    accepted: int


_read_ack = msgspec.json.Decoder(_Ack).decode
_read_list = msgspec.json.Decoder(_List).decode
_encode = msgspec.json.encode


class Pairs:
    """Plays pairs; each takes the next visitor, so that no visitor has two at once."""

    def __init__(self, bench: Bench, window: Window) -> None:
        self._bench = bench
        self._window = window
        self._rng = Random("pairs")
        self._serial = 0
        self._acknowledged = [0] * bench.plan.users
        self.pairs = 0
        self.stale = 0
        self.not_accepted = 0

    def exchange(self, connection: Connection, due_s: float, over: Callable[[], None]) -> None:
        number = self._serial % self._bench.plan.users
        self._serial += 1
        item, request = self._click(number)

        def acknowledged(status: int, body: bytes) -> None:
            if status != 200 or _read_ack(body).accepted != 1:
                self.not_accepted += 1
                self._window.fail(status)
                over()
                return
            self._acknowledged[number] += 1
            connection.send(self._bench.visitors.list_request(self._bench.address, number), listed)

        def listed(status: int, body: bytes) -> None:
            if status == 200:
                self._check(_read_list(body), number, item)
                self._window.done(due_s)
            else:
                self._window.fail(status)
            over()

        connection.send(request, acknowledged)

    def _click(self, number: int) -> tuple[str, bytes]:
        bench = self._bench
        item = bench.catalogue.id(bench.catalogue.shelf(self._rng, number % bench.catalogue.shelves))
        event = {
            "event_id": f"{bench.prefix}-pair-{self._serial}",
            **bench.visitors.who(number),
            "event_type": "click",
            "item_id": item,
            "ts_ms": bench.clock.wall_ms(),
            "schema_version": 2,
        }
        return item, bench.address.request("POST", "/v1/events", _encode(event))

    def _check(self, shown: _List, number: int, item: str) -> None:
        self.pairs += 1
        seen = shown.state_version >= self._acknowledged[number]
        if not seen or any(each.id == item for each in shown.items):
            self.stale += 1


async def visible(bench: Bench) -> Report:
    """Pairs of an event and a list, at 32 connections unless told otherwise."""
    plan = bench.plan
    await bench.fill(past=False)
    window = Window(plan.seconds)
    pairs = Pairs(bench, window)
    bench.say(f"visible: {plan.seconds:g} s")
    before = bench.spent()
    measured = await bench.load(bench.address, pairs.exchange, window)
    _, cpu_us = bench.spent().since(before, pairs.pairs)
    floor = await _floor(bench)
    return {
        "pairs": pairs.pairs,
        "stale": pairs.stale,
        "pairs_per_s": measured.per_s,
        "p50_ms": measured.p50_ms,
        "p99_ms": measured.p99_ms,
        "connections": plan.connections,
        "items": plan.items,
        "shard_cpu_us_per_pair": cpu_us,
        "not_accepted": pairs.not_accepted,
        "failed": measured.failed,
        "floor": {**floor, "ratio": ratio(measured.per_s, floor["http_pairs_per_s"])},
    }


async def _floor(bench: Bench) -> Report:
    """Two requests with bodies of the same size to a bare server: no disk, no state, no list."""
    bench.say("visible: the floor")
    window = Window(bench.plan.floor_s)
    body = _encode({"event_id": "x" * 16, **bench.visitors.who(0), "event_type": "click", "item_id": "item-1"})
    first = bench.floor.request("POST", f"/json/{ACK_BYTES}", body)
    second = bench.floor.request("POST", f"/json/{REPLY_BYTES}", body)
    measured = await bench.load(bench.floor, _twice(first, second, window), window)
    return {"http_pairs_per_s": measured.per_s, "http_p50_ms": measured.p50_ms, "http_p99_ms": measured.p99_ms}


def _twice(first: bytes, second: bytes, window: Window) -> Exchange:
    def exchange(connection: Connection, due_s: float, over: Callable[[], None]) -> None:
        def answered(status: int, body: bytes) -> None:
            window.done(due_s)
            over()

        connection.send(first, lambda status, body: connection.send(second, answered))

    return exchange
