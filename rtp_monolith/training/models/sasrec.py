"""SASRec: self-attention over the items of a session (Kang and McAuley, "Self-Attentive Sequential Recommendation",
ICDM 2018).

Departures: blocks are pre-LN with GELU, as in later transformers; each head has a learned bias by distance beside the
learned absolute positions (T5's relative positions, Raffel et al., 2020); under cosine scores the session's own items
join its state as a weighted mean (CORE, `pooling.py`), which short sessions that come back to items need.
Invariant: causal and right-padded, so no state sees padding or the future, and no padding mask is needed in training.
With dot products the last block computes the last position alone when a session is encoded for serving.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import FAR, TABLE_STD, Body, at_last
from rtp_monolith.training.models.pooling import Pooling
from rtp_monolith.training.settings import Settings


class Block(nn.Module):
    """Attention and a feed-forward layer, each with a residual around it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width = settings.width
        self.heads, self.head_width, self.rate = settings.heads, width // settings.heads, settings.dropout
        self.before_attention, self.before_mixing = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mixing = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.by_distance = nn.Parameter(torch.zeros(settings.heads, settings.length_max))
        # A fresh block passes its input on, so training starts from "more like the last item" and not from noise.
        for final in (self.out, self.mixing[2]):
            assert isinstance(final, nn.Linear)
            nn.init.zeros_(final.weight)
            nn.init.zeros_(final.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, length, d] → the same, causal."""
        length = x.shape[1]
        place = torch.arange(length, device=x.device)
        distance = place.unsqueeze(1) - place.unsqueeze(0)
        bias = self.by_distance[:, distance.clamp(min=0)].masked_fill(distance < 0, FAR)
        return self.joined(x, self._attend(self.before_attention(x), None, bias))

    def last(self, x: Tensor, lengths: Tensor) -> Tensor:
        """[batch, length, d] → [batch, 1, d] at length - 1."""
        normed, own = self.before_attention(x), at_last(x, lengths).unsqueeze(1)
        place = torch.arange(x.shape[1], device=x.device)
        distance = (lengths - 1).unsqueeze(1) - place.unsqueeze(0)
        bias = self.by_distance[:, distance.clamp(min=0)].transpose(0, 1).unsqueeze(2)
        bias = bias.masked_fill((distance < 0).unsqueeze(1).unsqueeze(2), FAR)
        return self.joined(own, self._attend(normed, self.before_attention(own), bias))

    def _attend(self, normed: Tensor, asking: Tensor | None, bias: Tensor) -> Tensor:
        """Queries [batch, q, d] over keys [batch, length, d], with the bias [(batch,) heads, q, length]."""
        asking = normed if asking is None else asking
        query = self._split(self.query(asking))
        key, value = (self._split(half) for half in self.key_value(normed).chunk(2, dim=-1))
        weights = query @ key.transpose(2, 3) * self.head_width**-0.5 + bias
        weights = F.dropout(weights.softmax(dim=-1), self.rate, self.training)
        attended: Tensor = self.out((weights @ value).transpose(1, 2).flatten(2))
        return attended

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], self.heads, self.head_width).transpose(1, 2)

    def joined(self, x: Tensor, attended: Tensor) -> Tensor:
        """What was attended to and the feed-forward layer, each added to what was there."""
        x = x + F.dropout(attended, self.rate, self.training)
        return x + F.dropout(self.mixing(self.before_mixing(x)), self.rate, self.training)


class SasRec(Body):
    """Positions, blocks, a final LayerNorm; under cosine scores also the pooled items."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.position = nn.Parameter(torch.empty(settings.length_max, settings.width).normal_(std=TABLE_STD))
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        self.pooling = Pooling(settings.width, settings.length_max) if self.unit else None
        # How much of the state joins the pooled items; from none, so that training starts as CORE does.
        self.share = nn.Parameter(torch.zeros(settings.width)) if self.unit else None

    def hidden(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        items = self._inputs(vectors)
        x = self.marked(items, marks) + self.position[: vectors.shape[1]]
        for block in self.blocks:
            x = block(x)
        states: Tensor = self.norm(x)
        if self.pooling is None or self.share is None:
            return states
        joined: Tensor = self.share * states + self.pooling(items, states)
        return joined

    def last(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        if self.pooling is not None:
            # Pooling asks the states of all items, so the last block has to give them all.
            return at_last(self.hidden(vectors, lengths, marks), lengths)
        x = self.marked(self._inputs(vectors), marks) + self.position[: vectors.shape[1]]
        for block in self.blocks[:-1]:
            x = block(x)
        final = self.blocks[-1]
        assert isinstance(final, Block)
        normed: Tensor = self.norm(final.last(x, lengths).squeeze(1))
        return normed

    def _inputs(self, vectors: Tensor) -> Tensor:
        return F.dropout(vectors * self.input_scale, self.settings.embedding_dropout, self.training)
