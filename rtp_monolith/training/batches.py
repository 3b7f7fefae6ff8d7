"""Sessions as batches: windows of at most `length_max` inputs, like lengths together, every position a target.

Invariant: in one epoch every click but the first of its session is the target exactly once, whatever the lengths. The
order depends on seed and epoch alone. It does not know what the items are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.marks import FIRST

CHUNK_BATCHES = 64
"""Windows are sorted by length among the windows of about this many batches: little padding, and still shuffled."""


class Batch(NamedTuple):
    """`items` int64 [batch, longest + 1] right-padded with 0, `lengths` int64 [batch]; targets stand one later.
    `starts` int64 [batch]: where each window begins in the sessions laid end to end. `marks` int64 [batch, longest, 2]
    are of the inputs alone: a target's are not known before it."""

    items: NDArray[np.int64]
    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    marks: NDArray[np.int64] | None = None


class Windows:
    """The training windows of sessions given as item numbers, oldest first, with the marks [clicks, 2] of each or
    without."""

    def __init__(
        self,
        sessions: Sequence[Sequence[int]],
        length_max: int,
        batch_tokens: int,
        marks: Sequence[NDArray[np.int64]] | None = None,
    ) -> None:
        self.marks = None if marks is None else np.concatenate([*marks, np.zeros((0, 2), np.int64)])
        self.flat = np.fromiter((item for session in sessions for item in session), dtype=np.int64)
        places = [window for window in _windows(sessions, length_max)]
        self.starts = np.array([start for start, _ in places], dtype=np.int64)
        self.lengths = np.array([length for _, length in places], dtype=np.int64)
        self.batch_tokens = batch_tokens
        self.targets = int(self.lengths.sum())

    def __len__(self) -> int:
        return len(self.starts)

    def target_counts(self, items: int) -> NDArray[np.int64]:
        """How often each item is a target in one epoch."""
        ends = np.zeros(len(self.flat), dtype=bool)
        for start, length in zip(self.starts.tolist(), self.lengths.tolist(), strict=True):
            ends[start + 1 : start + 1 + length] = True
        return np.bincount(self.flat[ends], minlength=items)

    def epoch(self, seed: int, epoch: int) -> list[NDArray[np.int64]]:
        """The batches of an epoch as lists of window numbers, in the order in which they are trained."""
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(self))
        chunk = max(1, round(CHUNK_BATCHES * self.batch_tokens / max(1.0, self.lengths.mean()))) if len(self) else 1
        batches = [batch for at in range(0, len(order), chunk) for batch in self._cut(order[at : at + chunk])]
        return [batches[at] for at in rng.permutation(len(batches))]

    def batch(self, windows: NDArray[np.int64]) -> Batch:
        starts, lengths = self.starts[windows], self.lengths[windows]
        place = np.arange(int(lengths.max()) + 1)
        inside = place <= lengths[:, None]
        items = np.where(inside, self.flat[np.where(inside, starts[:, None] + place, 0)], 0)
        if self.marks is None:
            return Batch(items, lengths, starts)
        before = inside[:, 1:]
        marks = self.marks[np.where(before, starts[:, None] + place[:-1], 0)] * before[:, :, None]
        marks[:, 0, 0] = FIRST
        return Batch(items, lengths, starts, marks)

    def _cut(self, chunk: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Batches of at most `batch_tokens` padded positions, at least one window each."""
        ordered = chunk[np.argsort(self.lengths[chunk], kind="stable")]
        lengths = self.lengths[ordered].tolist()
        start = 0
        for at, length in enumerate(lengths):
            if at > start and (at - start + 1) * length > self.batch_tokens:
                yield ordered[start:at]
                start = at
        if start < len(ordered):
            yield ordered[start:]


def _windows(sessions: Sequence[Sequence[int]], length_max: int) -> Iterator[tuple[int, int]]:
    """(place in the flat array, inputs) of each window; long sessions are cut from their end."""
    begin = 0
    for session in sessions:
        end = len(session)
        while end > 1:
            start = max(0, end - 1 - length_max)
            yield begin + start, end - 1 - start
            end = start + 1
        begin += len(session)
