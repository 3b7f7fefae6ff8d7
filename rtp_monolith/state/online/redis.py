"""Tables of published features in Redis: one place for all shards of a cluster.

A version's rows lie in BUCKETS hashes, so that a version is removed, and an item table read whole, without looking
at other keys; a row is one HGET, those of several versions one round trip. Invariant: the catalogue of a scope is one
key that changes in one transaction, and refuses to when somebody else changed it meanwhile. Commands are not tried
again here: whoever reads for a list has no time for it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar, cast

import msgspec

from rtp_monolith.config import Online
from rtp_monolith.errors import ConfigError, TableError
from rtp_monolith.features.published import Scope
from rtp_monolith.state.online.store import DRAFT_FOR_MS, RETIRED_FOR_MS, Version, supersede

BUCKETS = 4096
BUCKETS_AT_ONCE = 64
CONNECTIONS_MAX = 64
COMMITS_MAX = 16
"""So often a commit is tried when others commit at the same time."""

T = TypeVar("T")
_read_versions = msgspec.json.Decoder(tuple[Version, ...]).decode


class RedisTables:
    """A `TableStore` in Redis. Belongs to the event loop that uses it first."""

    def __init__(self, config: Online) -> None:
        """Connects when it is asked. Raises ConfigError without the package `redis`."""
        try:
            from redis.asyncio import BlockingConnectionPool, Redis
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import RedisError, WatchError
        except ImportError:
            raise ConfigError('online.store = "redis" needs the package redis: rtp-monolith[redis]') from None
        assert config.url is not None
        timeout_s = config.load_timeout_ms / 1000
        pool = BlockingConnectionPool.from_url(
            config.url,
            timeout=timeout_s,
            max_connections=CONNECTIONS_MAX,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        self._client: Any = Redis.from_pool(pool)
        self._prefix = f"{config.prefix}:"
        self._failures = (RedisError, OSError, asyncio.TimeoutError)
        self._watch_error = WatchError

    def _key(self, scope: Scope, *parts: object) -> str:
        return self._prefix + ":".join(str(each) for each in (scope, *parts))

    async def _ask(self, work: Callable[[], Awaitable[T]]) -> T:
        try:
            return await work()
        except self._failures as error:
            raise TableError("table_unavailable", f"Redis: {error or type(error).__name__}") from None

    async def versions(self, scope: Scope) -> tuple[Version, ...]:
        stored = await self._ask(lambda: self._client.get(self._key(scope, "versions")))
        return () if stored is None else _read_versions(stored)

    async def begin(self, scope: Scope, now_ms: int) -> int:
        async def work() -> int:
            drafts = await self._client.hgetall(self._key(scope, "drafts"))
            for draft, since_ms in drafts.items():
                if now_ms - int(since_ms) >= DRAFT_FOR_MS:
                    await self._remove(scope, int(draft), "drafts")
            draft = int(await self._client.incr(self._key(scope, "next")))
            await self._client.hset(self._key(scope, "drafts"), str(draft), str(now_ms))
            return draft

        return await self._ask(work)

    async def write(self, scope: Scope, draft: int, rows: Sequence[tuple[str, bytes]]) -> int:
        by_bucket: dict[int, dict[str, bytes]] = {}
        for id, row in rows:
            by_bucket.setdefault(_bucket(id), {})[id] = row

        async def work() -> int:
            pipe = self._client.pipeline(transaction=False)
            pipe.hexists(self._key(scope, "drafts"), str(draft))
            for bucket, mapping in by_bucket.items():
                pipe.hset(self._key(scope, draft, bucket), mapping=mapping)
            known, *added = await pipe.execute()
            if not known:
                await self._remove(scope, draft, "drafts")
                raise TableError("unknown_draft", f"there is no draft {draft} of the scope `{scope}`")
            return sum(added)

        return await self._ask(work)

    async def commit(self, scope: Scope, version: Version) -> None:
        await self._ask(lambda: self._commit(scope, version))

    async def _commit(self, scope: Scope, version: Version) -> None:
        versions, drafts = self._key(scope, "versions"), self._key(scope, "drafts")
        async with self._client.pipeline() as pipe:
            for _ in range(COMMITS_MAX):
                await pipe.watch(versions, drafts)
                if not await pipe.hexists(drafts, str(version.id)):
                    raise TableError("unknown_draft", f"there is no draft {version.id} of the scope `{scope}`")
                stored = await pipe.get(versions)
                after = supersede(() if stored is None else _read_versions(stored), version)
                pipe.multi()
                pipe.set(versions, msgspec.json.encode(after.versions))
                pipe.hdel(drafts, str(version.id))
                for retired in after.retired:
                    pipe.hset(self._key(scope, "retired"), str(retired), str(version.published_ms))
                try:
                    await pipe.execute()
                except self._watch_error:
                    continue
                return
        raise TableError("table_unavailable", "others publish all the time; try again")

    async def abort(self, scope: Scope, draft: int) -> None:
        async def work() -> None:
            if await self._client.hexists(self._key(scope, "drafts"), str(draft)):
                await self._remove(scope, draft, "drafts")

        await self._ask(work)

    async def read(self, scope: Scope, versions: Sequence[int], id: str) -> list[bytes | None]:
        bucket = _bucket(id)

        async def work() -> list[bytes | None]:
            if len(versions) == 1:
                return [await self._client.hget(self._key(scope, versions[0], bucket), id)]
            pipe = self._client.pipeline(transaction=False)
            for version in versions:
                pipe.hget(self._key(scope, version, bucket), id)
            return cast("list[bytes | None]", await pipe.execute())

        return await self._ask(work)

    async def scan(self, scope: Scope, version: int) -> AsyncIterator[list[tuple[str, bytes]]]:
        for start in range(0, BUCKETS, BUCKETS_AT_ONCE):
            rows = await self._ask(lambda start=start: self._buckets(scope, version, start))  # type: ignore[misc]
            if rows:
                yield rows

    async def _buckets(self, scope: Scope, version: int, start: int) -> list[tuple[str, bytes]]:
        pipe = self._client.pipeline(transaction=False)
        for bucket in range(start, start + BUCKETS_AT_ONCE):
            pipe.hgetall(self._key(scope, version, bucket))
        return [(id.decode(), row) for found in await pipe.execute() for id, row in found.items()]

    async def sweep(self, scope: Scope, now_ms: int, retired_for_ms: int = RETIRED_FOR_MS) -> int:
        async def work() -> int:
            retired = await self._client.hgetall(self._key(scope, "retired"))
            due = [int(version) for version, at_ms in retired.items() if now_ms - int(at_ms) >= retired_for_ms]
            for version in due:
                await self._remove(scope, version, "retired")
            return len(due)

        return await self._ask(work)

    async def _remove(self, scope: Scope, version: int, listed: str) -> None:
        """Rows first: what stays listed is removed by whoever comes next."""
        for start in range(0, BUCKETS, BUCKETS_AT_ONCE):
            keys = (self._key(scope, version, bucket) for bucket in range(start, start + BUCKETS_AT_ONCE))
            await self._client.unlink(*keys)
        await self._client.hdel(self._key(scope, listed), str(version))

    async def close(self) -> None:
        await self._client.aclose()


def _bucket(id: str) -> int:
    return zlib.crc32(id.encode()) % BUCKETS
