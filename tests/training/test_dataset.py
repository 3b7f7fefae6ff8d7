"""Slices by time, and what the session adds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.dataset import REQUEST_COLUMNS, SESSION_COLUMNS, SOURCE_COLUMNS, Slice, compose
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.replay import ListRows, RowCounts, RowTable, write_table

HEADS = ("click", "cart", "purchase")
NAMES = [feature.name for feature in (*FEATURES, *CASCADE)]


def table(folder: Path) -> RowTable:
    def one(at_ms: int, items: str, prefix: list[str], surface: str) -> ListRows:
        seen = SeenList(0, at_ms, None, None, "s", surface, [], prefix, True, 3)
        for item in items:
            seen.show(item, None)
        return ListRows(seen, np.full((len(items), len(NAMES)), at_ms, np.float32))

    lists = [
        one(1, "ab", [], "home"),
        one(2, "abcd", ["c", "a", "unknown", "b"], "search"),
        one(3, "c", ["a"], "elsewhere"),
    ]
    return write_table(folder, iter(lists), NAMES, HEADS, 50, RowCounts())


def test_a_slice_is_of_time(tmp_path: Path) -> None:
    made = compose(table(tmp_path), Slice(2, 3))
    assert made.names == NAMES
    assert len(made) == 4 and made.lists.tolist() == [1, 1, 1, 1] and made.position.tolist() == [0, 1, 2, 3]
    assert set(made.features.ravel().tolist()) == {2.0}
    assert len(compose(table(tmp_path), Slice(4, 9))) == 0


def test_nothing_of_the_session_is_left_when_it_is_dropped(tmp_path: Path) -> None:
    made = compose(table(tmp_path), Slice(0, 10), SESSION_COLUMNS)
    assert not set(made.names) & SESSION_COLUMNS
    dropped = {name for name in NAMES if name not in made.names}
    assert {"session_clicks", "cross_covisitation", "cascade_affinity", "cascade_near_last"} <= dropped
    # What somebody wanted in earlier sessions, and what the sources found, is there before any ranker.
    assert not {"user_clicks_1h", "cascade_near_before", "cascade_recall", *SOURCE_COLUMNS} & dropped


def test_every_special_column_is_one_of_a_row() -> None:
    assert {*SESSION_COLUMNS, *REQUEST_COLUMNS, *SOURCE_COLUMNS} <= {*NAMES}
