"""Shared counters of items, read from stored views without the product's decoder.

Invariant: reads the published layout: variable-length integers, zigzag for signed ones. It knows items and their stats,
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tests.simulation.oracle import TYPES


class Counts(msgspec.Struct):
    """Lifetime counts by event type, the newest time by type, and the moments of dwell and revenue."""

    totals: dict[str, int] = {}
    newest_ms: dict[str, int] = {}
    moments: list[int] = []


class Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def signed(self) -> int:
        value = self.unsigned()
        return (value >> 1) ^ -(value & 1)

    def text(self) -> str:
        n = self.unsigned()
        self._at += n
        return self._data[self._at - n : self._at].decode()


def read_counts(data: bytes) -> Counts:
    """One entry of the space `s`."""
    reader = Reader(data)
    counts = Counts()
    for _ in range(reader.unsigned()):
        slot, total = TYPES[reader.byte()], reader.unsigned()
        counts.totals[slot] = total
        counts.newest_ms[slot] = reader.signed()
        for _ in range(reader.unsigned().bit_count()):
            reader.unsigned()
    for _ in range(2):
        count = reader.unsigned()
        counts.moments += [count, reader.signed(), reader.unsigned()] if count else [0, 0, 0]
    return counts


def item_entries(entries: Iterable[tuple[bytes, bytes]]) -> dict[str, bytes]:
    """Bytes of the stats of each item that was counted, by item id."""
    views = dict(entries)
    found = {}
    for key, value in views.items():
        if key[:1] == b"i" and b"s" + key[1:] in views:
            reader = Reader(value)
            reader.unsigned()
            found[reader.text()] = views[b"s" + key[1:]]
    return found


def item_counts(entries: Iterable[tuple[bytes, bytes]]) -> dict[str, Counts]:
    return {item: read_counts(value) for item, value in item_entries(entries).items()}
