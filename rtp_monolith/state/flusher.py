"""Moves changed views from memory to the store, a slice at a time, so that no request waits long for it.

Invariant: the changes of one flush are taken in one moment, at one applied offset; they are immutable while their
slices are written. It does not know the log.
"""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.state.store import ENTRY_OVERHEAD_BYTES, ViewStore

SLICE_RECORDS = 256


class Flusher:
    """At most one flush is under way; `step` does a slice of it."""

    def __init__(self, core: Core, store: ViewStore) -> None:
        self._core = core
        self._store = store
        self._offset = 0
        self.flushed_offset = 0
        """Offset of the last whole flush."""
        self.records = 0

    @property
    def under_way(self) -> bool:
        return self._core.flushing > 0

    def begin(self) -> bool:
        """Takes what changed; False when nothing did. Only when no flush is under way."""
        taken = self._core.begin_flush()
        if taken is None:
            return False
        meta, size = taken
        self._offset = self._core.applied
        self._store.begin(meta, size + ENTRY_OVERHEAD_BYTES * self._core.flushing)
        return True

    def step(self) -> bool:
        """Writes one slice; False when the flush is complete."""
        part = self._core.next_changes(SLICE_RECORDS)
        self._store.write(part)
        self.records += len(part)
        if self.under_way:
            return True
        self.flushed_offset = self._offset
        return False

    def flush(self) -> None:
        """Everything at once: at closing, and where no loop runs."""
        while self.under_way:
            self.step()
        if self.begin():
            while self.step():
                pass
