"""A flush goes in slices: bounded, one offset, complete before it counts."""

from __future__ import annotations

from rtp_monolith.state.flusher import SLICE_RECORDS, Flusher
from rtp_monolith.state.store import META, Change

from .conftest import Book, event


class Recorded:
    """A store that keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[bytes] = []
        self.slices: list[list[Change]] = []

    def begin(self, meta: bytes, changes_bytes: int) -> None:
        self.begun.append(meta)

    def write(self, changes: list[Change]) -> None:
        self.slices.append(list(changes))


def flusher_of(book: Book) -> tuple[Flusher, Recorded]:
    store = Recorded()
    return Flusher(book.shard.core, store), store  # type: ignore[arg-type]


def test_slices_are_bounded_and_the_offset_is_the_last_record(book: Book) -> None:
    book.send(*[event(f"e{n}", session=f"s{n}") for n in range(700)])
    offset = book.shard.core.applied
    flusher, store = flusher_of(book)
    assert flusher.begin()
    while flusher.encode():
        pass
    while flusher.step():
        assert flusher.under_way
        assert flusher.flushed_offset == 0, "a part does not count"
    assert (flusher.flushed_offset, flusher.under_way) == (offset, False)
    assert len(store.slices) >= 3
    assert {len(part) for part in store.slices[:-1]} == {SLICE_RECORDS}
    keys = [key for part in store.slices for key, _ in part]
    assert len(keys) == len(set(keys)) == flusher.records >= 700
    assert (keys[-1], store.slices[-1][-1][1]) == (META, store.begun[0])


def test_events_between_two_slices_wait_for_the_next_flush(book: Book) -> None:
    book.send(*[event(f"e{n}", session=f"s{n}") for n in range(600)])
    offset = book.shard.core.applied
    flusher, store = flusher_of(book)
    assert flusher.begin()
    while flusher.encode():
        pass
    flusher.step()
    book.click("late", session="s1")
    while flusher.step():
        pass
    assert flusher.flushed_offset == offset
    store.slices.clear()
    flusher.flush()
    assert flusher.flushed_offset == book.shard.core.applied > offset
    assert sum(key[:1] == b"u" for part in store.slices for key, _ in part) == 1


def test_nothing_to_do(book: Book) -> None:
    flusher, store = flusher_of(book)
    flusher.flush()
    assert (store.slices, store.begun) == ([], [])
