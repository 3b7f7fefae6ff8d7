"""How long a shard takes to start, and what users and items cost in memory and on disk.

Invariant: the folder is filled through the same code that a shard runs, and opened in a fresh process, so that the
memory of filling is not counted. It does not know HTTP.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rtp_monolith.cli.bench_client import Address
from rtp_monolith.cli.bench_shard import Cores
from rtp_monolith.cli.bench_traffic import Batches, Catalogue, Visitors, body_of
from rtp_monolith.cli.output import Failure
from rtp_monolith.clock import WallClock

BATCH = 1_000
Report = dict[str, Any]
_OPEN = """
import json, resource, sys
from pathlib import Path
from time import perf_counter
from rtp_monolith.clock import WallClock
from rtp_monolith.config import Config
from rtp_monolith.state.shard_state import ShardState
def rss():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
before, began = rss(), perf_counter()
state = ShardState.open(Path(sys.argv[1]), Config(), WallClock())
print(json.dumps({"open_s": perf_counter() - began, "rss_bytes": rss() - before, "stats": state.stats()}))
state.close()
"""


class _Opened(msgspec.Struct):
    open_s: float
    rss_bytes: int
    stats: dict[str, float]


def restart(users: int, items: int, events_per_user: int, say: Callable[[str], None]) -> Report:
    """Fills a folder with active users, opens it again and measures both."""
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        data = Path(folder) / "data"
        say(f"restart: {items} items")
        _fill_items(data, items)
        bare = _reopen(data)
        say(f"restart: {users} users with {events_per_user} events each")
        filled = _fill_users(data, users, items, events_per_user)
        say("restart: opening")
        opened = _reopen(data)
        read_s = _floor_s(data)
    log_bytes = opened.stats["log_bytes"] - bare.stats["log_bytes"]
    return {
        "open_s": round(opened.open_s, 3),
        "users": users,
        "items": items,
        "events": int(opened.stats["events"]),
        "filled_events_per_s": round(users * events_per_user / filled.seconds),
        "rss_bytes": opened.rss_bytes,
        "memory_bytes_per_active_user": round(filled.bytes_per_user, 1),
        "memory_bytes_per_item": round(filled.bytes_per_item, 1),
        "rss_bytes_per_item": round(bare.rss_bytes / items, 1),
        "view_bytes_per_item": round(bare.stats["view_bytes"] / items, 1),
        "view_bytes_per_user": round((opened.stats["view_bytes"] - bare.stats["view_bytes"]) / users, 1),
        "rss_bytes_per_user_at_rest": round((opened.rss_bytes - bare.rss_bytes) / users, 1),
        "log_bytes_per_user": round(log_bytes / users, 1),
        "floor": {"read_views_s": round(read_s, 3), "ratio": round(read_s / opened.open_s, 3)},
    }


def _fill_items(data: Path, items: int) -> None:
    from rtp_monolith.config import Config
    from rtp_monolith.state.shard_state import ShardState

    clock = WallClock()
    state = ShardState.open(data, Config(), clock)
    for request in Catalogue(items).requests(Address("localhost", 80), clock.wall_ms()):
        state.ingest_sync("items", body_of(request), "json", trusted=True)
    state.close()


class _Filled(msgspec.Struct):
    """Seconds it took, parsing and disk included, and what users and items then cost in memory."""

    seconds: float
    bytes_per_user: float
    bytes_per_item: float


def _fill_users(data: Path, users: int, items: int, events_per_user: int) -> _Filled:
    from rtp_monolith.config import Config
    from rtp_monolith.state.shard_state import ShardState

    clock = WallClock()
    state = ShardState.open(data, Config(), clock)
    began_s = clock.monotonic_s()
    catalogue, address = Catalogue(items), Address("localhost", 80)
    # A part of the users at a time: the prepared batches of all of them would not fit in memory.
    part = 200_000
    for first in range(0, users, part):
        visitors = Visitors(min(part, users - first), f"r{first}")
        size = min(BATCH, visitors.count)
        batches = Batches(address, catalogue, visitors, size, clock.wall_ms, f"r{first}")
        for _ in range(events_per_user * visitors.count // size):
            state.ingest_sync("events", body_of(batches.next()), "json", trusted=True)
    taken_s = clock.monotonic_s() - began_s
    in_memory, user_bytes, item_count, item_bytes = state.core.footprint()
    state.close()
    return _Filled(taken_s, user_bytes / max(1, in_memory), item_bytes / max(1, item_count))


def _reopen(data: Path) -> _Opened:
    cores = Cores.choose()
    with cores.load_here():
        done = subprocess.run([sys.executable, "-c", _OPEN, str(data)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure("open_failed", done.stderr[-800:])
    return msgspec.json.decode(done.stdout.splitlines()[-1], type=_Opened)


def _floor_s(data: Path) -> float:
    """Seconds to read the files of the views once: less is not possible for a state that is held in memory."""
    clock = WallClock()
    began_s = clock.monotonic_s()
    for path in sorted((data / "views").iterdir()):
        if path.is_file():
            path.read_bytes()
    return clock.monotonic_s() - began_s
