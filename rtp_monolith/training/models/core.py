"""CORE: the session is a weighted mean of its own items (Hou et al., "CORE: Simple and Effective Session-based
Recommendation within Consistent Representation Space", SIGIR 2022).

The weights come from one transformer layer. Where the paper scores each item by itself, the state at the end of the
session asks here, with a bias by distance, so that every prefix of a session has weights of its own and all of them
are trained in one pass. Invariant: the session vector lies in the hull of its items' vectors, which is why an item
seen before scores high without being learned. It does not know the order of anything but through the layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import FAR, TABLE_STD, Body, at_last
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
        self.asking, self.asked, self.own = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.by_distance = nn.Parameter(torch.zeros(settings.length_max))

    def hidden(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        x, h = self._layer(vectors)
        place = torch.arange(vectors.shape[1], device=vectors.device)
        distance = place.unsqueeze(1) - place.unsqueeze(0)
        return self._pool(x, h, h, distance.unsqueeze(0))

    def last(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        x, h = self._layer(vectors)
        place = torch.arange(vectors.shape[1], device=vectors.device)
        distance = (lengths - 1).view(-1, 1, 1) - place.view(1, 1, -1)
        return self._pool(x, h, at_last(h, lengths).unsqueeze(1), distance).squeeze(1)

    def _layer(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        x = F.dropout(vectors * self.input_scale, self.settings.embedding_dropout, self.training)
        h = x + self.position[: vectors.shape[1]]
        for block in self.blocks:
            h = block(h)
        return x, self.norm(h)

    def _pool(self, x: Tensor, h: Tensor, end: Tensor, distance: Tensor) -> Tensor:
        """Weights of items [batch, length, d] as seen from ends [batch, q, d]; distance [batch | 1, q, length]."""
        logits = self.asking(end) @ self.asked(h).transpose(1, 2) * self.settings.width**-0.5
        logits = logits + self.own(h).transpose(1, 2) + self.by_distance[distance.clamp(min=0)]
        weights = logits.masked_fill(distance < 0, FAR).softmax(dim=-1)
        return weights @ x
