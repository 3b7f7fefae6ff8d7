"""Where published features lie: one interface, two stores.

A publication is written as a draft that nobody reads and becomes a version in one step. A feature is read from the
version that published it last; a version all of whose features were published again is retired, stays readable for a
while, because a reader learns of it a moment later, and is then swept. Invariant: what `versions` names can be read
whole. It does not know what a row means.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import msgspec

from rtp_monolith.features.published import Scope

RETIRED_FOR_MS = 30_000
"""So long what was retired stays readable; readers look for new versions far more often."""
DRAFT_FOR_MS = 6 * 3_600_000
"""A draft that was not published for so long was given up."""


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One publication. `columns` are the features of its rows in their order with their keys, `live` those of them
    that were not published again since. Ages count from `as_of_ms`; a `ttl_ms` of 0 is none."""

    id: int
    name: str
    rows: int
    as_of_ms: int
    published_ms: int
    ttl_ms: int
    columns: tuple[tuple[str, int, str], ...]
    live: tuple[str, ...]

    def described(self, scope: Scope, now_ms: int) -> dict[str, Any]:
        """For the one who asks what lists read."""
        return {
            "scope": scope,
            "version": self.name,
            "rows": self.rows,
            "features": self.live,
            "as_of_ms": self.as_of_ms,
            "age_s": max(0, now_ms - self.as_of_ms) / 1000,
            "ttl_ms": self.ttl_ms,
            "published_ms": self.published_ms,
        }


class TableStore(Protocol):
    """The store. Every method may raise TableError `table_unavailable`; none blocks for longer than a disk takes."""

    async def versions(self, scope: Scope) -> tuple[Version, ...]: ...
    async def begin(self, scope: Scope, now_ms: int) -> int:
        """A new draft; also forgets drafts that were given up. Numbers of drafts only grow."""
        ...

    async def write(self, scope: Scope, draft: int, rows: Sequence[tuple[str, bytes]]) -> int:
        """Adds rows; how many of them have an id that the draft did not have. Raises TableError `unknown_draft`."""
        ...

    async def commit(self, scope: Scope, version: Version) -> None:
        """The draft of that number is a version from here on. Raises TableError `unknown_draft`."""
        ...

    async def abort(self, scope: Scope, draft: int) -> None: ...
    async def read(self, scope: Scope, versions: Sequence[int], id: str) -> list[bytes | None]:
        """The rows of one id in several versions, in one go."""
        ...

    def scan(self, scope: Scope, version: int) -> AsyncIterator[list[tuple[str, bytes]]]:
        """All rows of a version, some hundred at a time."""
        ...

    async def sweep(self, scope: Scope, now_ms: int, retired_for_ms: int = RETIRED_FOR_MS) -> int:
        """Removes versions that were retired so long ago; how many."""
        ...

    async def close(self) -> None: ...


class Superseded(msgspec.Struct, frozen=True):
    """The versions after a publication, and those that nobody reads from any more."""

    versions: tuple[Version, ...]
    retired: tuple[int, ...]


def supersede(present: Sequence[Version], new: Version) -> Superseded:
    """Takes the features of a new version from those before it."""
    kept: list[Version] = []
    retired: list[int] = []
    for version in present:
        live = tuple(name for name in version.live if name not in new.live)
        if live:
            kept.append(msgspec.structs.replace(version, live=live))
        else:
            retired.append(version.id)
    return Superseded((*kept, new), tuple(retired))
