"""The measurements: ingest, rank, visible. Each fills the shard, loads it, then loads its floor with the same bytes.

Invariant: the floor is measured in the same run, on the same cores, right after the shard. It does not know options.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any

import msgspec

from rtp_monolith.cli.bench_client import Address, Connection, call_all, connect
from rtp_monolith.cli.bench_floor import json_per_s, synced_per_s
from rtp_monolith.cli.bench_loops import Exchange, OpenLoop, Summary, Window, closed_loop
from rtp_monolith.cli.bench_shard import Running, gauges
from rtp_monolith.cli.bench_traffic import Batches, Catalogue, Visitors, body_of, mean_length
from rtp_monolith.clock import WallClock

FLOOR_SHARE, FLOOR_S_MAX = 0.4, 5.0
FILL_CONNECTIONS = 4
OPEN_CONNECTIONS = 64
SAMPLE_EVERY = 50
Report = dict[str, Any]


class Plan(msgspec.Struct, frozen=True):
    """Sizes of one measurement."""

    seconds: float
    items: int = 100_000
    users: int = 50_000
    connections: int = 8
    batch: int = 100
    rate_per_s: float | None = None
    """Open loop at this rate; None is the closed loop."""
    events_per_s: float = 0.0
    """Events arriving beside the lists."""
    events_batch: int = 10
    surface: str = "home"

    @property
    def floor_s(self) -> float:
        return min(FLOOR_SHARE * self.seconds, FLOOR_S_MAX)


class Bench:
    """One run against one server. `prefix` keeps the ids of two runs against the same shard apart."""

    def __init__(self, running: Running, floor: Address, plan: Plan, prefix: str, say: Callable[[str], None]) -> None:
        self.running = running
        self.address = running.address
        self.floor = floor
        self.plan = plan
        self.prefix = prefix
        self.say = say
        self.clock = WallClock()
        self.catalogue = Catalogue(plan.items)
        self.visitors = Visitors(plan.users, prefix)

    async def with_load(
        self, address: Address, count: int, play: Callable[[list[Connection]], Awaitable[None]]
    ) -> None:
        """Opens connections, plays, closes them; a lost connection ends the play."""
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connections = await connect(address, count, lost)
        playing = asyncio.ensure_future(play(connections))
        try:
            await asyncio.wait({playing, lost}, return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                playing.cancel()
                lost.result()
            await playing
        finally:
            for connection in connections:
                connection.close()

    async def fill(self, *, past: bool) -> None:
        """The catalogue, and with `past` a visit of each visitor."""
        self.say(f"filling the shard: {self.plan.items} items")
        now_ms = self.clock.wall_ms()
        puts = list(self.catalogue.requests(self.address, now_ms))
        await self.with_load(self.address, FILL_CONNECTIONS, lambda all_: call_all(all_, puts))
        if past:
            self.say(f"filling the shard: one visit of each of {self.plan.users} visitors")
            posts = list(self.visitors.past(self.address, self.catalogue, now_ms))
            await self.with_load(self.address, FILL_CONNECTIONS, lambda all_: call_all(all_, posts))

    def batches(self, size: int, run: str, address: Address | None = None) -> Batches:
        return Batches(
            address or self.address, self.catalogue, self.visitors, size, self.clock.wall_ms, f"{self.prefix}-{run}"
        )

    async def load(self, address: Address, exchange: Exchange, window: Window, rate: float | None = None) -> Summary:
        """Closed loop, or open at a rate. Seconds and warm-up are the window's."""
        if rate is None:
            await self.with_load(address, self.plan.connections, lambda all_: closed_loop(all_, window, exchange))
        else:
            await self.with_load(
                address, OPEN_CONNECTIONS, lambda all_: OpenLoop(all_, window, exchange, rate, Random("arrivals")).run()
            )
        return window.summary()

    def spent(self) -> Spent:
        """What the shard has used so far: difference of two gives what a run used."""
        found = gauges(self.address)
        return Spent(found.get("rtp_log_end", 0.0), found.get("process_cpu_seconds_total", 0.0))


class Spent(msgspec.Struct, frozen=True):
    """Of one shard: bytes of its log and seconds of its processor."""

    log_bytes: float
    cpu_s: float

    def since(self, before: Spent, count: int) -> tuple[float, float]:
        """Bytes and microseconds for each of `count` since then."""
        share = 1 / max(1, count)
        return round((self.log_bytes - before.log_bytes) * share, 1), round(
            (self.cpu_s - before.cpu_s) * 1e6 * share, 2
        )


def asking(next_request: Callable[[], bytes], window: Window, work: int, look: Callable[[bytes], None]) -> Exchange:
    """An exchange of one request and one answer."""

    def exchange(connection: Connection, due_s: float, over: Callable[[], None]) -> None:
        def answered(status: int, body: bytes) -> None:
            if status == 200:
                window.done(due_s, work)
                look(body)
            else:
                window.fail(status)
            over()

        connection.send(next_request(), answered)

    return exchange


def _nothing(_: bytes) -> None:
    pass


def ratio(value: float, floor: float) -> float:
    return round(value / floor, 3) if floor > 0 else 0.0


async def ingest(bench: Bench) -> Report:
    """Durable events per second in batches, or single events at a rate."""
    plan = bench.plan
    await bench.fill(past=False)
    batches = bench.batches(plan.batch, "in")
    bodies = [body_of(batches.next()) for _ in range(64)]
    before = bench.spent()
    window = Window(plan.seconds)
    refused = 0
    sent = 0

    class Counts(msgspec.Struct):
        accepted: int

    read = msgspec.json.Decoder(Counts).decode

    def look(body: bytes) -> None:
        nonlocal refused, sent
        sent += plan.batch
        refused += plan.batch - read(body).accepted

    rate = None if plan.rate_per_s is None else plan.rate_per_s / plan.batch
    bench.say(f"ingest: batches of {plan.batch}, {plan.seconds:g} s")
    measured = await bench.load(bench.address, asking(batches.next, window, plan.batch, look), window, rate)
    event_bytes, cpu_us = bench.spent().since(before, sent)
    floor = await _ingest_floor(bench, bodies, event_bytes, rate)
    lowest = min(floor["http_events_per_s"], floor["json_events_per_s"], floor["disk_events_per_s"])
    return {
        "events_per_s": measured.work_per_s,
        "ack_p50_ms": measured.p50_ms,
        "ack_p99_ms": measured.p99_ms,
        "ack_max_ms": measured.max_ms,
        "batch": plan.batch,
        "connections": plan.connections if rate is None else OPEN_CONNECTIONS,
        "rate_per_s": plan.rate_per_s,
        "events": sent,
        "not_accepted": refused,
        "failed": measured.failed,
        "log_bytes_per_event": event_bytes,
        "shard_cpu_us_per_event": cpu_us,
        "body_bytes_per_event": round(mean_length(bodies) / plan.batch, 1),
        "floor": {**floor, "ratio": ratio(measured.work_per_s, lowest)},
    }


async def _ingest_floor(bench: Bench, bodies: Sequence[bytes], event_bytes: float, rate: float | None) -> Report:
    """The same bodies read by a bare server, parsed, and the same bytes synced one group at a time."""
    plan = bench.plan
    bench.say("ingest: the floor")
    requests = [bench.floor.request("POST", "/read/80", body) for body in bodies]
    window = Window(plan.floor_s)
    http = await bench.load(bench.floor, asking(_cycle(requests), window, plan.batch, _nothing), window, rate)
    group = plan.batch * (plan.connections if rate is None else 1)
    parent = None if bench.running.data is None else bench.running.data.parent
    synced, sync_ms = synced_per_s(max(1, round(event_bytes * group)), plan.floor_s, parent)
    return {
        "http_events_per_s": http.work_per_s,
        "http_p99_ms": http.p99_ms,
        "json_events_per_s": round(json_per_s(bodies, plan.floor_s / 2) * plan.batch, 1),
        "disk_events_per_s": round(synced * group, 1),
        "disk_sync_p50_ms": round(sync_ms, 3),
    }


def _cycle(requests: Sequence[bytes]) -> Callable[[], bytes]:
    at = -1

    def following() -> bytes:
        nonlocal at
        at += 1
        return requests[at % len(requests)]

    return following


class ListReply(msgspec.Struct):
    """The fields of a reply that are looked at."""

    items: list[dict[str, Any]]
    degraded: list[str]
    state_version: int
    took_ms: float
    stages: dict[str, float]


_read_list = msgspec.json.Decoder(ListReply).decode


class Samples:
    """Every so many replies one is read: stage times and steps down."""

    def __init__(self, k: int) -> None:
        self._k = k
        self.seen = 0
        self._stages: dict[str, float] = {}
        self._took_ms = 0.0
        self.read = 0
        self.short = 0
        self.degraded: dict[str, int] = {}
        self.bytes = 0

    def look(self, body: bytes) -> None:
        self.seen += 1
        if self.seen % SAMPLE_EVERY != 1:
            return
        reply = _read_list(body)
        self.read += 1
        self.bytes += len(body)
        self._took_ms += reply.took_ms
        self.short += len(reply.items) < self._k
        for name, ms in reply.stages.items():
            self._stages[name] = self._stages.get(name, 0.0) + ms
        for code in reply.degraded:
            self.degraded[code] = self.degraded.get(code, 0) + 1

    def report(self) -> Report:
        count = max(1, self.read)
        return {
            "sampled": self.read,
            "took_ms": round(self._took_ms / count, 3),
            "stages_ms": {name: round(ms / count, 3) for name, ms in self._stages.items()},
            "degraded": self.degraded,
            "short_lists": self.short,
            "reply_bytes": self.bytes // count,
        }


async def rank(bench: Bench) -> Report:
    """Lists of 20 for visitors who clicked before, each request another one; with events arriving if asked for."""
    plan = bench.plan
    await bench.fill(past=True)
    requests = [
        bench.visitors.list_request(bench.address, number, surface=plan.surface) for number in range(plan.users)
    ]
    Random("order").shuffle(requests)
    samples = Samples(20)
    window = Window(plan.seconds)
    bench.say(f"rank: {plan.seconds:g} s")
    before = bench.spent()
    jobs = [bench.load(bench.address, asking(_cycle(requests), window, 1, samples.look), window, plan.rate_per_s)]
    arriving = Window(plan.seconds)
    if plan.events_per_s > 0:
        batches = bench.batches(plan.events_batch, "beside")
        beside = asking(batches.next, arriving, plan.events_batch, _nothing)
        jobs.append(bench.load(bench.address, beside, arriving, plan.events_per_s / plan.events_batch))
    measured = (await asyncio.gather(*jobs))[0]
    events = arriving.summary()
    log_bytes, cpu_us = bench.spent().since(before, samples.seen)
    floor = await _rank_floor(bench, requests, samples)
    mixed = {"events_per_s": events.work_per_s, "ack_p99_ms": events.p99_ms, "events_batch": plan.events_batch}
    return {
        "requests_per_s": measured.per_s,
        "p50_ms": measured.p50_ms,
        "p99_ms": measured.p99_ms,
        "max_ms": measured.max_ms,
        "connections": plan.connections if plan.rate_per_s is None else OPEN_CONNECTIONS,
        "rate_per_s": plan.rate_per_s,
        "items": plan.items,
        "users": plan.users,
        "failed": {**measured.failed, **events.failed},
        **samples.report(),
        "shard_cpu_us_per_list": cpu_us,
        "log_bytes_per_list": log_bytes,
        **({"arriving": mixed} if plan.events_per_s > 0 else {}),
        "floor": {**floor, "ratio": ratio(measured.per_s, floor["http_requests_per_s"])},
    }


async def _rank_floor(bench: Bench, requests: Sequence[bytes], samples: Samples) -> Report:
    """The same requests parsed by a bare server that answers as many bytes."""
    plan = bench.plan
    bench.say("rank: the floor")
    path = f"/json/{samples.report()['reply_bytes']}"
    same = [bench.floor.request("POST", path, body_of(request)) for request in requests[:2_000]]
    window = Window(plan.floor_s)
    http = await bench.load(bench.floor, asking(_cycle(same), window, 1, _nothing), window, plan.rate_per_s)
    return {"http_requests_per_s": http.per_s, "http_p50_ms": http.p50_ms, "http_p99_ms": http.p99_ms}
