"""From records to a version of a table: checked row by row into a draft, published in one step.

Invariant: nothing of a file is read by anybody until all of it is written and fits; a file that does not fit leaves
nothing behind. It does not know the store, nor whether records come from a file or over HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from rtp_monolith.clock import Clock
from rtp_monolith.config import Online
from rtp_monolith.errors import TableError
from rtp_monolith.features.published import Published, RowReader, Scope
from rtp_monolith.state.online.store import TableStore, Version

DRAFTS_MAX = 8


class Draft:
    """One publication on its way. After an error it is of no use: `abort` it."""

    def __init__(self, store: TableStore, published: Published, scope: Scope, number: int, rows_max: int) -> None:
        self.number = number
        self.rows = 0
        self._store = store
        self._scope: Scope = scope
        self._sources = published.of(scope)
        self._reader = RowReader(published, scope)
        self._rows_max = rows_max

    @classmethod
    async def begin(
        cls, store: TableStore, published: Published, scope: Scope, *, now_ms: int, item_rows_max: int
    ) -> Draft:
        """Item tables are held in memory by every shard, so they have a bound; user tables have none. Raises TableError
        `no_published_features`."""
        RowReader(published, scope)
        number = await store.begin(scope, now_ms)
        return cls(store, published, scope, number, item_rows_max if scope == "item" else 1 << 62)

    def check_columns(self, names: Sequence[str]) -> None:
        """Raises TableError for the columns of a file."""
        self._reader.check_columns(names)

    async def add(self, records: Sequence[Mapping[str, Any]], *, text: bool = False) -> None:
        """Raises TableError, which names the row as it is counted from 1 through all calls."""
        rows = [
            self._reader.read(record, number, text=text) for number, record in enumerate(records, start=self.rows + 1)
        ]
        if self.rows + len(rows) > self._rows_max:
            text_ = f"more than {self._rows_max} rows; online.item_rows_max is what a shard holds in memory"
            raise TableError("table_too_large", text_)
        if await self._store.write(self._scope, self.number, rows) < len(rows):
            raise TableError("duplicate_key", await self._twice(rows), field="id")
        self.rows += len(rows)

    async def _twice(self, rows: Sequence[tuple[str, bytes]]) -> str:
        """Which row is there twice, as far as the batch at hand can tell."""
        ids = [id for id, _ in rows]
        again = next((id for at, id in enumerate(ids) if id in ids[:at]), None)
        place = f"rows {self.rows + 1} to {self.rows + len(rows)}"
        if again is None:
            return f"a key of {place} came in an earlier row already"
        return f"{place}: the key {again!r} is there twice"

    async def commit(self, name: str, *, now_ms: int, as_of_ms: int | None = None, ttl_ms: int = 0) -> Version:
        """What was added is what lists read from here on. Raises TableError `empty_table`."""
        if not self.rows or not self._reader.seen:
            raise TableError("empty_table", "there is no row, or no column beside the key: nothing is published")
        version = Version(
            id=self.number,
            name=name,
            rows=self.rows,
            as_of_ms=now_ms if as_of_ms is None else as_of_ms,
            published_ms=now_ms,
            ttl_ms=ttl_ms,
            columns=tuple((each.name, each.length, each.key) for each in self._sources),
            live=tuple(each.name for each in self._sources if each.name in self._reader.seen),
        )
        await self._store.commit(self._scope, version)
        return version

    async def abort(self) -> None:
        await self._store.abort(self._scope, self.number)


class Drafts:
    """The publications that are under way at one shard. A draft that a row does not fit into is given up at once."""

    def __init__(
        self,
        store: TableStore,
        published: Published,
        config: Online,
        clock: Clock,
        on_published: Callable[[], Awaitable[None]],
    ) -> None:
        """`on_published` makes the next list see it."""
        self._store = store
        self._published = published
        self._config = config
        self._clock = clock
        self._on_published = on_published
        self._open: dict[tuple[Scope, int], Draft] = {}

    async def begin(self, scope: Scope) -> int:
        """A draft's number; of too many the oldest is given up. Raises TableError."""
        draft = await Draft.begin(
            self._store,
            self._published,
            scope,
            now_ms=self._clock.wall_ms(),
            item_rows_max=self._config.item_rows_max,
        )
        while len(self._open) >= DRAFTS_MAX:
            await self.abort(*next(iter(self._open)))
        self._open[scope, draft.number] = draft
        return draft.number

    def rows(self, scope: Scope, number: int) -> int:
        """Rows so far. Raises TableError."""
        return self._of(scope, number).rows

    async def add(self, scope: Scope, number: int, records: Sequence[Mapping[str, Any]], *, text: bool = False) -> int:
        """Rows so far. Raises TableError."""
        draft = self._of(scope, number)
        try:
            await draft.add(records, text=text)
        except TableError:
            await self.abort(scope, number)
            raise
        return draft.rows

    async def publish(
        self, scope: Scope, number: int, name: str, *, ttl_ms: int = 0, as_of_ms: int | None = None
    ) -> Version:
        """Lists that are asked for after the answer read it. Raises TableError."""
        draft = self._of(scope, number)
        as_of_ms = self._clock.now_ms() if as_of_ms is None else as_of_ms
        try:
            version = await draft.commit(name, now_ms=self._clock.wall_ms(), as_of_ms=as_of_ms, ttl_ms=ttl_ms)
        except TableError:
            await self.abort(scope, number)
            raise
        del self._open[scope, number]
        await self._on_published()
        return version

    async def abort(self, scope: Scope, number: int) -> None:
        """Forgets a draft, also one that is not there."""
        draft = self._open.pop((scope, number), None)
        if draft is not None:
            await draft.abort()

    def _of(self, scope: Scope, number: int) -> Draft:
        draft = self._open.get((scope, number))
        if draft is None:
            raise TableError("unknown_draft", f"there is no draft {number} of the scope `{scope}`")
        return draft
