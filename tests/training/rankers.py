"""Made-up rows with a known rule, and a ranker of them small enough for a test."""

from __future__ import annotations

import numpy as np

from rtp_monolith.training.models.mmoe import MmoeSettings
from rtp_monolith.training.ranker import RankerSettings, Rows

NAMES = ["session_clicks", "item_price", "item_ctr_7d", "cross_clicked", "noise", "always"]
REQUEST = frozenset({"session_clicks"})
SMALL = RankerSettings(
    model=MmoeSettings(experts=2, hidden=12, expert_out=8, tower=6, positions=4, dropout=0.0),
    batch_rows=256,
    epochs=4,
    learning_rate=1e-2,
)


def made_rows(lists: int, seed: int = 0, first: int = 0) -> Rows:
    """Lists of five: clicks follow item_ctr_7d, cross_clicked and a steep bias of position; `noise` decides nothing."""
    rng = np.random.default_rng(seed)
    n = 5 * lists
    number = np.repeat(np.arange(lists), 5).astype(np.int32) + first
    position = np.tile(np.arange(5), lists)
    features = np.stack(
        [
            np.repeat(rng.integers(0, 9, lists), 5),
            np.exp(rng.normal(3, 1, n)),
            rng.random(n) * 0.2,
            rng.random(n) < 0.2,
            rng.normal(size=n),
            np.ones(n),
        ],
        axis=1,
    ).astype(np.float32)
    logit = -2.0 + 15.0 * (features[:, 2] - 0.1) + 1.5 * features[:, 3] - 0.7 * position
    clicked = rng.random(n) < 1 / (1 + np.exp(-logit))
    cart = clicked & (rng.random(n) < 0.4)
    bought = cart & (rng.random(n) < 0.5)
    labels = np.stack([clicked, cart, bought], axis=1).astype(np.uint8)
    return Rows(features, list(NAMES), labels, position.astype(np.int64), number)
