"""`rtp bench published`: what a list pays for its user's published row, against the same list without.

One shard without published features, one with tables of its own and one with Redis, each read for every list and, with
Redis, from the shard's cache. Invariant: all shards hold the same items and visitors and are loaded in turns, round by
round, so a noisy moment meets them all. It does not know stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, sleep
from typing import Any

import msgspec

from rtp_monolith.cli.bench_loops import Window
from rtp_monolith.cli.bench_parts import Bench, Plan, Report, asking, ratio
from rtp_monolith.cli.bench_shard import Cores, floor_server, own_shard
from rtp_monolith.cli.features_publish import Wanted, over_http
from rtp_monolith.cli.output import Failure
from rtp_monolith.cli.target import Target
from rtp_monolith.clock import WallClock

VECTOR = 16
REDIS_START_S_MAX = 20.0
FEATURES = f"""
[features.user.tier]
published = "number"
meaning = "a number of the user"

[features.user.taste]
published = "vector"
length = {VECTOR}
meaning = "an embedding of the user"
"""


class Arm(msgspec.Struct, frozen=True):
    """One way to serve: settings of its shard."""

    name: str
    toml: str
    publishes: bool = True


class Round(msgspec.Struct, frozen=True):
    lists_per_s: float
    p99_ms: float
    cpu_us: float
    failed: int


def published(plan: Plan, rounds: int, say: Callable[[str], None]) -> Report:
    """Each arm's figures are medians of its rounds; `cpu_ratio` is of the processor's time per list, to `plain`."""
    import uvloop

    cores = Cores.choose()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rtp-bench-")))
        redis_url = stack.enter_context(redis_server(folder))
        if redis_url is None:
            say("published: redis-server is not installed, Redis is left out")
        floor = stack.enter_context(floor_server(cores))
        benches: dict[str, Bench] = {}
        for arm in arms(redis_url):
            config = folder / f"{arm.name}.toml"
            config.write_text(arm.toml)
            running = stack.enter_context(own_shard(cores, None, config))
            benches[arm.name] = Bench(running, floor, plan, "bench", say)
            if arm.publishes:
                _publish(benches[arm.name], folder)
        stack.enter_context(cores.load_here())
        runner = stack.enter_context(asyncio.Runner(loop_factory=uvloop.new_event_loop))
        return runner.run(_measured(benches, plan, rounds, say))


def arms(redis_url: str | None) -> list[Arm]:
    found = [Arm("plain", "", publishes=False), Arm("embedded", f"{FEATURES}[online]\nusers_cached_max = 1\n")]
    if redis_url is not None:
        redis = f'{FEATURES}[online]\nstore = "redis"\nurl = "{redis_url}"\ntimeout_ms = 50\n'
        found += [Arm("redis", f"{redis}users_cached_max = 1\n"), Arm("cached", redis)]
    return found


async def _measured(benches: dict[str, Bench], plan: Plan, rounds: int, say: Callable[[str], None]) -> Report:
    requests: dict[str, Iterator[bytes]] = {}
    for name, bench in benches.items():
        await bench.fill(past=True)
        asked = [bench.visitors.list_request(bench.address, number) for number in range(0, plan.users, 2)]
        Random("order").shuffle(asked)
        requests[name] = itertools.cycle(asked)
    seen: dict[str, list[Round]] = {name: [] for name in benches}
    degraded = dict.fromkeys(benches, 0)
    for number in range(rounds):
        say(f"published: round {number + 1} of {rounds}")
        # The order turns, so that none always comes after the same.
        for name in [*benches][number % len(benches) :] + [*benches][: number % len(benches)]:
            found, without = await _round(benches[name], requests[name], plan.seconds / rounds)
            seen[name].append(found)
            degraded[name] += without
    plain = median(each.cpu_us for each in seen["plain"])
    return {name: {**_figures(seen[name], plain), "without_row": degraded[name]} for name in benches}


async def _round(bench: Bench, requests: Iterator[bytes], seconds: float) -> tuple[Round, int]:
    """One stretch of lists, and how many of them had to do without the row."""
    window = Window(seconds)
    count = without = 0

    def look(body: bytes) -> None:
        nonlocal count, without
        count += 1
        without += b'"features:user_batch"' in body

    before = bench.spent()
    measured = await bench.load(bench.address, asking(lambda: next(requests), window, 1, look), window)
    _, cpu_us = bench.spent().since(before, count)
    return Round(measured.per_s, measured.p99_ms, cpu_us, sum(measured.failed.values())), without


def _figures(rounds: Sequence[Round], plain: float) -> dict[str, Any]:
    cpu_us = median(each.cpu_us for each in rounds)
    return {
        "lists_per_s": median(each.lists_per_s for each in rounds),
        "p99_ms": median(each.p99_ms for each in rounds),
        "shard_cpu_us_per_list": cpu_us,
        "cpu_ratio": ratio(cpu_us, plain),
        "failed": sum(each.failed for each in rounds),
    }


def _publish(bench: Bench, folder: Path) -> None:
    """A row for every visitor who is signed in."""
    file, rng = folder / "users.ndjson", Random("rows")
    with file.open("wb") as lines:
        for number in range(0, bench.plan.users, 2):
            taste = [rng.uniform(-1, 1) for _ in range(VECTOR)]
            row = {"id": bench.visitors.user_id(number), "tier": number % 4, "taste": taste}
            lines.write(msgspec.json.encode(row) + b"\n")
    wanted = Wanted(file, "jsonl", "user", "bench", 0, WallClock().wall_ms())
    over_http(Target(bench.address.url, None, None, None), wanted)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str | None]:
    """The address of a Redis of our own on a free port, which keeps nothing; None where none is installed."""
    command = shutil.which("redis-server")
    if command is None:
        yield None
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    child = subprocess.Popen([command, *options], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        until = perf_counter() + REDIS_START_S_MAX
        while not _answers(port):
            if child.poll() is not None or perf_counter() > until:
                raise Failure("server_failed", "redis-server does not answer")
            sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        child.terminate()
        child.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False
