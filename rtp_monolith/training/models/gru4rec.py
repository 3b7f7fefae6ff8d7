"""GRU4Rec: a gated recurrent unit over the items of a session (Hidasi et al., "Session-based Recommendations with
Recurrent Neural Networks", ICLR 2016; its losses in Hidasi and Karatzoglou, CIKM 2018).

Departure: a LayerNorm over the output. Without it states are as small as a fresh table's vectors, each keeps the
other's gradient small, and a small shop is left before either grows. Invariant: the state after an item depends on it
and on the state before, so a server may keep the state and pay one `step` per click. It does not know positions.
"""

from __future__ import annotations

import torch
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
        self.norm = nn.LayerNorm(settings.width)

    def hidden(self, vectors: Tensor, lengths: Tensor, marks: Tensor | None) -> Tensor:
        x = F.dropout(vectors * self.input_scale, self.settings.embedding_dropout, self.training)
        states, _ = self.recurrence(self.marked(x, marks))
        return self._project(states)

    def fresh(self, batch: int) -> Tensor:
        """The state of `batch` empty sessions, [layers, batch, d]."""
        return torch.zeros(self.settings.layers, batch, self.settings.width)

    def step(self, vectors: Tensor, state: Tensor, marks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One click in each session: item vectors [batch, d], state [layers, batch, d], marks int64 [batch, 2] →
        session vectors [batch, d] and the state to keep."""
        states, after = self.recurrence(self.marked(vectors * self.input_scale, marks).unsqueeze(1), state)
        return self.finish(self._project(states.squeeze(1))), after

    def _project(self, states: Tensor) -> Tensor:
        projected: Tensor = self.norm(self.out(F.dropout(states, self.settings.dropout, self.training)))
        return projected
