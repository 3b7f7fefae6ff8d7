"""The tables of published features of one shard: the store of its configuration, what reads it and what fills it.

Invariant: reader and drafts are of one store. It does not know lists, nor HTTP.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path

from rtp_monolith.clock import Clock
from rtp_monolith.config import Online
from rtp_monolith.features.published import SCOPES, Published, Scope
from rtp_monolith.state.online.embedded import FOLDER, EmbeddedTables
from rtp_monolith.state.online.publish import Drafts
from rtp_monolith.state.online.reader import ItemTable, OnlineReader
from rtp_monolith.state.online.redis import RedisTables
from rtp_monolith.state.online.store import TableStore, Version


def open_store(data: Path, config: Online) -> TableStore:
    """The store of a configuration; the embedded one lies in the data folder. Raises DataError `data_locked` when a
    shard has it, and ConfigError without the package that it needs."""
    return RedisTables(config) if config.store == "redis" else EmbeddedTables(data / FOLDER)


class OnlineTables:
    """`start` before the first list, then `attach`."""

    def __init__(self, published: Published, store: TableStore, config: Online, clock: Clock, items: ItemTable) -> None:
        self.reader = OnlineReader(published, store, config, clock, items)
        self.drafts = Drafts(store, published, config, clock, self.reader.refresh)
        self._store = store
        self._user_columns = [name for source in published.user for name in source.columns]
        self.gather = self.reader.gather
        self.start = self.reader.start
        self.refresh = self.reader.refresh
        self.ages_s = self.reader.ages_s
        self.stats = self.reader.stats

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reader.attach(loop)

    async def versions(self) -> Mapping[Scope, tuple[Version, ...]]:
        """As the store has them at this moment. Raises TableError."""
        return {scope: await self._store.versions(scope) for scope in SCOPES}

    async def of_user(self, user_id: str, left_s: float) -> dict[str, float]:
        """What is published of a user, by the names of the columns; nothing where there is nothing."""
        gathered = await self.gather(user_id, left_s)
        named = zip(self._user_columns, gathered.user.tolist(), strict=True)
        return {name: value for name, value in named if not math.isnan(value)}

    async def close(self) -> None:
        await self.reader.close()
