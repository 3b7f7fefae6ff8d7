"""GRU4Rec: a gated recurrent unit over the items of a session (Hidasi et al., "Session-based Recommendations with
Recurrent Neural Networks", ICLR 2016; its losses in Hidasi and Karatzoglou, CIKM 2018).

Invariant: the state after an item depends on it and on the state before, so a server may keep the state and pay one
step per click. It does not know positions.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from rtp_monolith.training.models.encoder import Body
from rtp_monolith.training.settings import Settings


class Gru4Rec(Body):
    """Dropout, the recurrence, a linear layer back into the space of the items."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.recurrence = nn.GRU(settings.width, settings.width, settings.layers, batch_first=True)
        self.out = nn.Linear(settings.width, settings.width)

    def hidden(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        rate = self.settings
        x = F.dropout(vectors * self.input_scale, rate.embedding_dropout, self.training)
        states, _ = self.recurrence(x)
        projected: Tensor = self.out(F.dropout(states, rate.dropout, self.training))
        return projected
