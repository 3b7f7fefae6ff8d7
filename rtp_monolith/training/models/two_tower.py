"""Two towers that meet in a dot product: one for the item, one for the session (Covington et al., "Deep Neural Networks
for YouTube Recommendations", RecSys 2016; with in-batch negatives and log-q, Yi et al., RecSys 2019).

The item tower reads the id embedding and the attributes' and runs once per item, before anything is asked. The session
tower reads the mean of the session's items, a mean that forgets, and the latest item. Invariant: neither tower sees
the other's input, so items can be searched by their vectors. It does not know order but for forgetting and the latest.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import Body
from rtp_monolith.training.settings import Settings

FORGET = 0.7
"""Of an item's weight in the forgetting mean, what is left after each later click."""


class TwoTower(Body):
    """Both towers are a hidden layer with a residual around it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        width = settings.width
        self.item_tower = _tower(width, width)
        self.session_tower = _tower(3 * width, width)
        self.shares = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]) / 3.0)
        self.norm = nn.LayerNorm(width)

    def items(self, rows: Tensor) -> Tensor:
        made: Tensor = rows + self.item_tower(rows)
        return made

    def hidden(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        items = F.dropout(vectors * self.input_scale, self.settings.embedding_dropout, self.training)
        place = torch.arange(items.shape[1], device=items.device)
        distance = place.unsqueeze(1) - place.unsqueeze(0)
        heard = (distance >= 0).to(items.dtype)
        forgetting = heard * FORGET ** distance.clamp(min=0).to(items.dtype)
        shares = [weights / weights.sum(1, keepdim=True) for weights in (heard, forgetting)]
        read = torch.cat([*(share @ items for share in shares), items], dim=-1)
        # The tower reads marks; the mean that it adds to is of items alone.
        marked = self.marked(items, marks)
        told = read if marked is items else torch.cat([*(share @ marked for share in shares), marked], dim=-1)
        mixed = sum(share * part for share, part in zip(self.shares, read.chunk(3, dim=-1), strict=True))
        made: Tensor = self.norm(mixed + self.session_tower(F.dropout(told, self.settings.dropout, self.training)))
        return made


def _tower(inputs: int, width: int) -> nn.Sequential:
    """A tower begins as nothing beside its residual, so training starts from "more like these items"."""
    final = nn.Linear(2 * width, width)
    nn.init.zeros_(final.weight)
    nn.init.zeros_(final.bias)
    return nn.Sequential(nn.Linear(inputs, 2 * width), nn.GELU(), final)
