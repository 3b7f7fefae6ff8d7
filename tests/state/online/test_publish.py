"""From records to a version: whole or not at all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, Online
from rtp_monolith.errors import TableError
from rtp_monolith.features.declared import declared
from rtp_monolith.features.published import Scope
from rtp_monolith.state.online.publish import DRAFTS_MAX, Drafts
from rtp_monolith.state.online.store import TableStore


class Desk:
    def __init__(self, store: TableStore, config: Config) -> None:
        self.store = store
        self.clock = ManualClock(1_000_000)
        self.looks = 0
        self.drafts = Drafts(store, declared(config).published, Online(item_rows_max=3), self.clock, self._look)

    async def _look(self) -> None:
        self.looks += 1

    async def scan(self, scope: Scope, number: int) -> int:
        return sum([len(rows) async for rows in self.store.scan(scope, number)])


@pytest.fixture
async def desk(store: TableStore, config: Config) -> AsyncIterator[Desk]:
    yield Desk(store, config)


async def test_a_publication_says_what_it_holds(desk: Desk) -> None:
    number = await desk.drafts.begin("user")
    assert await desk.drafts.add("user", number, [{"id": "ann", "budget": 1}, {"id": "bob", "tier": None}]) == 2
    assert await desk.drafts.add("user", number, [{"user_id": "eve", "budget": "2"}], text=True) == 3
    assert desk.looks == 0
    version = await desk.drafts.publish("user", number, "nightly", ttl_ms=5)
    assert (version.rows, version.live, version.ttl_ms) == (3, ("user_budget", "user_tier"), 5)
    assert (version.as_of_ms, version.published_ms, desk.looks) == (1_000_000, 1_000_000, 1)
    assert await desk.store.versions("user") == (version,)
    assert version.described("user", 3_000_000)["age_s"] == 2_000
    with pytest.raises(TableError) as refused:
        await desk.drafts.add("user", number, [{"id": "new", "budget": 1}])
    assert refused.value.code == "unknown_draft"


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        ([{"id": "a", "rate": 1}, {"id": "b", "rte": 1}], "unknown_column"),
        ([{"id": "a", "rate": 1}, {"id": "b", "rate": "high"}], "bad_value"),
        ([{"id": "a", "rate": 1}, {"rate": 1}], "missing_key"),
        ([{"id": "a", "rate": 1}, {"id": "a", "rate": 2}], "duplicate_key"),
        ([{"id": "x", "rate": 2}], "duplicate_key"),
        ([{"id": name, "rate": 1} for name in "abc"], "table_too_large"),
    ],
)
async def test_a_row_that_does_not_fit_undoes_the_draft(desk: Desk, rows: list[dict[str, Any]], code: str) -> None:
    number = await desk.drafts.begin("item")
    await desk.drafts.add("item", number, [{"id": "x", "rate": 1}])
    with pytest.raises(TableError) as refused:
        await desk.drafts.add("item", number, rows)
    assert refused.value.code == code
    assert await desk.scan("item", number) == 0
    assert await desk.store.versions("item") == ()
    with pytest.raises(TableError):
        await desk.drafts.publish("item", number, "v")


@pytest.mark.parametrize("rows", [[], [{"id": "a"}]])
async def test_nothing_is_not_published(desk: Desk, rows: list[dict[str, Any]]) -> None:
    number = await desk.drafts.begin("item")
    await desk.drafts.add("item", number, rows)
    with pytest.raises(TableError) as refused:
        await desk.drafts.publish("item", number, "v")
    assert refused.value.code == "empty_table"
    assert await desk.store.versions("item") == ()


async def test_so_many_drafts_are_open_at_once(desk: Desk) -> None:
    numbers = [await desk.drafts.begin("user") for _ in range(DRAFTS_MAX + 1)]
    with pytest.raises(TableError):
        desk.drafts.rows("user", numbers[0])
    assert [desk.drafts.rows("user", number) for number in numbers[1:]] == [0] * DRAFTS_MAX
    await desk.drafts.abort("user", numbers[1])
    with pytest.raises(TableError):
        desk.drafts.rows("user", numbers[1])
