"""A session as a weighted mean of its own items, for every prefix in one pass: what CORE is, and what SASRec borrows.

The weights come from states of the session: each item's own, and how the state at the end asks for it, with a bias by
distance. Invariant: the mean lies in the hull of the items given, so an item of the session scores high without being
learned. It does not know how the states were made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rtp_monolith.training.models.encoder import FAR, at_last


class Pooling(nn.Module):
    """States [batch, length, d] → means of items [batch, length, d]."""

    def __init__(self, width: int, length_max: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        self.asking, self.asked, self.own = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.by_distance = nn.Parameter(torch.zeros(length_max))

    def forward(self, items: Tensor, states: Tensor) -> Tensor:
        """The mean as seen from every position, [batch, length, d]."""
        place = torch.arange(items.shape[1], device=items.device)
        distance = place.unsqueeze(1) - place.unsqueeze(0)
        return self._mean(items, states, states, distance.unsqueeze(0))

    def last(self, items: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        """The mean as seen from position length - 1, [batch, d]."""
        place = torch.arange(items.shape[1], device=items.device)
        distance = (lengths - 1).view(-1, 1, 1) - place.view(1, 1, -1)
        return self._mean(items, states, at_last(states, lengths).unsqueeze(1), distance).squeeze(1)

    def _mean(self, items: Tensor, states: Tensor, end: Tensor, distance: Tensor) -> Tensor:
        """`end` [batch, q, d], `distance` [batch | 1, q, length], below zero for what is not there yet."""
        logits = self.asking(end) @ self.asked(states).transpose(1, 2) * self.scale
        logits = logits + self.own(states).transpose(1, 2) + self.by_distance[distance.clamp(min=0)]
        mean: Tensor = logits.masked_fill(distance < 0, FAR).softmax(dim=-1) @ items
        return mean
