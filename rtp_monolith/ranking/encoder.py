"""The session encoder: from the vectors of a session's items to one vector whose dot product with an item is its score.

Encodings are kept by what went in, the items of the session in their order and what is read beside them: an impression,
a scroll, another list leave the session as it was and cost nothing. The vector of an item that has none of its own may
move with its category; a kept encoding follows when the session's next item comes.

Invariant: an encoding is a function of the bundle and of the session as it is read. It does not know users.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from onnxruntime import RunOptions

from rtp_monolith.features.marks import Marking, Marks
from rtp_monolith.ranking.graph import Shape, open_graph

Scalar = TypeVar("Scalar", bound=np.generic)


class Encoder:
    """`length` is how many items of a session count, the latest; `dimension` that of item and session vectors;
    `marking` makes what is read beside the items, None for an encoder that reads nothing else."""

    def __init__(self, data: bytes, length: int, dimension: int, marks: Marks | None = None) -> None:
        """Raises BundleError when the graph is none, or not of these sizes."""
        shapes: dict[str, Shape] = {"vectors": (None, None, dimension), "lengths": (None,)}
        if marks is not None:
            shapes["marks"] = (None, None, 2)
        self.marking = None if marks is None else Marking(marks)
        self._session = open_graph(data, "the encoder", shapes, {"session": (None, dimension)})
        fixed = next(each.shape[1] for each in self._session.get_inputs() if each.name == "vectors")
        self._fixed = fixed if isinstance(fixed, int) else None
        self.length = length
        self.dimension = dimension

    def encode(self, sequence: NDArray[np.float32], marks: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """The vector [dimension] of one session, its items' vectors [n, dimension] oldest first, 1 ≤ n ≤ length, and
        their marks [n, 2] for an encoder that reads them."""
        n = len(sequence)
        if self._fixed is not None and n < self._fixed:
            sequence = _lengthened(sequence, self._fixed)
            marks = None if marks is None else _lengthened(marks, self._fixed)
        made: NDArray[np.float32] = self.run(
            sequence[None], np.array([n], np.int64), None if marks is None else marks[None]
        )[0]
        return made

    def no_marks(self, n: int) -> NDArray[np.int64] | None:
        """Marks of `n` clicks of which nothing is known, None for an encoder that reads none."""
        return None if self.marking is None else np.zeros((n, 2), np.int64)

    def takes(self, gap: int, action: int) -> bool:
        """Whether the graph has a place for a gap's number and an action's."""
        quiet = RunOptions()
        quiet.log_severity_level = 4  # a refusal is an answer here, not an error to log
        given = {"vectors": np.zeros((1, 1, self.dimension), np.float32), "lengths": np.ones(1, np.int64)}
        try:
            self._session.run(["session"], {**given, "marks": np.array([[[gap, action]]], np.int64)}, quiet)
        except Exception:  # onnxruntime's refusals have no common class
            return False
        return True

    def run(
        self, vectors: NDArray[np.float32], lengths: NDArray[np.int64], marks: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """The graph itself: [b, l, dimension] padded on the right, [b] and maybe [b, l, 2] to [b, dimension]."""
        given = {"vectors": vectors, "lengths": lengths}
        if marks is not None:
            given["marks"] = marks
        made: NDArray[np.float32] = self._session.run(["session"], given)[0]
        return made


def _lengthened(rows: NDArray[Scalar], n: int) -> NDArray[Scalar]:
    """Zeros after the rows, up to `n`."""
    made = np.zeros((n, *rows.shape[1:]), rows.dtype)
    made[: len(rows)] = rows
    return made


class Encodings:
    """The latest encodings by the sessions that made them, as `SessionRead.key` tells them apart; the one that was not
    asked for longest goes first."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, encoding: NDArray[np.float32]) -> None:
        self._kept[key] = encoding
        if len(self._kept) > self._size_max:
            self._kept.popitem(last=False)
