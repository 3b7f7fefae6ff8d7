"""A second state of a shard, in another process: a copy of its views, folded on from its log.

Invariant: it writes nothing but its own copy, and stands at exactly the offset that it was folded to, which never goes
back. It does not know what it is asked for.
"""

from __future__ import annotations

from pathlib import Path

from rtp_monolith._native import Core, Log
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.manifest import Manifest
from rtp_monolith.state.flusher import Flusher
from rtp_monolith.state.loading import load_missing, load_request
from rtp_monolith.state.recovery import CHUNK_BYTES, make_core
from rtp_monolith.state.store import ViewStore

FLUSH_EVERY_BYTES = 16 << 20


class Replica:
    """The state of a log as of an offset. `views` is the copy, an empty or absent folder for the log's beginning."""

    def __init__(self, views: Path, manifest: Manifest, config: Config) -> None:
        """Raises DataError, `copy_torn` when the copy was made inside a flush."""
        self.store = ViewStore(views)
        if self.store.torn():
            self.store.close()
            raise DataError(f"{views} was copied inside a flush", code="copy_torn")
        self.core: Core = make_core(manifest, config)
        for key, value in self.store.shared():
            self.core.restore(key, value)
        self._flusher = Flusher(self.core, self.store)
        self._flushed = self.core.applied
        self._users_max = config.state.users_cached_max

    def fold(self, log: Log, until: int) -> None:
        """Folds up to exactly `until`, the end of a record. Raises DataError `log_truncated`."""
        offset = self.core.applied
        while offset < until:
            if offset < log.start():
                raise DataError(f"the log begins at {log.start()}, the copy ends at {offset}", code="log_truncated")
            frames, end = log.read(offset, min(CHUNK_BYTES, until - offset))
            if end == offset:
                raise DataError(f"the log ends at {offset}, {until} was asked for", code="log_truncated")
            load_missing(self.core, self.store, self.core.missing_for_frames(frames, offset))
            self.core.replay(frames, offset)
            offset = end
            if offset - self._flushed >= FLUSH_EVERY_BYTES:
                self._flusher.flush()
                self.core.evict(self._users_max)
                self._flushed = offset

    def load_request(self, user_id: str | None, session_id: str) -> None:
        """Brings the records of a request into memory."""
        load_request(self.core, self.store, user_id, session_id)

    def close(self) -> None:
        self.store.close()
