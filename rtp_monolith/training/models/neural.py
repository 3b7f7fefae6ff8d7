"""A trained encoder as a scorer: session vectors against all exported item vectors.

Invariant: what it scores is what `export.py` exports. It does not know how the model was trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.room import Room

AHEAD = 4096


class Neural:
    """The model with its table of item vectors, taken once."""

    def __init__(self, model: SessionModel) -> None:
        self.model = model
        model.eval()
        with torch.inference_mode():
            self.vectors = model.item_vectors().clone()
        self.ahead: tuple[Cases, int, Tensor] | None = None
        self.room = Room()

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        made = self.room.of(stop - start, len(self.vectors))
        with torch.inference_mode():
            sessions = self._sessions(cases, start, stop)
            if sessions.is_cpu:
                return torch.mm(sessions, self.vectors.T, out=made)
            return made.copy_(sessions @ self.vectors.T)

    def _sessions(self, cases: Cases, start: int, stop: int) -> Tensor:
        """The session vectors of cases, made AHEAD at a time: among many there are more of like length."""
        if self.ahead is None or self.ahead[0] is not cases or not self.ahead[1] <= start <= stop <= self._ahead_stop():
            upto = min(len(cases), max(stop, start + AHEAD))
            histories = [cases.history(case) for case in range(start, upto)]
            marks = cases.marks_of(start, upto) if self.model.settings.marked else None
            self.ahead = cases, start, self.model.sessions(self.vectors, histories, marks)
        _, first, vectors = self.ahead
        return vectors[start - first : stop - first]

    def _ahead_stop(self) -> int:
        return 0 if self.ahead is None else self.ahead[1] + len(self.ahead[2])
