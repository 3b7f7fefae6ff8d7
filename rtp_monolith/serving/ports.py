"""What serving asks of the shard behind it: the state and the lists.

Invariant: serving imports these faces, never the modules that have them; one composition root puts them together.
It does not know how state is kept or a list is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from rtp_monolith.errors import Overloaded
from rtp_monolith.features.published import Scope
from rtp_monolith.ranking.faults import Faults
from rtp_monolith.records import IngestReply, RankRequest, RecommendRequest
from rtp_monolith.serving.bodies import Media
from rtp_monolith.state.online.publish import Drafts
from rtp_monolith.state.online.reader import Gathered
from rtp_monolith.state.online.store import Version

Kind = Literal["events", "items", "users", "new_items", "changed_items", "changed_users"]
"""`new_items` are items of which those that are there already stay as they are and count as duplicates. `changed_…` are
records taken whole, the last of each id; those that change nothing are not written and count as duplicates."""


class Letter(Protocol):
    """A refused event; the whole record is JSON for the one who asks."""

    @property
    def id(self) -> int: ...
    @property
    def payload(self) -> str: ...
    @property
    def cut(self) -> bool: ...
    @property
    def replayed(self) -> bool: ...


class LetterStore(Protocol):
    """The refused events."""

    @property
    def last_id(self) -> int: ...
    def list(self, *, after: int = 0, limit: int = 100, code: str | None = None) -> Sequence[Letter]: ...
    def get(self, id: int) -> Letter | None: ...
    def mark_replayed(self, ids: Sequence[int]) -> None: ...


class State(Protocol):
    """The write path and the reads of single records. Every method may raise RtpError."""

    @property
    def dead_letters(self) -> LetterStore: ...
    @property
    def introduced(self) -> Mapping[str, Mapping[str, str]]: ...
    def attach(self, loop: asyncio.AbstractEventLoop) -> None: ...
    async def ingest(
        self, kind: Kind, body: bytes, media: Media, *, trusted: bool, bury: bool = True
    ) -> IngestReply: ...
    async def patch_item(self, item_id: str, body: bytes) -> IngestReply: ...
    async def delete_item(self, item_id: str) -> IngestReply: ...
    def item(self, item_id: str) -> bytes | None: ...
    def user_state(self, key: str) -> bytes | None: ...
    async def reached(self, position: str, timeout_ms: float) -> bool: ...
    def user_of(self, user_id: str | None, session_id: str) -> str | None: ...
    def feature_counts(self) -> Sequence[tuple[str, int, int]]: ...
    def stats(self) -> Mapping[str, int | float]: ...
    def close(self) -> None: ...


class Online(Protocol):
    """Tables of published features."""

    @property
    def drafts(self) -> Drafts: ...
    async def gather(self, user_id: str | None, left_s: float) -> Gathered: ...
    async def of_user(self, user_id: str, left_s: float) -> Mapping[str, float]: ...
    async def start(self) -> None: ...
    def attach(self, loop: asyncio.AbstractEventLoop) -> None: ...
    async def refresh(self) -> None: ...
    async def versions(self) -> Mapping[Scope, Sequence[Version]]: ...
    def ages_s(self) -> Mapping[str, float]: ...
    def stats(self) -> Mapping[str, int | float]: ...
    async def close(self) -> None: ...


class Lists(Protocol):
    """The read path. `deadline_ms` is the time left at the call; the answer is the JSON of the reply.

    `degraded` are codes found before the call, to be named in the reply: `stale_position` when `min_position` was not
    reached in time. `gathered` is what was awaited of published features.
    """

    async def recommend(
        self,
        request: RecommendRequest,
        *,
        deadline_ms: float,
        degraded: Sequence[str] = (),
        gathered: Gathered | None = None,
    ) -> bytes: ...
    async def rank(
        self,
        request: RankRequest,
        *,
        deadline_ms: float,
        degraded: Sequence[str] = (),
        gathered: Gathered | None = None,
    ) -> bytes: ...


class Models(Protocol):
    """The bundles. What is answered is JSON for the one who asks; every method may raise BundleError."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def close(self) -> None: ...
    async def activate(self, name: str, version: str) -> object: ...
    async def rollback(self) -> object: ...
    async def try_out(self, role: Literal["canary", "shadow"], name: str, version: str, share: float) -> object: ...
    async def end_trial(self) -> object: ...
    def trial(self) -> object: ...
    def listing(self) -> object: ...
    def described(self, name: str, version: str) -> object: ...
    def stats(self) -> Mapping[str, int | float]: ...


class Watch(Protocol):
    """What looks after a running shard from outside its loop."""

    def attach(self, loop: asyncio.AbstractEventLoop) -> None: ...
    async def close(self) -> None: ...
    def stats(self) -> Mapping[str, int | float]: ...


class Offline(Protocol):
    """What writes the offline store beside the shard."""

    def stats(self) -> Mapping[str, int | float]: ...
    def close(self) -> None: ...


class Shard(msgspec.Struct, frozen=True):
    """A recovered shard. `faults` only where they were asked for at start, `watch`, `offline` and `online` where they
    are configured."""

    state: State
    lists: Lists
    models: Models
    faults: Faults | None = None
    watch: Watch | None = None
    offline: Offline | None = None
    online: Online | None = None


class Place:
    """Where the shard will be once it is recovered; until then asking for it is refused."""

    def __init__(self) -> None:
        self._shard: Shard | None = None

    def put(self, shard: Shard) -> None:
        self._shard = shard

    def clear(self) -> Shard | None:
        """Takes the shard away, for closing it."""
        shard, self._shard = self._shard, None
        return shard

    @property
    def ready(self) -> bool:
        return self._shard is not None

    def shard(self) -> Shard:
        """Raises Overloaded before recovery and after closing."""
        if self._shard is None:
            raise Overloaded("the shard is not ready: its state is being recovered or closed")
        return self._shard
