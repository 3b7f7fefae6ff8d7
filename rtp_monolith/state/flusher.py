"""Moves changed views from memory to the store, a slice at a time, so that no request waits long for it.

Invariant: the changes of one flush are taken in one moment, at one applied offset; they are immutable while their
slices are written. It does not know the log.
"""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.state.store import ENTRY_OVERHEAD_BYTES, ViewStore

SLICE_RECORDS = 256
ENCODE_RECORDS = 250


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
        """Changes are taken and not yet all in the store."""
        return self._core.flushing > 0

    def begin(self) -> bool:
        """Takes what changed; False when nothing did. Only when no flush is under way."""
        self._offset = self._core.applied
        return self._core.begin_flush()

    def encode(self) -> bool:
        """Encodes a part; nothing may be folded until this answers False. Then the store is told what comes."""
        if self._core.encode_flush(ENCODE_RECORDS):
            return True
        taken = self._core.flush_meta()
        assert taken is not None, "a flush ends with its meta record"
        meta, size = taken
        self._store.begin(meta, size + ENTRY_OVERHEAD_BYTES * self._core.flushing)
        return False

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
        """Everything at once, also what is under way: at closing, and where no loop runs."""
        for _ in range(2):
            if self._core.is_encoding or (not self.under_way and self.begin()):
                while self.encode():
                    pass
            while self.under_way:
                self.step()
