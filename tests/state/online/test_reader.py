"""What lists read: rows under their keys and TTLs, a bounded cache, and an answer whatever the store does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, Online, parse
from rtp_monolith.errors import TableError
from rtp_monolith.features.declared import declared
from rtp_monolith.features.published import Scope, Values
from rtp_monolith.state.online.publish import Draft
from rtp_monolith.state.online.reader import OnlineReader
from rtp_monolith.state.online.store import RETIRED_FOR_MS, TableStore, Version
from tests.state.online.conftest import DECLARED

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
NAN = float("nan")


class Items:
    """What the core keeps of items, as a dictionary."""

    def __init__(self) -> None:
        self.staged: dict[str, list[float]] = {}
        self.rows: dict[str, list[float]] = {}
        self.expires_ms: list[int] = []
        self.adopted = 0

    def stage_published(self, ids: Sequence[str], rows: Values, *, first: bool = False) -> None:
        if first:
            self.staged = {}
        for id, row in zip(ids, rows.tolist(), strict=True):
            held = self.staged.setdefault(id, [NAN] * len(row))
            self.staged[id] = [old if new != new else new for old, new in zip(held, row, strict=True)]

    def adopt_published(self, expires_ms: Sequence[int]) -> None:
        self.rows, self.staged = self.staged, {}
        self.expires_ms = list(expires_ms)
        self.adopted += 1


class Moody:
    """A store in front of another that can be told to fail or to keep silent; counts reads."""

    def __init__(self, store: TableStore) -> None:
        self.store = store
        self.mood = ""
        self.reads = 0

    async def _be(self) -> None:
        if self.mood == "fail":
            raise TableError("table_unavailable", "told to fail")
        if self.mood == "silent":
            await asyncio.Event().wait()

    async def versions(self, scope: Scope) -> tuple[Version, ...]:
        await self._be()
        return await self.store.versions(scope)

    async def read(self, scope: Scope, versions: Sequence[int], id: str) -> list[bytes | None]:
        self.reads += 1
        await self._be()
        return await self.store.read(scope, versions, id)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)


class Bench:
    """A reader on a store, with what a test does to it."""

    def __init__(self, store: TableStore, config: Config, **online: Any) -> None:
        self.clock = ManualClock(NOW_MS)
        self.store = Moody(store)
        self.items = Items()
        self.published = declared(config).published
        self.online = Online(**online)
        self.reader = OnlineReader(self.published, self.store, self.online, self.clock, self.items)

    async def publish(self, scope: Scope, rows: Sequence[Mapping[str, Any]], **more: Any) -> Version:
        now_ms = self.clock.wall_ms()
        draft = await Draft.begin(self.store.store, self.published, scope, now_ms=now_ms, item_rows_max=100)
        await draft.add(rows)
        version = await draft.commit("v", now_ms=now_ms, **more)
        await self.reader.refresh()
        return version

    async def row(self, user_id: str | None, left_s: float = 1.0) -> tuple[list[float], tuple[str, ...]]:
        found = await self.reader.gather(user_id, left_s)
        return found.user.tolist(), found.degraded


def same(found: list[float], expected: list[float]) -> None:
    np.testing.assert_array_equal(np.array(found), np.array(expected))


@pytest.fixture
async def bench(store: TableStore, config: Config) -> AsyncIterator[Bench]:
    yield Bench(store, config)


# The columns of a user are budget, taste 0 to 2, tier.


async def test_a_row_is_read_kept_and_replaced(bench: Bench) -> None:
    await bench.reader.start()
    same((await bench.row("ann"))[0], [NAN] * 5)
    assert bench.store.reads == 0, "nothing is published: there is nothing to ask"
    await bench.publish("user", [{"id": "ann", "budget": 3, "tier": "gold", "taste": [1, 2, 3]}, {"id": "bob"}])
    same((await bench.row("ann"))[0], [3, 1, 2, 3, 2])
    same((await bench.row("ann"))[0], [3, 1, 2, 3, 2])
    for _ in range(3):
        same((await bench.row("eve"))[0], [NAN] * 5)
    assert bench.store.reads == 2, "that there is no row is kept too"
    assert (await bench.row(None))[1] == ()
    await bench.publish("user", [{"id": "ann", "tier": "silver"}])
    row, degraded = await bench.row("ann")
    same(row, [3, 1, 2, 3, 1])
    assert degraded == ()
    assert bench.reader.ages_s() == {"user_budget": 0, "user_taste": 0, "user_tier": 0}
    bench.clock.advance(90_000)
    assert bench.reader.ages_s()["user_tier"] == 90
    assert bench.reader.stats()["online_found"] == 2


async def test_a_kept_row_is_read_again_after_a_while_and_the_cache_is_bounded(
    store: TableStore, config: Config
) -> None:
    bench = Bench(store, config, users_cached_max=2, cache_ttl_ms=1_000)
    await bench.publish("user", [{"id": name, "budget": 1} for name in "abc"])
    for name in "abab":
        await bench.row(name)
    assert bench.store.reads == 2
    await bench.row("c")
    await bench.row("b")
    assert bench.store.reads == 3, "b was used after a: a went"
    await bench.row("a")
    assert (bench.store.reads, bench.reader.stats()["online_cache_users"]) == (4, 2)
    bench.clock.advance(1_001)
    await bench.row("a")
    assert bench.store.reads == 5


async def test_a_value_older_than_its_ttl_is_nobodys(bench: Bench) -> None:
    await bench.publish("user", [{"id": "ann", "budget": 3, "tier": "gold"}], ttl_ms=3 * DAY_MS)
    bench.clock.advance(2 * DAY_MS - 1)
    same((await bench.row("ann"))[0], [3, NAN, NAN, NAN, 2])
    bench.clock.advance(1)
    row, degraded = await bench.row("ann")
    same(row, [NAN, NAN, NAN, NAN, 2])
    assert degraded == ("features:user_stale",)
    bench.clock.advance(DAY_MS)
    same((await bench.row("ann"))[0], [NAN] * 5)
    await bench.publish("user", [{"id": "ann", "budget": 4}], as_of_ms=bench.clock.now_ms() - DAY_MS)
    same((await bench.row("ann"))[0], [4, NAN, NAN, NAN, NAN])


async def test_values_of_another_meaning_are_not_read(store: TableStore, config: Config) -> None:
    await Bench(store, config).publish("user", [{"id": "ann", "budget": 3, "tier": "gold"}])
    other = Bench(store, parse(DECLARED.replace('["silver", "gold"]', '["gold", "silver"]')))
    await other.reader.refresh()
    same((await other.row("ann"))[0], [3, NAN, NAN, NAN, NAN])
    assert set(other.reader.ages_s()) == {"user_budget"}
    await other.publish("user", [{"id": "ann", "tier": "gold"}])
    same((await other.row("ann"))[0], [3, NAN, NAN, NAN, 1])


async def test_items_are_loaded_whole_from_all_versions(bench: Bench) -> None:
    assert (await bench.row(None))[1] == ("features:user_batch", "features:item_batch"), "nobody has looked yet"
    await bench.reader.start()
    assert (await bench.row(None))[1] == ()
    await bench.publish("item", [{"id": f"i{n}", "rate": n / 10, "look": [n, -n]} for n in range(50)])
    await bench.publish("item", [{"id": "i1", "rate": 0.75}, {"id": "new", "rate": 1}])
    # The columns of an item are look 0 and 1, rate.
    same(bench.items.rows["i1"], [1, -1, 0.75])
    same(bench.items.rows["i2"], [2, -2, NAN])
    same(bench.items.rows["new"], [NAN, NAN, 1])
    assert len(bench.items.rows) == 51
    assert bench.items.expires_ms[:2] == [NOW_MS + 3_600_000] * 2
    adopted = bench.items.adopted
    await bench.reader.refresh()
    assert bench.items.adopted == adopted, "nothing was published since"
    bench.clock.advance(3_600_000)
    assert (await bench.row(None))[1] == ("features:item_stale",)


async def test_what_was_retired_is_swept_by_whoever_looks(bench: Bench) -> None:
    first = await bench.publish("user", [{"id": "ann", "budget": 3}])
    await bench.publish("user", [{"id": "ann", "budget": 4}])
    assert await bench.store.read("user", [first.id], "ann") != [None]
    bench.clock.advance(RETIRED_FOR_MS)
    await bench.reader.refresh()
    assert await bench.store.read("user", [first.id], "ann") == [None]


async def test_a_store_that_keeps_silent_costs_the_timeout_three_times(store: TableStore, config: Config) -> None:
    bench = Bench(store, config, timeout_ms=20, load_timeout_ms=20)
    await bench.publish("user", [{"id": "ann", "budget": 3}])
    await bench.publish("item", [{"id": "i1", "rate": 1}])
    await bench.row("ann")
    bench.store.mood, reads = "silent", bench.store.reads
    for n in range(6):
        row, degraded = await bench.row(f"u{n}")
        same(row, [NAN] * 5)
        assert degraded == ("features:user_batch",), "the items are in memory"
    assert bench.store.reads == reads + 3
    stats = bench.reader.stats()
    assert (stats["online_timeouts"], stats["online_refused"], stats["online_store_left_alone"]) == (3, 3, 1)
    same((await bench.row("ann"))[0], [3, NAN, NAN, NAN, NAN])
    await bench.reader.refresh()
    assert bench.reader.stats()["online_refresh_failures"] == 2
    bench.clock.advance(1_001)
    one, other = await asyncio.gather(bench.row("x"), bench.row("y"))
    assert one[1] == other[1] == ("features:user_batch",)
    assert bench.store.reads == reads + 4, "one list tries, the others do not wait to see"
    bench.store.mood = ""
    bench.clock.advance(1_001)
    assert (await bench.row("x"))[1] == (await bench.row("y"))[1] == ()


async def test_a_list_that_is_due_waits_no_longer_than_it_can(bench: Bench) -> None:
    await bench.publish("user", [{"id": "ann", "budget": 3}])
    bench.store.mood = "silent"
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert (await bench.row("ann", left_s=0.001))[1] == ("features:user_batch",)
    assert loop.time() - began < 0.02
    reads = bench.store.reads
    assert (await bench.row("ann", left_s=0.0))[1] == ("features:user_batch",)
    assert bench.store.reads == reads


async def test_a_store_that_fails_is_named_and_left_alone(bench: Bench) -> None:
    bench.store.mood = "fail"
    await bench.reader.start()
    for _ in range(5):
        assert (await bench.row("ann"))[1] == ("features:user_batch", "features:item_batch")
    assert bench.store.reads == 0, "without its versions there is nothing to ask for"
    bench.store.mood = ""
    await bench.publish("user", [{"id": "ann", "budget": 3}])
    bench.store.mood = "fail"
    for _ in range(5):
        assert (await bench.row("ann"))[1] == ("features:user_batch",)
    assert bench.store.reads == 3
