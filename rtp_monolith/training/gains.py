"""What each input of the ranker is worth: the loss when its values are shuffled over the rows (Breiman 2001).

Invariant: a gain is judged against its own scatter over shuffles, so a column of noise is named as one without gain.
It does not know how the model works.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.training.measures import auc, log_loss
from rtp_monolith.training.ranker import Rows

SHUFFLES = 3
PARTS = 20
DEVIATIONS = 2.0
Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class Gain(msgspec.Struct, frozen=True):
    """Of one feature: mean rise of the log-loss summed over heads, its standard error, mean drop of the AUC of clicks.
    `useful` when the rise is above DEVIATIONS standard errors."""

    feature: str
    log_loss: float
    error: float
    click_auc: float
    useful: bool


def permutation_gains(
    predict: Predict, rows: Rows, features: list[str], seed: int, tell: Callable[[int, int], None] | None = None
) -> list[Gain]:
    """One `Gain` for each of `features`, greatest first. `predict`: raw rows → probabilities [n, heads].

    The error is that of the mean over PARTS stretches of time, each shuffled SHUFFLES times: rows of a stretch go
    together, because rows of one list do not vary alone.
    """
    base = predict(rows.features)
    base_loss, base_auc = _row_loss(base, rows), auc(base[:, 0], rows.labels[:, 0])
    made = []
    for number, name in enumerate(features):
        at = rows.names.index(name)
        kept = rows.features[:, at].copy()
        rise, drop = np.zeros(len(rows)), 0.0
        for shuffle in range(SHUFFLES):
            rng = np.random.default_rng([seed, at, shuffle])
            rows.features[:, at] = kept[rng.permutation(len(rows))]
            shuffled = predict(rows.features)
            rise += (_row_loss(shuffled, rows) - base_loss) / SHUFFLES
            drop += (base_auc - auc(shuffled[:, 0], rows.labels[:, 0])) / SHUFFLES
        rows.features[:, at] = kept
        stretches = np.array([part.mean() for part in np.array_split(rise, min(PARTS, max(1, len(rise))))])
        gain = float(rise.mean())
        error = float(stretches.std(ddof=1) / np.sqrt(len(stretches))) if len(stretches) > 1 else 0.0
        made.append(Gain(name, gain, error, float(drop), gain > DEVIATIONS * error))
        if tell is not None:
            tell(number + 1, len(features))
    return sorted(made, key=lambda each: (-each.log_loss, each.feature))


def _row_loss(probabilities: NDArray[np.float32], rows: Rows) -> NDArray[np.float64]:
    """Log-loss of every row, summed over heads."""
    p = np.clip(probabilities.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.asarray(-np.where(rows.labels > 0, np.log(p), np.log1p(-p)).sum(axis=1))


def total_loss(probabilities: NDArray[np.float32], rows: Rows) -> float:
    """Mean log-loss summed over heads."""
    return sum(log_loss(probabilities[:, head], rows.labels[:, head]) for head in range(rows.labels.shape[1]))
