"""CORE: the session is a weighted mean of its own items (Hou et al., "CORE: Simple and Effective Session-based
Recommendation within Consistent Representation Space", SIGIR 2022).

The weights come from one transformer layer. Where the paper weighs each item by itself, the state at the end of the
session asks as well (`pooling.py`), so every prefix of a session has weights of its own and all are trained in one
pass. Invariant: sessions and items live in one space. It does not know the order of anything but through the layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import TABLE_STD, Body
from rtp_monolith.training.models.pooling import Pooling
from rtp_monolith.training.models.sasrec import Block
from rtp_monolith.training.settings import Settings


class Core(Body):
    """Blocks that give weights, and the weighted mean of the inputs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        width = settings.width
        self.position = nn.Parameter(torch.empty(settings.length_max, width).normal_(std=TABLE_STD))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(width)
        self.pooling = Pooling(width, settings.length_max)

    def hidden(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        items, states = self._layer(vectors, marks)
        pooled: Tensor = self.pooling(items, states)
        return pooled

    def last(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        return self.pooling.last(*self._layer(vectors, marks), lengths)

    def _layer(self, vectors: Tensor, marks: Tensor | None) -> tuple[Tensor, Tensor]:
        # Marks weigh the items like positions do; the mean itself is of items alone.
        items = F.dropout(vectors * self.input_scale, self.settings.embedding_dropout, self.training)
        states = self.marked(items, marks) + self.position[: vectors.shape[1]]
        for block in self.blocks:
            states = block(states)
        return items, self.norm(states)
