"""A trained encoder as a scorer: session vectors against all exported item vectors.

Invariant: what it scores is what `export.py` exports. It does not know how the model was trained.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.protocols import Cases


class Neural:
    """The model with its table of item vectors, taken once."""

    def __init__(self, model: SessionModel) -> None:
        self.model = model
        model.eval()
        with torch.inference_mode():
            self.vectors = model.item_vectors().clone()

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        with torch.inference_mode():
            histories = [cases.history(case) for case in range(start, stop)]
            return self.model.sessions(self.vectors, histories, cases.marks_of(start, stop)) @ self.vectors.T
