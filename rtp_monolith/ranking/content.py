"""Vectors of items that a bundle was not trained on: from their content by the bundle's graph, or as they were sent.

An `embedding` of the vectors' length that was sent with an item is used instead of its content; its direction counts,
and it is brought to the length that trained vectors have, so that it neither dominates nor vanishes among them.
Invariant: after `catch_up` every item that the core has told of has its vector, as long as there is anything to make
one from; no more than `SLICE` items are made at once. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Core
from rtp_monolith.features.content import Bags, Described, bags
from rtp_monolith.ranking.graph import open_graph

SLICE = 16
"""Items between two requests: about three milliseconds."""
AT_START = 20_000
"""Items that a shard makes before it is ready; the others follow beside requests."""

Rows = tuple[NDArray[np.uint32], NDArray[np.float32]]


class Sent(Described, frozen=True):
    """What is read of an item."""

    embedding: list[float] | None = None


_read = msgspec.json.Decoder(Sent, strict=False).decode


class ContentGraph:
    """Tokens of a table of `rows` → vectors of `dimension` values."""

    def __init__(self, data: bytes, rows: int, dimension: int) -> None:
        """Raises BundleError when the graph is none, or not of these sizes."""
        shapes = {"tokens": (None, None), "weights": (None, None)}
        self._session = open_graph(data, "the content model", shapes, {"vectors": (None, dimension)})
        self.rows = rows

    def run(self, tokens: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """int64 and float32 [n, longest] → [n, dimension]."""
        made: NDArray[np.float32] = self._session.run(["vectors"], {"tokens": tokens, "weights": weights})[0]
        return made

    def of(self, items: Sequence[Described]) -> NDArray[np.float32]:
        said: Bags = bags(items, self.rows)
        return self.run(said.tokens, said.weights)


class Maker:
    """Makes the vectors of one bundle, which need not have a content model; `length` is what trained vectors have."""

    def __init__(self, graph: ContentGraph | None, vectors: NDArray[np.float32]) -> None:
        self.graph = graph
        self.dimension = vectors.shape[1]
        lengths = np.linalg.norm(vectors, axis=1)
        self.length = float(np.median(lengths[lengths > 0])) if (lengths > 0).any() else 1.0

    def step(self, core: Core, *, beside: bool = False) -> int:
        """Makes at most SLICE vectors of the items that wait for one; how many there were."""
        cold = core.take_cold(SLICE, given_only=self.graph is None, beside=beside)
        if not cold:
            return 0
        given, said = self.made([body for _, body in cold])
        numbers = np.array([item for item, _ in cold], np.uint32)
        for (places, rows), is_given in ((given, True), (said, False)):
            if len(places):
                core.put_made(numbers[places], rows, given=is_given, beside=beside)
        return len(cold)

    def made(self, bodies: Sequence[bytes]) -> tuple[Rows, Rows]:
        """Places among the items and their vectors: those that were given, then those from content."""
        items = [_read(body) for body in bodies]
        sent = [self._given(item.embedding) for item in items]
        given = [place for place, row in enumerate(sent) if row is not None]
        said = [] if self.graph is None else [place for place, row in enumerate(sent) if row is None]
        rows = np.array([row for row in sent if row is not None], np.float32).reshape(len(given), self.dimension)
        empty = np.zeros((0, self.dimension), np.float32)
        made = self.graph.of([items[place] for place in said]) if self.graph is not None and said else empty
        return (np.array(given, np.uint32), rows), (np.array(said, np.uint32), np.ascontiguousarray(made))

    def _given(self, embedding: list[float] | None) -> NDArray[np.float32] | None:
        """None for one of another length, or without a direction."""
        if embedding is None or len(embedding) != self.dimension:
            return None
        row = np.array(embedding, np.float64)
        length = float(np.linalg.norm(row))
        return (row * (self.length / length)).astype(np.float32) if 0 < length < np.inf else None


async def catch_up(core: Core, maker: Maker, *, beside: bool = False) -> None:
    """Everything that waits, lists in between."""
    more = True
    while more:
        more = maker.step(core, beside=beside) == SLICE
        await asyncio.sleep(0)
