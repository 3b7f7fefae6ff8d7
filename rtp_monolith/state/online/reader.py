"""What lists read of published features: the asking user's row, bounded by a timeout, and the items' table in memory.

The row of a user is kept for a while, also that there is none; a store that keeps failing is left alone until it has
had time to recover. The items' table is a copy of the live versions that is made beside requests and swapped whole, so
ranking never waits for it. Invariant: whatever the store does, a list gets an answer by its deadline, and is told what
it had to do without. It does not know lists.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import msgspec
import numpy as np

from rtp_monolith.breaker import Breaker
from rtp_monolith.clock import Clock
from rtp_monolith.config import Online
from rtp_monolith.errors import TableError
from rtp_monolith.features.published import SCOPES, Published, Scope, Values
from rtp_monolith.state.online.reading import Reading
from rtp_monolith.state.online.store import TableStore, Version

log = logging.getLogger(__name__)

USER_FAILED, USER_STALE = "features:user_batch", "features:user_stale"
ITEM_FAILED, ITEM_STALE = "features:item_batch", "features:item_stale"


class ItemTable(Protocol):
    """Where the items' values are put, in the order of the columns; `expires_ms` by column."""

    def stage_published(self, ids: list[str], rows: Values, *, first: bool = False) -> None: ...
    def adopt_published(self, expires_ms: list[int]) -> None: ...


class Gathered(msgspec.Struct, frozen=True):
    """float32 [user columns] for one list, NaN for nothing, and what it had to do without."""

    user: Values
    degraded: tuple[str, ...] = ()


class OnlineReader:
    """One per shard. `start` before the first list; `follow` runs until `close`."""

    def __init__(self, published: Published, store: TableStore, config: Online, clock: Clock, items: ItemTable) -> None:
        self.published = published
        self.store = store
        self._config = config
        self._clock = clock
        self._items = items
        self._readings: dict[Scope, Reading | None] = dict.fromkeys(SCOPES)
        self._versions: dict[Scope, tuple[Version, ...]] = dict.fromkeys(SCOPES, ())
        self._nobody: Values = np.full(published.width("user"), np.nan, np.float32)
        self._cache: OrderedDict[str, tuple[float, Values]] = OrderedDict()
        self._breaker = Breaker(config.breaker_failures, config.breaker_cooldown_ms / 1000)
        self._trying = self._failing = False
        self._task: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()
        self._counts = dict.fromkeys(
            ("reads", "found", "timeouts", "failures", "refused", "cache_hits", "refreshes", "refresh_failures"), 0
        )

    # Lists.

    async def gather(self, user_id: str | None, left_s: float) -> Gathered:
        """The row of a user within `left_s` and the configured timeout, and how the items' table is."""
        now_ms = self._clock.now_ms()
        codes = self._item_codes(now_ms)
        if not self.published.user:
            return Gathered(self._nobody, codes)
        reading = self._readings["user"]
        if reading is None:
            return Gathered(self._nobody, (USER_FAILED, *codes))
        if user_id is None or not reading.ids:
            return Gathered(self._nobody, codes)
        row = self._cached(user_id)
        if row is None:
            row = await self._read(reading, user_id, left_s)
            if row is None:
                return Gathered(self._nobody, (USER_FAILED, *codes))
        if now_ms >= reading.first_expiry_ms:
            return Gathered(reading.fresh(row, now_ms), (USER_STALE, *codes))
        return Gathered(row, codes)

    def _item_codes(self, now_ms: int) -> tuple[str, ...]:
        if not self.published.item:
            return ()
        reading = self._readings["item"]
        if reading is None:
            return (ITEM_FAILED,)
        return (ITEM_STALE,) if now_ms >= reading.first_expiry_ms else ()

    def _cached(self, user_id: str) -> Values | None:
        held = self._cache.get(user_id)
        if held is None or self._clock.monotonic_s() >= held[0]:
            return None
        self._cache.move_to_end(user_id)
        self._counts["cache_hits"] += 1
        return held[1]

    async def _read(self, reading: Reading, user_id: str, left_s: float) -> Values | None:
        """None for a store that does not answer, is left alone, or answers too late."""
        now_s, counts = self._clock.monotonic_s, self._counts
        # Once it was left alone one list tries; the others do not wait to see what comes of it.
        if not self._breaker.allows(now_s()) or (self._breaker.tripped and self._trying) or left_s <= 0:
            counts["refused"] += 1
            return None
        self._trying = True
        counts["reads"] += 1
        try:
            async with asyncio.timeout(min(self._config.timeout_ms / 1000, left_s)):
                stored = await self.store.read("user", reading.ids, user_id)
        except TimeoutError:
            counts["timeouts"] += 1
            self._breaker.bad(now_s())
            return None
        except TableError:
            counts["failures"] += 1
            self._breaker.bad(now_s())
            return None
        finally:
            self._trying = False
        self._breaker.good()
        row = reading.row(stored)
        counts["found"] += row is not None
        row = self._nobody if row is None else row
        if reading is self._readings["user"]:
            self._keep(user_id, row)
        return row

    def _keep(self, user_id: str, row: Values) -> None:
        self._cache[user_id] = (self._clock.monotonic_s() + self._config.cache_ttl_ms / 1000, row)
        self._cache.move_to_end(user_id)
        while len(self._cache) > self._config.users_cached_max:
            self._cache.popitem(last=False)

    # Beside lists.

    async def start(self) -> None:
        """Looks once, within the time that loading may take; what fails is tried again by `follow`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.load_timeout_ms / 1000):
                await self.refresh()

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self.follow())

    async def follow(self) -> None:
        while True:
            await asyncio.sleep(self._config.refresh_ms / 1000)
            try:
                await self.refresh()
            except Exception:
                log.exception("published features cannot be looked up; the next look may")

    async def refresh(self) -> None:
        """Learns of new versions, loads the items' and removes what was retired long enough ago. One at a time: what
        was published before the call is seen."""
        async with self._looking:
            for scope in SCOPES:
                if self.published.of(scope):
                    await self._look(scope)

    async def _look(self, scope: Scope) -> None:
        self._counts["refreshes"] += 1
        try:
            async with asyncio.timeout(self._config.load_timeout_ms / 1000):
                versions = await self.store.versions(scope)
            if self._readings[scope] is None or versions != self._versions[scope]:
                await self._adopt(scope, versions)
            await self.store.sweep(scope, self._clock.wall_ms())
        except (TableError, TimeoutError) as error:
            self._counts["refresh_failures"] += 1
            if not self._failing:
                log.warning("published features of the scope %s cannot be looked up: %s", scope, error)
            self._failing = True
        else:
            self._failing = False

    async def _adopt(self, scope: Scope, versions: tuple[Version, ...]) -> None:
        reading = Reading(self.published, scope, versions)
        if scope == "item" and not await self._load(reading):
            return  # swept under our hands: the next look sees what came after
        self._versions[scope], self._readings[scope] = versions, reading
        if scope == "user":
            self._cache.clear()

    async def _load(self, reading: Reading) -> bool:
        """Makes the items' table of the live versions; False when one of them was not whole any more."""
        rows_of = {version.id: version.rows for version in reading.version_of.values()}
        self._items.stage_published([], np.empty((0, reading.width), np.float32), first=True)
        for at, version in enumerate(reading.ids):
            found = 0
            async for stored in self.store.scan("item", version):
                values = np.full((len(stored), reading.width), np.nan, np.float32)
                reading.rows(at, [row for _, row in stored], values)
                self._items.stage_published([id for id, _ in stored], values)
                found += len(stored)
                await asyncio.sleep(0)
            if found != rows_of[version]:
                return False
        self._items.adopt_published([int(each) for each in reading.expires_ms])
        return True

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        await self.store.close()

    # What is to be seen of it.

    def versions(self, scope: Scope) -> tuple[Version, ...]:
        """As they were seen last."""
        return self._versions[scope]

    def stats(self) -> dict[str, int | float]:
        asked = self._counts["cache_hits"] + self._counts["reads"] + self._counts["refused"]
        return {
            **{f"online_{name}": n for name, n in self._counts.items()},
            "online_cache_users": len(self._cache),
            "online_cache_hit_ratio": self._counts["cache_hits"] / max(asked, 1),
            "online_store_left_alone": int(not self._breaker.allows(self._clock.monotonic_s())),
        }

    def ages_s(self) -> Mapping[str, float]:
        """Since the moment that the values of each published feature are of; those never published are left out."""
        now_ms = self._clock.now_ms()
        return {
            name: max(0, now_ms - version.as_of_ms) / 1000
            for reading in self._readings.values()
            if reading is not None
            for name, version in reading.version_of.items()
        }
