"""The light pre-rank: a linear model that orders a pool of candidates as the ranker's value would (distillation).

Weighted ridge regression on the logarithm of the value, within pools: what is the same for a whole pool teaches
nothing. The top of each pool weighs most, because all that matters is what the cut keeps. Invariant: the columns are
those that are cheap to have for a thousand candidates. It does not know how candidates were found.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.candidates import CandidateSets
from rtp_monolith.training.dataset import AFFINITY, RECALL, SOURCE_COLUMNS
from rtp_monolith.training.ranker import TrainedRanker

CHEAP_CROSS = (
    *("cross_session_category_share", "cross_same_category_as_last", "cross_same_brand_as_last"),
    *("cross_user_category_share", "cross_price_ratio", "cross_clicked"),
)
KEPT = 200
TOP = 20
RIDGE = 1e-3
RAW = (AFFINITY, RECALL, *SOURCE_COLUMNS)
"""Columns that the light model takes as they are."""


class PrerankColumn(msgspec.Struct, frozen=True):
    """One term: weight * (log1p-signed(x) - mean) / deviation."""

    name: str
    mean: float
    deviation: float
    weight: float


class PrerankModel(msgspec.Struct, frozen=True):
    """`prerank.json`: score = bias + the columns' terms + affinity * (session · item) + recall * score + sources."""

    bias: float
    columns: list[PrerankColumn]
    affinity: float
    recall: float
    sources: dict[str, float]


class Distilled(msgspec.Struct, frozen=True):
    """The model and how it did on `pools` later ones: the share of the ranker's TOP of about `candidates` that
    the pre-rank keeps among its KEPT, and the rank correlation of the two orders."""

    model: PrerankModel
    overlap: float
    correlation: float
    pools: int
    candidates: float


def prerank_names(drop: frozenset[str]) -> list[str]:
    """The cheap columns, less those that are left out."""
    cheap = [f.name for f in FEATURES if f.scope in ("item", "category", "seller") or f.name in CHEAP_CROSS]
    return [name for name in cheap if name not in drop]


class _Pool(msgspec.Struct, frozen=True):
    """One pool: logarithm of the cheap columns [n, c]; as they are, affinity, the sources' score and what found the
    item [n, 2 + sources]; value [n]."""

    inputs: NDArray[np.float64]
    raw: NDArray[np.float64]
    value: NDArray[np.float64]


def distill(
    sets: CandidateSets,
    trained: TrainedRanker,
    names: list[str],
    worths: Sequence[float],
    judged_from_ms: int,
    *,
    drop: frozenset[str] = frozenset(),
) -> Distilled:
    """Fits on the pools before `judged_from_ms` and judges on the others. `names` are the columns that `trained` was
    given, in their order, `worths` the weights of its heads. Raises ValueError without pools to fit."""
    cheap, raw = prerank_names(drop), [name for name in RAW if name not in drop]
    made = [(_pool(sets, at, trained, names, cheap, raw, worths), sets.card.as_of_ms[at]) for at in range(len(sets))]
    learned = [pool for pool, as_of_ms in made if as_of_ms < judged_from_ms]
    judged = [pool for pool, as_of_ms in made if as_of_ms >= judged_from_ms]
    if not learned:
        raise ValueError("no pool of candidates to learn the pre-rank from")
    model = _fit(learned, cheap, raw)
    kept, correlations = [], []
    for pool in judged:
        score = prerank_scores(model, pool.inputs, pool.raw, raw)
        best = set(np.argsort(-pool.value, kind="stable")[:TOP].tolist())
        kept.append(len(best & set(np.argsort(-score, kind="stable")[:KEPT].tolist())) / max(1, len(best)))
        correlations.append(_correlation(score, pool.value))
    # A column that never varied says nothing and is not asked for.
    model = msgspec.structs.replace(model, columns=[column for column in model.columns if column.weight])
    size = float(np.mean([len(pool.value) for pool in judged])) if judged else 0.0
    nothing = float("nan")
    return Distilled(
        model,
        float(np.mean(kept)) if kept else nothing,
        float(np.mean(correlations)) if correlations else nothing,
        len(judged),
        size,
    )


def prerank_scores(
    model: PrerankModel, logs: NDArray[np.float64], raw: NDArray[np.float64], raw_names: list[str]
) -> NDArray[np.float64]:
    """Scores of candidates whose columns went through `signed_log` already: [n, columns] and [n, raw_names] → [n]."""
    mean = np.array([column.mean for column in model.columns])
    deviation = np.array([column.deviation for column in model.columns])
    weight = np.array([column.weight for column in model.columns])
    own = {AFFINITY: model.affinity, RECALL: model.recall}
    own |= {column: model.sources.get(source, 0.0) for column, source in SOURCE_COLUMNS.items()}
    beside = np.array([own[name] for name in raw_names])
    made: NDArray[np.float64] = model.bias + ((logs - mean) / deviation) @ weight + raw @ beside
    return made


def signed_log(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """sign(x) * ln(1 + |x|)."""
    wide = x.astype(np.float64)
    made: NDArray[np.float64] = np.sign(wide) * np.log1p(np.abs(wide))
    return made


def value_of(probabilities: NDArray[np.floating], worths: Sequence[float]) -> NDArray[np.float64]:
    """The value that the pre-rank is taught with: the heads [n, heads] by their worths."""
    made: NDArray[np.float64] = probabilities.astype(np.float64) @ np.array(worths)
    return made


def _pool(
    sets: CandidateSets,
    at: int,
    trained: TrainedRanker,
    names: list[str],
    cheap: list[str],
    raw: list[str],
    worths: Sequence[float],
) -> _Pool:
    rows = sets.of(at)
    place = {name: n for n, name in enumerate(sets.card.features)}
    value = value_of(trained.probabilities(np.ascontiguousarray(rows[:, [place[name] for name in names]])), worths)
    inputs = signed_log(rows[:, [place[name] for name in cheap]])
    return _Pool(inputs, rows[:, [place[name] for name in raw]].astype(np.float64), value)


def _fit(pools: list[_Pool], cheap: list[str], raw: list[str]) -> PrerankModel:
    """Columns that never vary get no weight; what is taken as it is has only its scale."""
    inputs = np.concatenate([pool.inputs for pool in pools])
    beside = np.concatenate([pool.raw for pool in pools])
    mean, deviation, scale = inputs.mean(axis=0), inputs.std(axis=0), beside.std(axis=0)
    constant = np.r_[deviation, scale] < 1e-9
    deviation[deviation < 1e-9] = 1.0
    scale[scale < 1e-9] = 1.0
    gram = np.zeros((len(constant), len(constant)))
    right = np.zeros(len(constant))
    total, target = 0.0, 0.0
    for pool in pools:
        x = np.concatenate([(pool.inputs - mean) / deviation, pool.raw / scale], axis=1)
        x[:, constant] = 0.0
        y = np.log(pool.value + 1e-6)
        w = _weights(pool.value)
        x0, y0 = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
        gram += (x0 * w[:, None]).T @ x0
        right += x0.T @ (w * y0)
        total += float(w.sum())
        target += float(y.mean())
    at = np.linalg.solve(gram + RIDGE * total * np.eye(len(right)), right)
    at = np.where(constant, 0.0, at)
    columns = [
        PrerankColumn(name, float(m), float(s), float(w))
        for name, m, s, w in zip(cheap, mean, deviation, at[: len(cheap)], strict=True)
    ]
    own = {name: float(w) for name, w in zip(raw, at[len(cheap) :] / scale, strict=True)}
    sources = {source: own[column] for column, source in SOURCE_COLUMNS.items() if own.get(column)}
    return PrerankModel(target / len(pools), columns, own.get(AFFINITY, 0.0), own.get(RECALL, 0.0), sources)


def _weights(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for most, more for what stands near or above the cut of the ranker's own order."""
    rank = np.empty(len(value))
    rank[np.argsort(-value, kind="stable")] = np.arange(len(value))
    made: NDArray[np.float64] = 1.0 + 4.0 * (rank < KEPT) + 15.0 * (rank < 2 * TOP)
    return made


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's."""
    if len(a) < 2:
        return float("nan")
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable").astype(np.float64) for x in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
