"""What a feature costs: the rows of a list from the live plan, one step of a person, and the record of one.

Invariant: everything is measured in this process on one core, over the same generated visits, each figure beside its
floor of the same run. It does not know HTTP; `rtp bench ingest` and `rtp bench rank` measure what is around it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any
from uuid import UUID

import msgspec
import numpy as np

from rtp_monolith._native import Ask, Core, Log, Ranked, SurfacePlan
from rtp_monolith.cli.bench_bundle import RANKED, vectors_of
from rtp_monolith.cli.bench_traffic import COUNTRIES, DEVICES, MIX, Catalogue
from rtp_monolith.clock import WallClock
from rtp_monolith.config import Config
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.manifest import Manifest, claim
from rtp_monolith.state.recovery import VIEWS, make_core, open_log
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.state.store import ViewStore
from rtp_monolith.state.surface import surface_plan

Report = dict[str, Any]
VISITS, EVENTS_PER_VISIT, ITEMS_MIN = 12, 12, 50
"""So many visits and items a record holds, as `GET /v1/users/{id}/state` shows."""
ACTIONS = frozenset({"click", "view", "add_to_cart", "remove_from_cart", "purchase", "like"})
"""Of the mix, what enters the list of the last items."""
BATCH = 1_000
STEP_BYTES, STEPPED_SHARE = 1 << 18, 0.25
LISTS_PER_S, EVENTS_PER_LIST, BETWEEN_LISTS = 500, 4, 50
"""Of the moments that are asked for: 500 lists a second with 2,000 events arriving beside, every 50 lists."""
MINUTES = 100
"""Lists that are the first of their minute, when whatever is kept of an item is made again."""
ROUNDS = 3
DIMENSION = 64
DAY_MS = 86_400_000

_encode = msgspec.json.encode


class Shoppers:
    """People of twelve visits each, ids of 36 characters, their visits spread over thirty days."""

    def __init__(self, count: int, catalogue: Catalogue, now_ms: int) -> None:
        rng = Random("shoppers")
        self.people = [(_uuid(rng), [_uuid(rng) for _ in range(VISITS)]) for _ in range(count)]
        self._rng, self._catalogue, self._now_ms, self._serial = rng, catalogue, now_ms, 0

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """What all did, oldest first, in batches."""
        visits = [
            (self._now_ms - self._rng.randrange(3_600_000, 30 * DAY_MS), person, visit)
            for person in range(len(self.people))
            for visit in range(VISITS)
        ]
        last = {person: visit for _, person, visit in sorted(visits)}
        acted = [0] * len(self.people)
        made = [
            event
            for started_ms, person, visit in sorted(visits)
            for event in self._visit(started_ms, person, visit, acted, last[person] == visit)
        ]
        made.sort(key=lambda event: int(event["ts_ms"]))
        for first in range(0, len(made), BATCH):
            yield made[first : first + BATCH]

    def some(self, count: int, ts_ms: int) -> bytes:
        """A body of events of as many people at one moment."""
        types = self._rng.choices(MIX, [share for _, share, _ in MIX], k=count)
        return _encode([self._event(self._rng.randrange(len(self.people)), VISITS - 1, ts_ms, *t[::2]) for t in types])

    def _visit(
        self, started_ms: int, person: int, visit: int, acted: list[int], is_last: bool
    ) -> Iterator[dict[str, Any]]:
        types = self._rng.choices(MIX, [share for _, share, _ in MIX], k=EVENTS_PER_VISIT)
        acted[person] += sum(name in ACTIONS for name, _, _ in types)
        if is_last:
            types += [MIX[1]] * max(0, ITEMS_MIN - acted[person])
        for step, (name, _, props) in enumerate(types):
            yield self._event(person, visit, started_ms + 15_000 * step, name, props)

    def _event(self, person: int, visit: int, ts_ms: int, name: str, props: dict[str, str]) -> dict[str, Any]:
        rng = self._rng
        self._serial += 1
        user_id, sessions = self.people[person]
        shelf = (person + 7 * visit + rng.randrange(2)) % self._catalogue.shelves
        context = {"device": DEVICES[person % 6], "country": COUNTRIES[person % 10], "channel": "web"}
        return {
            "event_id": f"bench-{self._serial}",
            "user_id": user_id,
            "session_id": sessions[visit],
            "event_type": name,
            "item_id": self._catalogue.id(self._catalogue.shelf(rng, shelf)),
            "ts_ms": ts_ms,
            "props": context | props,
        }


def _uuid(rng: Random) -> str:
    return str(UUID(int=rng.getrandbits(128), version=4))


def features(config: Config, items: int, users: int, lists: int, say: Callable[[str], None]) -> Report:
    """µs of the rows of 200 candidates, µs of a step, bytes of a record."""
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        data, clock = Path(folder) / "data", WallClock()
        catalogue = Catalogue(items)
        shoppers = Shoppers(users, catalogue, clock.wall_ms())
        say(f"features: {items} items, {users} people of {VISITS} visits")
        state = ShardState.open(data, config, clock)
        for part in _parts(catalogue, clock.wall_ms()):
            state.ingest_sync("items", _encode(part), "json", trusted=True)
        for batch in shoppers.events():
            state.ingest_sync("events", _encode(batch), "json", trusted=True)
        state.close()
        say("features: steps")
        report: Report = {"items": items, "users": users, "step": _steps(data, config), "record": _records(data, users)}
        say(f"features: rows of {lists} lists")
        state = ShardState.open(data, config, clock)
        report["record"]["memory_bytes"] = round(_in_memory(state, shoppers))
        report["rows"] = _rows(state, config, shoppers, catalogue, lists)
        state.close()
    return report


def _parts(catalogue: Catalogue, now_ms: int) -> Iterator[list[dict[str, Any]]]:
    every = list(catalogue.items(now_ms))
    for first in range(0, len(every), BATCH):
        yield every[first : first + BATCH]


def _in_memory(state: ShardState, shoppers: Shoppers) -> float:
    """Bytes of a record in memory, all of them loaded."""
    for user_id, sessions in shoppers.people:
        state.load_request(user_id, sessions[-1])
    users, size, _, _ = state.core.footprint()
    return size / max(1, users)


def _records(data: Path, users: int) -> Report:
    """Bytes of an encoded record with its last 50 items."""
    store = ViewStore(data / VIEWS)
    # A session that belongs to a user has a record of its own, which says so and no more.
    sizes = np.sort([len(value) for key, value in store.everything() if key[:1] == b"u"])[-users:]
    store.close()
    return {
        "last_items": ITEMS_MIN,
        "mean_bytes": round(float(sizes.mean())),
        "p99_bytes": int(np.percentile(sizes, 99)),
        "max_bytes": int(sizes.max()),
        "bound_bytes": Core.user_bytes_max(),
    }


def _steps(data: Path, config: Config) -> Report:
    """The last quarter of the log, the lowest median of three rounds: reading its events alone (the floor), people's
    steps, and the whole fold."""
    log = open_log(data, config, read_only=True)
    try:
        chunks = list(_chunks(log))
    finally:
        log.close()
    first = int(len(chunks) * (1 - STEPPED_SHARE))
    rounds = np.array(
        [_stepped(claim(data, config.partitions, create=False), config, chunks, first) for _ in range(ROUNDS)]
    )
    floor, step, fold = (rounds.min(axis=0) * 1e6).tolist()
    return {
        "us_per_event": round(step - floor, 3),
        "with_reading_us": round(step, 3),
        "whole_fold_us": round(fold, 3),
        "floor": {"reading_us": round(floor, 3)},
    }


def _stepped(
    manifest: Manifest, config: Config, chunks: list[tuple[bytes, int]], first: int
) -> tuple[float, float, float]:
    """Median seconds of an event read, taken by its person, and folded."""
    alone, whole = make_core(manifest, config), make_core(manifest, config)
    for frames, start in chunks[:first]:
        alone.replay(frames, start)
        whole.replay(frames, start)
    read, stepped, folded = [], [], []
    for frames, start in chunks[first:]:
        began = perf_counter()
        events = alone.step_users(frames, start, steps=False)
        middle = perf_counter()
        taken = alone.step_users(frames, start)
        read.append((middle - began) / events)
        stepped.append((perf_counter() - middle) / taken)
        began = perf_counter()
        whole.replay(frames, start)
        folded.append((perf_counter() - began) / events)
    return float(np.median(read)), float(np.median(stepped)), float(np.median(folded))


def _chunks(log: Log) -> Iterator[tuple[bytes, int]]:
    offset = log.start()
    while offset < log.end():
        frames, end = log.read(offset, STEP_BYTES)
        yield frames, offset
        offset = end


def _rows(state: ShardState, config: Config, shoppers: Shoppers, catalogue: Catalogue, lists: int) -> Report:
    """Lists of 200 of the home page for one person after the other while events arrive, by the catalogue's plan and by
    that of a ranker that reads every column there is."""
    core, began_ms = state.core, state.wall_ms()
    core.set_vectors([catalogue.id(n) for n in range(catalogue.count)], vectors_of(catalogue, DIMENSION, 1.0))
    surface = surface_plan(config, "home")
    plans = {"plan": state.plan, "with_cascade": compile_plan([*state.features, *CASCADE])}
    times: dict[str, list[float]] = {name: [] for name in (*plans, "again", "copy", "minute")}
    count = 0
    for n in range(lists):
        now_ms = began_ms + n * 1_000 // LISTS_PER_S
        if n % BETWEEN_LISTS == 0:
            body = shoppers.some(BETWEEN_LISTS * EVENTS_PER_LIST, min(now_ms, state.wall_ms()))
            state.ingest_sync("events", body, "json", trusted=True)
        ask, ranked = _candidates(state, surface, shoppers.people[n % len(shoppers.people)], now_ms)
        count = max(count, len(ranked))
        for name, plan in plans.items():
            began = perf_counter()
            rows = core.rows(ask, ranked, plan)
            times[name].append(perf_counter() - began)
        began = perf_counter()
        core.rows(ask, ranked, state.plan)
        middle = perf_counter()
        rows.copy()
        times["again"].append(middle - began)
        times["copy"].append(perf_counter() - middle)
    for n in range(min(lists, MINUTES)):
        now_ms = began_ms + 3_600_000 + n * 60_000
        ask, ranked = _candidates(state, surface, shoppers.people[n % len(shoppers.people)], now_ms)
        began = perf_counter()
        core.rows(ask, ranked, state.plan)
        times["minute"].append(perf_counter() - began)
    return {
        "candidates": count,
        "lists": lists,
        **{name: {"columns": len(plan), **_spread(times[name])} for name, plan in plans.items()},
        "nothing_new_us": _us(times["again"], 50),
        "first_of_a_minute_us": _us(times["minute"], 50),
        "floor": {"copy_us": _us(times["copy"], 50)},
    }


def _candidates(
    state: ShardState, surface: SurfacePlan, person: tuple[str, list[str]], now_ms: int
) -> tuple[Ask, Ranked]:
    """What a ranker is given: recalled with a session vector, and cut to the best."""
    user_id, sessions = person
    core, session_id = state.core, sessions[-1]
    state.load_request(user_id, session_id)
    ask = core.ask(surface, user_id, session_id, now_ms)
    wishes = core.session_items(ask, ITEMS_MIN)
    if len(wishes):
        core.set_session_vector(ask, core.gather(wishes).mean(axis=0))
    ranked = core.recall(ask)
    core.prerank(ask, ranked, RANKED, 20, False)
    return ask, ranked


def _spread(seconds: list[float]) -> Report:
    mean = round(float(np.mean(seconds)) * 1e6, 1)
    return {"p50_us": _us(seconds, 50), "mean_us": mean, "p99_us": _us(seconds, 99)}


def _us(seconds: list[float], percent: int) -> float:
    return round(float(np.percentile(seconds, percent)) * 1e6, 1)
