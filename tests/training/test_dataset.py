"""The cascade's columns: affinity as serving computes it, surfaces, slices by time, what the session adds."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.dataset import AFFINITY, SESSION_COLUMNS, SURFACE_COLUMNS, Slice, affinity, compose
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.replay import ListRows, RowCounts, RowTable, write_table

NAMES = [feature.name for feature in FEATURES]


class Sums:
    """A session's vector is the sum of its items' vectors, the newest two."""

    items: ClassVar = {"a": 0, "b": 1, "c": 2}
    table = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]], np.float32)
    length = 2

    def encode(self, sessions: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        inside = np.arange(sessions.shape[1]) < lengths[:, None]
        return np.asarray((self.table[sessions] * inside[:, :, None]).sum(axis=1))


def table(folder: Path) -> RowTable:
    def one(at_ms: int, items: str, prefix: list[str], surface: str) -> ListRows:
        seen = SeenList(0, at_ms, None, None, "s", surface, [], prefix, True)
        for item in items:
            seen.show(item, None)
        return ListRows(seen, np.full((len(items), len(NAMES)), at_ms, np.float32))

    lists = [
        one(1, "ab", [], "home"),
        one(2, "abcd", ["c", "a", "unknown", "b"], "search"),
        one(3, "c", ["a"], "elsewhere"),
    ]
    return write_table(folder, iter(lists), NAMES, 50, RowCounts())


def test_affinity_is_the_dot_product_and_0_without_either(tmp_path: Path) -> None:
    made = compose(table(tmp_path), Sums(), Slice(0, 10))
    assert made.names[-1] == AFFINITY
    # Nothing in the session; then the newest known two, a and b; d has no vector; then a alone.
    assert made.features[:, -1].tolist() == [0.0, 0.0, 1.0, 1.0, 4.0, 0.0, 2.0]


def test_the_surface_is_a_column(tmp_path: Path) -> None:
    made = compose(table(tmp_path), None, Slice(0, 10))
    at = [made.names.index(name) for name in SURFACE_COLUMNS]
    rows = made.features[:, at].tolist()
    assert rows[0] == [1, 0, 0, 0, 0] and rows[2] == [0, 0, 1, 0, 0] and rows[6] == [0, 0, 0, 0, 0]


def test_a_slice_is_of_time(tmp_path: Path) -> None:
    made = compose(table(tmp_path), Sums(), Slice(2, 3))
    assert len(made) == 4 and made.lists.tolist() == [1, 1, 1, 1] and made.position.tolist() == [0, 1, 2, 3]
    assert set(made.features[:, 0].tolist()) == {2.0}
    assert len(compose(table(tmp_path), Sums(), Slice(4, 9))) == 0


def test_nothing_of_the_session_is_left_when_it_is_dropped(tmp_path: Path) -> None:
    made = compose(table(tmp_path), Sums(), Slice(0, 10), SESSION_COLUMNS)
    assert not set(made.names) & SESSION_COLUMNS
    dropped = [name for name in NAMES if name not in made.names]
    assert "session_clicks" in dropped and "cross_covisitation" in dropped and "user_clicks_1h" not in dropped


def test_affinity_alone() -> None:
    prefix, lengths = np.array([[1, -1]], np.int32), np.array([1], np.int32)
    made = affinity(Sums(), ["c", "a"], prefix, lengths, np.array([0, 1], np.int32), np.zeros(2, np.int32))
    assert made.tolist() == pytest.approx([2.0, 1.0])
