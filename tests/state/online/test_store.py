"""The contract of a table store, the same for the embedded one and a real Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rtp_monolith.errors import TableError
from rtp_monolith.state.online.store import DRAFT_FOR_MS, RETIRED_FOR_MS, TableStore, Version, supersede

HOUR_MS = 3_600_000


def version(id: int, *live: str, **more: Any) -> Version:
    said = {"name": f"v{id}", "rows": 1, "as_of_ms": 0, "published_ms": 1_000, "ttl_ms": 0, **more}
    return Version(id=id, columns=tuple((name, 0, "00000000000000aa") for name in live), live=live, **said)


async def publish(store: TableStore, rows: dict[str, bytes], *live: str, **more: Any) -> Version:
    draft = await store.begin("user", 0)
    assert await store.write("user", draft, list(rows.items())) == len(rows)
    made = version(draft, *live, **{"rows": len(rows), **more})
    await store.commit("user", made)
    return made


async def scanned(store: TableStore, number: int) -> dict[str, bytes]:
    return {id: row async for rows in store.scan("user", number) for id, row in rows}


async def test_a_draft_is_nobodys_until_it_is_committed(store: TableStore) -> None:
    assert await store.versions("user") == ()
    draft = await store.begin("user", 0)
    assert await store.write("user", draft, [("ann", b"1"), ("bob", b"2")]) == 2
    assert await store.versions("user") == ()
    made = version(draft, "user_tier", rows=2, ttl_ms=7)
    await store.commit("user", made)
    assert await store.versions("user") == (made,)
    assert await store.versions("item") == ()
    assert await store.read("user", [draft], "ann") == [b"1"]
    assert await store.read("user", [draft], "eve") == [None]
    assert await scanned(store, draft) == {"ann": b"1", "bob": b"2"}


async def test_ids_are_told_apart_and_doubles_are_counted(store: TableStore) -> None:
    draft = await store.begin("item", 0)
    odd = ["", "é", "a b", "a:b", "x" * 128, "\n", "0", "🜁"]
    assert await store.write("item", draft, [(id, id.encode() + b"\x00\xff") for id in odd]) == len(odd)
    assert await store.write("item", draft, [("new", b"1"), ("é", b"2")]) == 1
    assert await store.write("item", draft, [("twice", b"1"), ("twice", b"2")]) == 1
    await store.commit("item", version(draft, "item_rate"))
    for id in odd:
        expected = b"2" if id == "é" else id.encode() + b"\x00\xff"
        assert await store.read("item", [draft], id) == [expected]


async def test_the_version_before_stays_readable_until_it_is_swept(store: TableStore) -> None:
    old = await publish(store, {"ann": b"old"}, "user_tier")
    new = await publish(store, {"ann": b"new"}, "user_tier", published_ms=10_000)
    assert new.id > old.id
    assert await store.versions("user") == (new,)
    assert await store.read("user", [old.id, new.id], "ann") == [b"old", b"new"]
    assert await store.sweep("user", 10_000 + RETIRED_FOR_MS - 1) == 0
    assert await store.sweep("user", 10_000 + RETIRED_FOR_MS) == 1
    assert await store.read("user", [old.id, new.id], "ann") == [None, b"new"]
    assert await scanned(store, old.id) == {}
    assert await store.sweep("user", 1 << 50) == 0


async def test_each_feature_is_read_from_whoever_published_it_last(store: TableStore) -> None:
    both = await publish(store, {"ann": b"12"}, "user_budget", "user_tier")
    tier = await publish(store, {"ann": b"3"}, "user_tier")
    assert [(each.id, each.live) for each in await store.versions("user")] == [
        (both.id, ("user_budget",)),
        (tier.id, ("user_tier",)),
    ]
    assert await store.sweep("user", 1 << 50) == 0
    assert await store.read("user", [both.id, tier.id], "ann") == [b"12", b"3"]
    budget = await publish(store, {"bob": b"4"}, "user_budget")
    assert [each.id for each in await store.versions("user")] == [tier.id, budget.id]
    assert await store.sweep("user", 1 << 50) == 1


async def test_a_draft_that_is_given_up_leaves_nothing(store: TableStore) -> None:
    draft = await store.begin("user", 0)
    await store.write("user", draft, [("ann", b"1")])
    await store.abort("user", draft)
    await store.abort("user", draft)
    assert await scanned(store, draft) == {}
    for work in (store.write("user", draft, [("ann", b"1")]), store.commit("user", version(draft, "user_tier"))):
        with pytest.raises(TableError) as refused:
            await work
        assert refused.value.code == "unknown_draft"
    assert await scanned(store, draft) == {}
    assert await store.versions("user") == ()


async def test_a_thousand_rows_come_back(store: TableStore) -> None:
    rows = {f"u{n}": n.to_bytes(4, "little") for n in range(1_500)}
    made = await publish(store, rows, "user_tier")
    assert await scanned(store, made.id) == rows


async def test_drafts_beside_each_other(store: TableStore) -> None:
    one, other = await store.begin("user", 0), await store.begin("user", 0)
    assert one < other
    await asyncio.gather(store.write("user", one, [("ann", b"1")]), store.write("user", other, [("ann", b"2")]))
    await store.commit("user", version(other, "user_tier"))
    await store.commit("user", version(one, "user_budget"))
    assert await store.read("user", [one, other], "ann") == [b"1", b"2"]
    assert {each.live for each in await store.versions("user")} == {("user_tier",), ("user_budget",)}


def test_what_is_published_again_is_taken_from_the_versions_before() -> None:
    first, second = version(1, "a", "b"), version(2, "c")
    after = supersede([first, second], version(3, "b", "c"))
    assert [(each.id, each.live) for each in after.versions] == [(1, ("a",)), (3, ("b", "c"))]
    assert after.retired == (2,)
    assert after.versions[0].columns == first.columns


def test_a_draft_lives_longer_than_any_publication() -> None:
    assert DRAFT_FOR_MS >= HOUR_MS > RETIRED_FOR_MS
