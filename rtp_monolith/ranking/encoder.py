"""The session encoder: from the vectors of a session's items to one vector whose dot product with an item is its score.

Encodings are kept by what went in, the items of the session in their order: an impression, a scroll, another list leave
the session as it was and cost nothing. The vector of an item that has none of its own may move with its category; a
kept encoding follows when the session's next item comes.

Invariant: an encoding is a function of the bundle and of the items. It does not know users.
"""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.ranking.graph import open_graph


class Encoder:
    """`length` is how many items of a session count, the latest; `dimension` that of item and session vectors."""

    def __init__(self, data: bytes, length: int, dimension: int) -> None:
        """Raises BundleError when the graph is none, or not of these sizes."""
        shapes = {"vectors": (None, None, dimension), "lengths": (None,)}
        self._session = open_graph(data, "the encoder", shapes, {"session": (None, dimension)})
        fixed = next(each.shape[1] for each in self._session.get_inputs() if each.name == "vectors")
        self._fixed = fixed if isinstance(fixed, int) else None
        self.length = length
        self.dimension = dimension

    def encode(self, sequence: NDArray[np.float32]) -> NDArray[np.float32]:
        """The vector [dimension] of one session, its items' vectors [n, dimension] oldest first, 1 ≤ n ≤ length."""
        n = len(sequence)
        if self._fixed is not None and n < self._fixed:
            padded = np.zeros((self._fixed, self.dimension), np.float32)
            padded[:n] = sequence
            sequence = padded
        made: NDArray[np.float32] = self.run(sequence[None], np.array([n], np.int64))[0]
        return made

    def run(self, vectors: NDArray[np.float32], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """The graph itself: [b, l, dimension] padded on the right and [b] to [b, dimension]."""
        made: NDArray[np.float32] = self._session.run(["session"], {"vectors": vectors, "lengths": lengths})[0]
        return made


class Encodings:
    """The latest encodings by the items that made them; the one that was not asked for longest goes first."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._kept: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, items: NDArray[np.uint32]) -> NDArray[np.float32] | None:
        key = items.tobytes()
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        return found

    def put(self, items: NDArray[np.uint32], encoding: NDArray[np.float32]) -> None:
        self._kept[items.tobytes()] = encoding
        if len(self._kept) > self._size_max:
            self._kept.popitem(last=False)
