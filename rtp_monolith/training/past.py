"""The state of a shard as it stood at an offset of its log, for reading features as of then.

Invariant: after `advance(offset)` the state is the fold of exactly the log before `offset`, and it only moves forward.
User records beyond the configured number go to views in a temporary folder, so memory is bounded for any log. It does
not know what is asked of the state.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rtp_monolith._native import Ask, Core, Log, SurfacePlan
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.declared import declared
from rtp_monolith.features.published import External, Restore
from rtp_monolith.manifest import claim
from rtp_monolith.state.flusher import Flusher
from rtp_monolith.state.loading import load_missing
from rtp_monolith.state.recovery import CHUNK_BYTES, FLUSH_EVERY_BYTES, make_core
from rtp_monolith.state.store import ViewStore


class Past:
    """A context manager around one replay of the log of `data`. Raises DataError `log_truncated` when retention took
    the log's beginning."""

    def __init__(self, data: Path, log: Log, config: Config) -> None:
        if log.start() > 0:
            raise DataError(f"the log begins at {log.start()}: what came before is gone", code="log_truncated")
        self.core: Core = make_core(claim(data, config.partitions, create=False), config)
        self._restore = Restore(declared(config).published)
        self._log = log
        self._users_max = config.state.users_cached_max
        self._surface = SurfacePlan(
            "past", [], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False
        )
        self._folder = tempfile.TemporaryDirectory(prefix="rtp-past-")
        self._store: ViewStore | None = None
        self._flusher: Flusher | None = None
        self._flushed = 0
        # Frames that were read, and how many bytes of them are folded: lists lie close together, and a read of a few
        # events costs as much as folding them.
        self._ahead = b""
        self._folded = 0
        self.offset = 0

    def __enter__(self) -> Past:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._store is not None:
            self._store.close()
        self._folder.cleanup()

    def follow(self, log: Log) -> None:
        """Goes on in the same log, opened anew: it has grown."""
        self._log = log

    def advance(self, until: int) -> None:
        """Folds the log up to exactly `until`, which is the end of a frame."""
        while self.offset < until:
            frames = self._next(until - self.offset)
            if not frames:
                break
            if self._store is not None:
                self._load(self.core.missing_for_frames(frames, self.offset))
            self.core.replay(frames, self.offset)
            self.offset += len(frames)
            if self.offset - self._flushed >= FLUSH_EVERY_BYTES:
                self._evict()

    def _next(self, most: int) -> bytes:
        """The next frames, at most so many bytes, which are the end of a frame or behind it."""
        while self._folded == len(self._ahead):
            self._ahead, end = self._log.read(self.offset, CHUNK_BYTES)
            self._folded = 0
            if end == self.offset:
                text = f"the log ends at {self.offset}, {self.offset + most} was asked for"
                raise DataError(text, code="log_truncated")
            if not self._ahead:
                # What was erased leaves a gap.
                most -= end - self.offset
                self.offset = end
                if most <= 0:
                    return b""
        frames = self._ahead[self._folded : self._folded + most]
        self._folded += len(frames)
        return frames

    def ask(
        self,
        user_id: str | None,
        session_id: str,
        as_of_ms: int,
        context: list[tuple[str, str]],
        surface: SurfacePlan | None = None,
        *,
        seeds: Sequence[str] = (),
        category: str | None = None,
        query: str | None = None,
        external: External | None = None,
        shown: Sequence[str] = (),
        made_with: tuple[str, str] = ("", ""),
    ) -> Ask:
        """A request of that moment, its user's record in memory; without a surface, one that recalls nothing.
        `external` is what its decision carries of published features, for the items `shown`; `made_with` are the bundle
        and the surface of its list, for what is counted by arm."""
        if self._store is not None:
            self._load(self.core.missing_for_request(user_id, session_id))
        ask = self.core.ask(
            surface or self._surface,
            user_id,
            session_id,
            as_of_ms,
            seeds=list(seeds),
            category=category,
            context=context,
            query=query,
        )
        ask.made_with(*made_with)
        self._restore.give(self.core, ask, external, shown)
        return ask

    def _load(self, missing: list[tuple[int, bytes]]) -> None:
        if self._store is not None:
            load_missing(self.core, self._store, missing)

    def _evict(self) -> None:
        """Sends old users to the store, if there are more than may stay."""
        self._flushed = self.offset
        if dict(self.core.stats())["users_in_memory"] <= self._users_max and self._store is None:
            return
        if self._store is None or self._flusher is None:
            self._store = ViewStore(Path(self._folder.name) / "views")
            self._flusher = Flusher(self.core, self._store)
        self._flusher.flush()
        self.core.evict(self._users_max)
