"""A core with a catalogue and nothing else: items go in as records of a log, as at a restart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Core, Log

ITEM, ITEM_DELETE = 2, 3


class Shelf:
    """`put` and `delete` change the catalogue of `core`; the index of an item is the order of its first record."""

    def __init__(self, folder: Path) -> None:
        self.log = Log(folder / "log")
        self.core = Core()

    def put(self, *items: dict[str, object]) -> None:
        self._write([(ITEM, json.dumps(item, ensure_ascii=False).encode()) for item in items])

    def delete(self, *ids: str) -> None:
        self._write([(ITEM_DELETE, id.encode()) for id in ids])

    def _write(self, records: list[tuple[int, bytes]]) -> None:
        start = self.log.end()
        for kind, body in records:
            self.log.append_frame(kind, 0, 0, 1_000, body)
        assert self.log.wait_durable(self.log.end(), 10_000)
        while start < self.log.end():
            frames, end = self.log.read(start, 1 << 20)
            self.core.replay(frames, start)
            start = end


def vectors(seed: int, n: int, dimension: int) -> NDArray[np.float32]:
    """Rows of standard normal values."""
    return np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)
