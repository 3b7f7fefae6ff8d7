"""Moves changed views from memory to the store, a slice at a time, so that no request waits long for it.

Invariant: the changes of one flush are taken in one moment, at one applied offset; they are immutable while their
slices are written. It does not know the log.
"""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.state.store import ENTRY_OVERHEAD_BYTES, META, Change, ViewStore

SLICE_RECORDS = 256


class Flusher:
    """At most one flush is under way; `step` does a slice of it."""

    def __init__(self, core: Core, store: ViewStore) -> None:
        self._core = core
        self._store = store
        self._changes: list[Change] = []
        self._next = 0
        self._offset = 0
        self.flushed_offset = 0
        """Offset of the last whole flush."""
        self.records = 0

    @property
    def under_way(self) -> bool:
        return self._next < len(self._changes)

    def begin(self) -> bool:
        """Takes what changed; False when nothing did. Only when no flush is under way."""
        self._changes = self._core.take_changes()
        self._next = 0
        if not self._changes:
            return False
        self._offset = self._core.applied
        key, meta = self._changes[-1]
        assert key == META and meta is not None
        size = sum(len(k) + len(v or b"") + ENTRY_OVERHEAD_BYTES for k, v in self._changes)
        self._store.begin(meta, size)
        return True

    def step(self) -> bool:
        """Writes one slice; False when the flush is complete."""
        part = self._changes[self._next : self._next + SLICE_RECORDS]
        self._store.write(part)
        self._next += len(part)
        self.records += len(part)
        if self.under_way:
            return True
        self._changes = []
        self._next = 0
        self.flushed_offset = self._offset
        return False

    def flush(self) -> None:
        """Everything at once: at closing, and where no loop runs."""
        while self.under_way:
            self.step()
        if self.begin():
            while self.step():
                pass
