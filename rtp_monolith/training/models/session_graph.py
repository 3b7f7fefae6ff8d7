"""SR-GNN: a session as a graph of its items, an edge for each click after another (Wu et al., "Session-based
Recommendation with Graph Neural Networks", AAAI 2019; cosine scores as in NISER, Gupta et al., 2019).

A gated graph layer passes messages along and against the edges, then the latest item asks all others (soft attention),
and both together make the session. Every prefix has a graph of its own. Invariant: the answer depends on which items
followed which and on which is the latest, and on no other order; equal vectors are one node, so the graph is read off
the vectors that a server has. It does not know positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import Body, at_last
from rtp_monolith.training.settings import Settings


class SessionGraph(Body):
    """`layers` rounds of messages with shared weights, and the read-out."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        width = settings.width
        self.along, self.against = nn.Linear(width, width), nn.Linear(width, width)
        self.gate = nn.GRUCell(2 * width, width)
        self.latest, self.each, self.weight = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.joined = nn.Linear(2 * width, width)
        self.norm = nn.LayerNorm(width)

    def hidden(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        batch, length, width = vectors.shape
        prefixes = vectors.repeat_interleave(length, dim=0)
        upto = torch.arange(1, length + 1, device=vectors.device).repeat(batch)
        own = None if marks is None else marks.repeat_interleave(length, dim=0)
        return self.last(prefixes, upto, own).view(batch, length, width)

    def last(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        node, along = graph(vectors, lengths)
        states = F.dropout(vectors * self.input_scale, self.settings.embedding_dropout, self.training)
        # Every node is the first of its clicks; dropout must not make two of one item differ.
        states = node @ states
        into, out = _share(along.transpose(1, 2)), _share(along)
        for _ in range(self.settings.layers):
            messages = torch.cat([into @ self.along(states), out @ self.against(states)], dim=-1)
            states = self.gate(messages.flatten(0, 1), states.flatten(0, 1)).view_as(states)
        # A node may stand for several clicks, so marks join where clicks are read out.
        clicks = self.marked(node @ states, marks)
        latest = at_last(clicks, lengths)
        asked = torch.sigmoid(self.latest(latest).unsqueeze(1) + self.each(clicks))
        inside = torch.arange(vectors.shape[1], device=vectors.device) < lengths.unsqueeze(1)
        weights = self.weight(asked) * inside.unsqueeze(2)
        both = torch.cat([latest, (weights * clicks).sum(1)], dim=-1)
        joined: Tensor = self.norm(self.joined(F.dropout(both, self.settings.dropout, self.training)))
        return joined


def graph(vectors: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """float32 [batch, length, d], int64 [batch] → which click is the node of each click, one-hot [batch, length,
    length], and whether an edge leads from a node to another, 0 or 1, of the same shape."""
    length = vectors.shape[1]
    same = (vectors.unsqueeze(2) == vectors.unsqueeze(1)).all(dim=-1)
    place = torch.arange(length, device=vectors.device)
    first = torch.where(same, place, length).amin(dim=2)
    node = (first.unsqueeze(2) == place).to(vectors.dtype)
    followed = (place[1:] < lengths.unsqueeze(1)).to(vectors.dtype).unsqueeze(2)
    edges = (node[:, :-1] * followed).transpose(1, 2) @ node[:, 1:]
    return node, edges.clamp(max=1.0)


def _share(edges: Tensor) -> Tensor:
    """Rows that sum to one, or to zero where there is no edge."""
    return edges / edges.sum(dim=2, keepdim=True).clamp(min=1.0)
