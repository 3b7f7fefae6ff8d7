"""Settings → a fresh model: the one place that knows every neural body by name.

Invariant: the same seed, sizes and settings give the same weights. It does not know the data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rtp_monolith.training.models.bst import Bst
from rtp_monolith.training.models.core import Core
from rtp_monolith.training.models.encoder import Body, SessionModel
from rtp_monolith.training.models.gru4rec import Gru4Rec
from rtp_monolith.training.models.sasrec import SasRec
from rtp_monolith.training.models.session_graph import SessionGraph
from rtp_monolith.training.models.two_tower import TwoTower
from rtp_monolith.training.settings import Settings

ENCODERS: dict[str, type[Body]] = {
    "sasrec": SasRec,
    "core": Core,
    "gru4rec": Gru4Rec,
    "session-graph": SessionGraph,
    "two-tower": TwoTower,
}
BODIES: dict[str, type[Body]] = {**ENCODERS, "bst": Bst}


def build(items: int, settings: Settings, seed: int, attributes: Sequence[Sequence[int]] | None = None) -> SessionModel:
    """A model for items 0 … `items` - 1; `attributes` lists the attribute numbers of every item."""
    torch.manual_seed(seed)
    return SessionModel(BODIES[settings.body](settings), items, settings, attributes)
