"""What a neural session model is and how it is trained: one frozen record that is written beside the weights.

Invariant: settings, seed and data determine the weights. It does not know where the numbers come from (`auto.py`,
a recipe, a person).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from rtp_monolith.features.marks import ACTIONS_MAX

Body = Literal["sasrec", "core", "gru4rec", "session-graph", "two-tower", "bst"]
Scoring = Literal["dot", "cosine"]
Loss = Literal["full", "sampled", "in-batch", "bpr", "bpr-max", "gbce"]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes, scoring, loss and optimizer. `length_max` is in items, `batch_tokens` in padded positions; `bfloat16` says
    whether products are in it, None that the hardware decides; `gaps` and the number of `actions` say what is read of a
    click beside its item."""

    body: Body = "sasrec"
    gaps: bool = False
    actions: int = 0
    width: int = 128
    layers: int = 2
    heads: int = 2
    length_max: int = 50
    dropout: float = 0.2
    embedding_dropout: float = 0.2
    scoring: Scoring = "cosine"
    temperature: float = 0.07
    loss: Loss = "sampled"
    negatives: int = 2048
    negatives_power: float = 0.75
    calibration: float = 0.75
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup_steps: int = 200
    batch_tokens: int = 1024
    epochs: int = 8
    patience: int = 3
    bfloat16: bool | None = None

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.body == "bst" and self.loss in ("full", "in-batch"):
            raise ValueError(f"BST reads every candidate with the session: the loss {self.loss} would read too many")
        if self.loss != "full" and self.negatives < 1:
            raise ValueError("a sampled loss needs negatives")
        if min(self.width, self.layers, self.heads, self.length_max, self.batch_tokens) < 1:
            raise ValueError("sizes are at least 1")
        if not 0 <= self.actions <= ACTIONS_MAX:
            raise ValueError(f"actions are at most {ACTIONS_MAX}")

    @property
    def marked(self) -> bool:
        """Whether clicks are read with their marks."""
        return self.gaps or self.actions > 0


SASREC_DOT = Settings(
    scoring="dot", loss="full", dropout=0.3, embedding_dropout=0.5, epochs=18, patience=3, batch_tokens=1024
)
"""The recipe for long histories without repeats: plain dot products, full cross-entropy."""

SASREC_COSINE = Settings(layers=1, dropout=0.25, embedding_dropout=0.25)
"""The recipe for short sessions with repeats: cosine scores, sampled softmax with unique negatives."""

CORE = Settings(body="core", layers=1, dropout=0.25, embedding_dropout=0.25)
GRU4REC = Settings(body="gru4rec", layers=1, scoring="dot", learning_rate=4e-3, dropout=0.2, embedding_dropout=0.2)
SESSION_GRAPH = Settings(body="session-graph", layers=1, dropout=0.1, embedding_dropout=0.2)
TWO_TOWER = Settings(body="two-tower", layers=1, loss="in-batch", dropout=0.2, embedding_dropout=0.2)
BST = Settings(
    body="bst", layers=1, width=64, scoring="dot", loss="gbce", calibration=0.0, negatives=32, learning_rate=2e-3,
    dropout=0.1, embedding_dropout=0.1,
)  # fmt: skip
"""Plain binary cross-entropy, as the paper has it: gBCE at calibration 0."""
