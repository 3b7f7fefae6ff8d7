"""The light pre-rank keeps what a ranker of known taste puts first."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.candidates import CandidateCard, CandidateSets
from rtp_monolith.training.dataset import AFFINITY, RECALL, SESSION_COLUMNS
from rtp_monolith.training.distill import distill, prerank_names, signed_log, value_of
from rtp_monolith.training.ranker import TrainedRanker

NAMES = [feature.name for feature in (*FEATURES, *CASCADE)]
COVIS = "cascade_source_covis"
POOL = 300


class Taste:
    """Stands for a trained ranker: cheap items are clicked, and near ones, and what the sources found."""

    def __init__(self, near: float, found: float) -> None:
        self.near, self.found = near, found

    def probabilities(self, rows: np.ndarray) -> np.ndarray:
        price = np.log1p(rows[:, NAMES.index("item_price")])
        found = rows[:, NAMES.index(RECALL)] + rows[:, NAMES.index(COVIS)]
        logit = 1.0 - price + self.near * rows[:, NAMES.index(AFFINITY)] + self.found * found
        click = 1 / (1 + np.exp(-logit))
        return np.stack([click, click / 10, click / 100], axis=1).astype(np.float32)


def pools(folder: Path, sets: int = 12) -> CandidateSets:
    rng = np.random.default_rng(1)
    rows = np.zeros((sets * POOL, len(NAMES)), np.float32)
    rows[:, NAMES.index("item_price")] = np.exp(rng.normal(3, 1, len(rows)))
    rows[:, NAMES.index("item_popularity")] = rng.exponential(10, len(rows))
    rows[:, NAMES.index(AFFINITY)] = rng.normal(size=len(rows))
    rows[:, NAMES.index(RECALL)] = rng.random(len(rows))
    rows[:, NAMES.index(COVIS)] = rng.random(len(rows)) < 0.3
    rows.tofile(folder / "candidates.bin")
    card = CandidateCard([POOL] * sets, list(range(sets)), NAMES)
    (folder / "candidates.json").write_bytes(msgspec.json.encode(card))
    return CandidateSets(folder)


def run(folder: Path, near: float, found: float = 0.0, **more: object):  # type: ignore[no-untyped-def]
    taste: TrainedRanker = Taste(near, found)  # type: ignore[assignment]
    return distill(pools(folder), taste, NAMES, (1.0, 2.0, 4.0), 8, **more)  # type: ignore[arg-type]


def test_it_finds_what_the_ranker_looks_at(tmp_path: Path) -> None:
    made = run(tmp_path, 2.0)
    assert made.pools == 4 and made.candidates == POOL
    assert made.overlap == 1.0 and made.correlation > 0.98
    weights = {column.name: column.weight for column in made.model.columns}
    assert weights["item_price"] < -0.5 and abs(weights["item_popularity"]) < 0.02
    assert made.model.affinity > 0.5
    assert set(weights) == {"item_price", "item_popularity"}, "columns that never vary are not asked for"


def test_a_session_that_does_not_matter_gets_no_weight(tmp_path: Path) -> None:
    made = run(tmp_path, 0.0).model
    assert abs(made.affinity) < 0.05 and abs(made.recall) < 0.05 and abs(made.sources["covis"]) < 0.05


def test_what_the_sources_say_gets_its_weight(tmp_path: Path) -> None:
    made = run(tmp_path, 0.0, 3.0)
    assert made.overlap == 1.0 and made.correlation > 0.97
    assert made.model.recall > 0.5 and made.model.sources["covis"] > 0.5
    assert {*made.model.sources} == {"covis"}, "of the others nothing was ever found"


def test_without_the_session_there_is_no_affinity(tmp_path: Path) -> None:
    assert run(tmp_path, 2.0, drop=SESSION_COLUMNS).model.affinity == 0.0
    left = set(prerank_names(SESSION_COLUMNS))
    assert left and not left & SESSION_COLUMNS and "item_price" in left


def test_without_pools_to_learn_from_it_says_so(tmp_path: Path) -> None:
    taste: TrainedRanker = Taste(1.0, 0.0)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no pool"):
        distill(pools(tmp_path), taste, NAMES, (1.0, 2.0, 4.0), 0)


def test_signs_and_values() -> None:
    assert signed_log(np.array([np.e - 1, 1 - np.e, 0.0])) == pytest.approx([1.0, -1.0, 0.0])
    assert value_of(np.array([[0.5, 0.1, 0.01]]), (1.0, 2.0, 4.0)) == pytest.approx([0.74])
