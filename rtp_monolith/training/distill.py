"""The light pre-rank: a linear model that orders a pool of candidates as the ranker's value would (distillation).

Weighted ridge regression on the logarithm of the value, within pools: what is the same for a whole pool teaches
nothing. The top of each pool weighs most, because all that matters is what the cut keeps. Invariant: the columns are
those that are cheap to have for a thousand candidates. It does not know how candidates were found.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.candidates import CandidateSets
from rtp_monolith.training.dataset import AFFINITY, SURFACE_COLUMNS, Vectors, affinity
from rtp_monolith.training.ranker import TrainedRanker

CHEAP_CROSS = (
    *("cross_session_category_share", "cross_same_category_as_last", "cross_same_brand_as_last"),
    *("cross_user_category_share", "cross_price_ratio", "cross_clicked"),
)
VALUE = {"click": 0.2, "cart": 1.0, "purchase": 3.0}
CANDIDATES = 1000
KEPT = 200
TOP = 20
AFFINE_MAX = 300
RIDGE = 1e-3


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
    """The model and how it did on `pools` later ones: the share of the ranker's TOP of about CANDIDATES that the
    pre-rank keeps among its KEPT, and the rank correlation of the two orders."""

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
    """One pool: logarithm of the cheap columns [n, c], affinity [n], value [n]."""

    inputs: NDArray[np.float64]
    affinity: NDArray[np.float64]
    value: NDArray[np.float64]


def distill(
    sets: CandidateSets,
    trained: TrainedRanker,
    names: list[str],
    vectors: Vectors | None,
    heads: tuple[str, ...],
    judged_from_ms: int,
    *,
    drop: frozenset[str] = frozenset(),
) -> Distilled:
    """Fits on the pools before `judged_from_ms` and judges on the others. `names` are the columns that `trained` was
    given, in their order. Raises ValueError without pools to fit."""
    cheap = prerank_names(drop)
    made = [(_pool(sets, at, trained, names, cheap, vectors, heads), sets.card.as_of_ms[at]) for at in range(len(sets))]
    learned = [pool for pool, as_of_ms in made if as_of_ms < judged_from_ms]
    judged = [pool for pool, as_of_ms in made if as_of_ms >= judged_from_ms]
    if not learned:
        raise ValueError("no pool of candidates to learn the pre-rank from")
    model = _fit(learned, cheap, use_affinity=vectors is not None and AFFINITY not in drop)
    kept, correlations = [], []
    for pool in judged:
        score = prerank_scores(model, pool.inputs, pool.affinity)
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
    model: PrerankModel, logs: NDArray[np.float64], affinities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Scores of candidates whose columns went through `signed_log` already: [n, columns] and [n] → [n]."""
    mean = np.array([column.mean for column in model.columns])
    deviation = np.array([column.deviation for column in model.columns])
    weight = np.array([column.weight for column in model.columns])
    made: NDArray[np.float64] = model.bias + ((logs - mean) / deviation) @ weight + model.affinity * affinities
    return made


def signed_log(x: NDArray[np.floating]) -> NDArray[np.float64]:
    """sign(x) * ln(1 + |x|)."""
    wide = x.astype(np.float64)
    made: NDArray[np.float64] = np.sign(wide) * np.log1p(np.abs(wide))
    return made


def value_of(probabilities: NDArray[np.floating], heads: tuple[str, ...]) -> NDArray[np.float64]:
    """The value expression that the pre-rank is taught with: VALUE's weights over the heads."""
    weights = np.array([VALUE[head] for head in heads])
    made: NDArray[np.float64] = probabilities.astype(np.float64) @ weights
    return made


def _pool(
    sets: CandidateSets,
    at: int,
    trained: TrainedRanker,
    names: list[str],
    cheap: list[str],
    vectors: Vectors | None,
    heads: tuple[str, ...],
) -> _Pool:
    """At most CANDIDATES of a set: those that recall found and those nearest to the session first."""
    rows, card = sets.of(at), sets.card
    near = np.zeros(len(rows), np.float32)
    if vectors is not None:
        ids = list(dict.fromkeys([*card.prefix[at], *card.items[at]]))
        number = {name: n for n, name in enumerate(ids)}
        prefix = np.array([[number[name] for name in card.prefix[at]] or [-1]], dtype=np.int32)
        length = np.array([len(card.prefix[at])], dtype=np.int32)
        own = np.array([number[name] for name in card.items[at]], dtype=np.int32)
        near = affinity(vectors, ids, prefix, length, own, np.zeros(len(own), np.int32))
    place = np.arange(len(rows))
    nearest = np.argsort(-near, kind="stable")[:AFFINE_MAX]
    place[nearest] = np.minimum(place[nearest], -1)
    chosen = np.sort(np.argsort(place, kind="stable")[:CANDIDATES])
    rows, near = rows[chosen], near[chosen]
    columns = {name: rows[:, n] for n, name in enumerate(card.features)}
    nothing = np.zeros(len(rows), np.float32)
    # A pool stands for any surface: home, where lists are longest.
    for name in SURFACE_COLUMNS:
        columns[name] = nothing + np.float32(name.endswith("_home"))
    columns[AFFINITY] = near
    value = value_of(trained.probabilities(np.stack([columns[name] for name in names], axis=1)), heads)
    inputs = signed_log(np.stack([columns[name] for name in cheap], axis=1))
    return _Pool(inputs, near.astype(np.float64), value)


def _fit(pools: list[_Pool], cheap: list[str], *, use_affinity: bool) -> PrerankModel:
    inputs = np.concatenate([pool.inputs for pool in pools])
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0)
    constant = deviation < 1e-9
    deviation[constant] = 1.0
    scale = float(np.concatenate([pool.affinity for pool in pools]).std()) or 1.0
    gram = np.zeros((len(cheap) + 1, len(cheap) + 1))
    right = np.zeros(len(cheap) + 1)
    total, target = 0.0, 0.0
    for pool in pools:
        x = np.concatenate([(pool.inputs - mean) / deviation, pool.affinity[:, None] / scale], axis=1)
        x[:, :-1][:, constant] = 0.0
        if not use_affinity:
            x[:, -1] = 0.0
        y = np.log(pool.value + 1e-6)
        w = _weights(pool.value)
        x0, y0 = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
        gram += (x0 * w[:, None]).T @ x0
        right += x0.T @ (w * y0)
        total += float(w.sum())
        target += float(y.mean())
    at = np.linalg.solve(gram + RIDGE * total * np.eye(len(right)), right)
    columns = [
        PrerankColumn(name, float(m), float(s), float(w))
        for name, m, s, w in zip(cheap, mean, deviation, np.where(constant, 0.0, at[:-1]), strict=True)
    ]
    return PrerankModel(target / len(pools), columns, float(at[-1] / scale) if use_affinity else 0.0, 0.0, {})


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
