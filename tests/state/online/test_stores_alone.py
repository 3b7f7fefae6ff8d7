"""What only one of the stores has to keep: files that survive a crash, transactions between processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rtp_monolith.config import Online
from rtp_monolith.errors import DataError, TableError
from rtp_monolith.state.online.embedded import EmbeddedTables
from rtp_monolith.state.online.redis import RedisTables
from rtp_monolith.state.online.store import DRAFT_FOR_MS
from tests.conftest import unused_port
from tests.redis_server import RedisServer
from tests.state.online.test_store import publish, scanned, version


async def test_the_embedded_store_is_of_one_process_and_keeps_what_it_committed(tmp_path: Path) -> None:
    store = EmbeddedTables(tmp_path)
    made = await publish(store, {"ann": b"1"}, "user_tier")
    draft = await store.begin("user", 0)
    await store.write("user", draft, [("bob", b"2")])
    with pytest.raises(DataError) as refused:
        EmbeddedTables(tmp_path)
    assert refused.value.code == "data_locked"
    await store.close()
    again = EmbeddedTables(tmp_path)
    assert await again.versions("user") == (made,)
    assert await again.read("user", [made.id], "ann") == [b"1"]
    assert await scanned(again, draft) == {}, "nobody can go on with the draft of a process that ended"
    assert await again.begin("user", 0) > draft
    await again.close()


def redis(server: RedisServer, prefix: str) -> RedisTables:
    return RedisTables(Online(store="redis", url=server.url, prefix=prefix, load_timeout_ms=300))


async def test_redis_is_shared_and_prefixes_are_apart(redis_server: RedisServer) -> None:
    one, other, apart = redis(redis_server, "shop"), redis(redis_server, "shop"), redis(redis_server, "else")
    made = await publish(one, {"ann": b"1"}, "user_tier")
    assert await other.versions("user") == (made,)
    assert await apart.versions("user") == ()
    drafts = [await each.begin("user", 0) for each in (one, other)]
    for store, draft in zip((one, other), drafts, strict=True):
        await store.write("user", draft, [("ann", b"2")])
    # Both read the catalogue before either writes it: the one that comes second tries again.
    await asyncio.gather(
        one.commit("user", version(drafts[0], "user_budget")), other.commit("user", version(drafts[1], "user_taste"))
    )
    assert {each.live for each in await one.versions("user")} == {("user_tier",), ("user_budget",), ("user_taste",)}
    for store in (one, other, apart):
        await store.close()


async def test_drafts_of_dead_publishers_are_cleared_away(redis_server: RedisServer) -> None:
    store = redis(redis_server, "dead")
    draft = await store.begin("user", 0)
    await store.write("user", draft, [("ann", b"1")])
    await store.begin("user", DRAFT_FOR_MS - 1)
    assert await scanned(store, draft) == {"ann": b"1"}
    await store.begin("user", DRAFT_FOR_MS)
    assert await scanned(store, draft) == {}
    await store.close()


async def test_a_redis_that_is_not_there_or_does_not_answer_has_one_code(redis_server: RedisServer) -> None:
    nobody = RedisTables(Online(store="redis", url=f"redis://127.0.0.1:{unused_port()}", load_timeout_ms=300))
    store = redis(redis_server, "frozen")
    await store.versions("user")
    redis_server.freeze()
    try:
        for asked in (nobody, store):
            with pytest.raises(TableError) as refused:
                await asked.versions("user")
            assert refused.value.code == "table_unavailable"
    finally:
        redis_server.thaw()
    assert await store.versions("user") == ()
    await store.close()
    await nobody.close()
