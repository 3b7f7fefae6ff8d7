"""The figures of a trained ranker: each head on the slice that judges, beside popularity and affinity alone.

Invariant: every figure is of rows that neither training, stopping nor calibration has seen. It does not know how a
report is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.training.dataset import AFFINITY
from rtp_monolith.training.measures import auc, calibration_error, log_loss, ndcg
from rtp_monolith.training.ranker import Rows, TrainedRanker, WantedRows

POPULARITY = "item_popularity"


def judgement(trained: TrainedRanker, rows: Rows, heads: Sequence[str]) -> dict[str, object]:
    """By head: AUC, NDCG@10 within lists and log-loss of the model, AUC and NDCG of popularity and affinity alone."""
    probabilities = trained.probabilities(rows.features)
    said: dict[str, object] = {}
    for head, name in enumerate(heads):
        own = rows.labels[:, head]
        orders: dict[str, NDArray[np.float32]] = {"model": probabilities[:, head]}
        for label, column in (("popularity", POPULARITY), ("affinity", AFFINITY)):
            if column in rows.names:
                orders[label] = rows.features[:, rows.names.index(column)]
        said[name] = {
            "rows": len(own),
            "positives": int(own.sum()),
            "log_loss": log_loss(probabilities[:, head], own),
            "log_loss_of_rate": log_loss(np.full(len(own), own.mean()), own),
            "auc": {label: auc(scores, own) for label, scores in orders.items()},
            "ndcg": {label: ndcg(scores, own, rows.lists) for label, scores in orders.items()},
        }
    return said


def calibration(trained: TrainedRanker, rows: Rows, heads: Sequence[str]) -> dict[str, object]:
    """By head: the fitted curve, the error before and after where it was fitted, and after on the slice that judges."""
    probabilities = trained.probabilities(rows.features)
    return {
        name: {
            "slope": own.curve.slope,
            "shift": own.curve.shift,
            "bends": len(own.curve.bends),
            "ece_before": own.ece_before,
            "ece_after": own.ece_after,
            "ece_judged": calibration_error(probabilities[:, head], rows.labels[:, head]),
            "rows": own.rows,
            "positives": own.positives,
        }
        for head, (name, own) in enumerate(zip(heads, trained.calibration, strict=True))
    }


def pools(wanted: WantedRows) -> dict[str, int]:
    """How many pools and rows, and how many of the rows were wanted."""
    return {
        "pools": int(wanted.pools.max(initial=-1)) + 1,
        "rows": len(wanted),
        "wanted": int((wanted.gain > 0).sum()),
    }


def headline(report: dict[str, Any]) -> dict[str, object]:
    """What a manifest says of a bundle in a few numbers."""
    said: dict[str, object] = {}
    for name in report["judged"]:
        said[f"{name}_auc"] = report["judged"][name]["auc"]["model"]
        said[f"{name}_ndcg"] = report["judged"][name]["ndcg"]["model"]
        said[f"{name}_ece"] = report["calibration"][name]["ece_judged"]
    said["prerank_overlap"] = report["prerank"]["overlap"]
    said["encoder_hit_rate"] = report["encoder"]["hit_rate"]
    return said
