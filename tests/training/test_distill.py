"""The light pre-rank keeps what a ranker of known taste puts first."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np
import pytest

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.candidates import CandidateCard, CandidateSets
from rtp_monolith.training.dataset import AFFINITY, SESSION_COLUMNS, SURFACE_COLUMNS
from rtp_monolith.training.distill import distill, prerank_names, signed_log, value_of
from rtp_monolith.training.ranker import TrainedRanker

NAMES = [feature.name for feature in FEATURES]
INPUTS = [*NAMES, *SURFACE_COLUMNS, AFFINITY]
POOL = 300


class Near:
    """Item vectors on a line; a session's vector is its last item's."""

    items: ClassVar = {f"i{n}": n for n in range(POOL)}
    table = np.linspace(-1, 1, POOL, dtype=np.float32)[:, None] * np.ones((1, 2), np.float32)
    length = 50

    def encode(self, sessions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        last = self.table[sessions[np.arange(len(sessions)), np.maximum(lengths - 1, 0)]]
        return np.where(lengths[:, None] > 0, last, np.float32(0.0))


class Taste:
    """Stands for a trained ranker: cheap and near items are clicked, the rest does not matter."""

    def __init__(self, near: float) -> None:
        self.near = near

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        price = np.log1p(rows[:, INPUTS.index("item_price")])
        click = 1 / (1 + np.exp(-(1.0 - price + self.near * rows[:, INPUTS.index(AFFINITY)])))
        return np.stack([click, click / 10, click / 100], axis=1).astype(np.float32)


def pools(folder: Path, sets: int = 12) -> CandidateSets:
    rng = np.random.default_rng(1)
    rows = np.zeros((sets * POOL, len(NAMES)), np.float32)
    rows[:, NAMES.index("item_price")] = np.exp(rng.normal(3, 1, len(rows)))
    rows[:, NAMES.index("item_popularity")] = rng.exponential(10, len(rows))
    rows.tofile(folder / "candidates.bin")
    items = list(Near.items)
    prefix = [[f"i{rng.integers(POOL)}"] if n % 3 else [] for n in range(sets)]
    card = CandidateCard([POOL] * sets, list(range(sets)), prefix, [items] * sets, NAMES)
    (folder / "candidates.json").write_bytes(msgspec.json.encode(card))
    return CandidateSets(folder)


def run(folder: Path, near: float, **more: object):  # type: ignore[no-untyped-def]
    taste: TrainedRanker = Taste(near)  # type: ignore[assignment]
    return distill(pools(folder), taste, INPUTS, Near(), ("click", "cart", "purchase"), 8, **more)  # type: ignore[arg-type]


def test_it_finds_what_the_ranker_looks_at(tmp_path: Path) -> None:
    made = run(tmp_path, 2.0)
    assert made.pools == 4 and made.candidates == POOL
    assert made.overlap == 1.0 and made.correlation > 0.98
    weights = {column.name: column.weight for column in made.model.columns}
    assert weights["item_price"] < -0.5 and abs(weights["item_popularity"]) < 0.02
    assert made.model.affinity > 0.5
    assert set(weights) == {"item_price", "item_popularity"}, "columns that never vary are not asked for"


def test_a_session_that_does_not_matter_gets_no_weight(tmp_path: Path) -> None:
    assert abs(run(tmp_path, 0.0).model.affinity) < 0.05


def test_without_the_session_there_is_no_affinity(tmp_path: Path) -> None:
    assert run(tmp_path, 2.0, drop=SESSION_COLUMNS).model.affinity == 0.0
    left = set(prerank_names(SESSION_COLUMNS))
    assert left and not left & SESSION_COLUMNS and "item_price" in left


def test_without_pools_to_learn_from_it_says_so(tmp_path: Path) -> None:
    taste: TrainedRanker = Taste(1.0)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no pool"):
        distill(pools(tmp_path), taste, INPUTS, Near(), ("click", "cart", "purchase"), 0)


def test_signs_and_values() -> None:
    assert signed_log(np.array([np.e - 1, 1 - np.e, 0.0])) == pytest.approx([1.0, -1.0, 0.0])
    assert value_of(np.array([[0.5, 0.1, 0.01]]), ("click", "cart", "purchase")) == pytest.approx([0.23])
