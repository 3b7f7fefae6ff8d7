"""A list asked for again has the rows that were served, to the bit, the cascade's own columns included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith.config import Config, parse
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.export_asking import Encoded
from rtp_monolith.training.replay import ListRows, RowCounts, RowSettings, replay_lists
from tests.ranking.bundles import LENGTH, clustered, encoder_graph, item_ids, make_bundle
from tests.ranking.conftest import Shop, ids

HOUR_MS = 3_600_000
LISTED = "same_category"
"""A source that goes by the popular of a category."""
NAMES = [feature.name for feature in (*FEATURES, *CASCADE)]
# Every column of the cascade and some of the catalogue's of each kind; what weighs how much does not matter.
WEIGHTS = {
    column.name: (0.01 * n, 0.0, 0.0)
    for n, column in enumerate(
        (*CASCADE, *(f for f in FEATURES if f.name.startswith(("cross_", "session_", "item_clicks", "item_price"))))
    )
}
CONFIG = parse("""
[audit]
share = 0.0

[surfaces.home]
value = "click"
[surfaces.home.sources]
ann = { quota = 20, weight = 0.8 }
session_knn = { quota = 30, weight = 1.0 }
covis = { quota = 30, weight = 0.6 }
same_category = { quota = 10, weight = 0.5 }
trending = { quota = 5, weight = 0.2 }
popular = { quota = 5, weight = 0.1 }

[surfaces.product]
value = "cart"
[surfaces.product.sources]
covis = { quota = 9, weight = 1.0 }
ann = { quota = 9, weight = 0.7 }
""")


class Watched:
    """The rows that the ranker was given, by list, each under its item."""

    def __init__(self, shop: Shop) -> None:
        assert shop.models.active is not None
        self.bundle = shop.models.active.bundle
        self.seen: list[np.ndarray] = []
        self._score = self.bundle.ranker.score
        self.bundle.ranker.score = self._watch  # type: ignore[method-assign]

    def _watch(self, rows: np.ndarray) -> np.ndarray:
        self.seen.append(rows.copy())
        return self._score(rows)


def play(folder: Path) -> tuple[list[dict[str, Any]], list[np.ndarray], list[str]]:
    """A shard that makes lists for a few visitors who use them: its decisions, and what the ranker read for each."""
    make_bundle(folder / "models", weights=WEIGHTS)
    shop = Shop(folder / "data", CONFIG, models=folder / "models")
    watched = Watched(shop)
    rng = np.random.default_rng(5)
    for number in range(24):
        user = f"u{number % 4}"
        session = f"s{number % 8}"
        if number > 3:
            shop.did("click", *(f"i{n}" for n in rng.integers(60, size=2)), session=session, user=user)
        more: dict[str, Any] = {"context": {"device": "mobile", "cart": ["i3"]}} if number % 3 else {}
        if number % 5 == 4:
            more = {"surface": "product", "context": {"item_id": f"i{number}"}}
        request = {"session_id": session, "user_id": user, "request_id": f"r{number}", "k": 8, **more}
        while not shop.state.core.refresh_lists(shop.clock.now_ms()):
            pass
        found = ids(shop.home(**request))
        for position, item in enumerate(found):
            shop.did("impression", item, session=session, user=user, request_id=f"r{number}", position=position)
        shop.did("click", found[1], session=session, user=user, request_id=f"r{number}")
    decisions = shop.decisions()
    shop.clock.advance(3 * HOUR_MS)
    shop.did("click", "i0", session="last")
    shop.state.close()
    return decisions, watched.seen, watched.bundle.manifest.ranker.inputs


def again(folder: Path, bundles: Path | None, counts: RowCounts, config: Config = CONFIG) -> list[ListRows]:
    encoded = Encoded(encoder_graph(), item_ids(), clustered(), LENGTH)
    return list(replay_lists(folder / "data", config, RowSettings(), counts, encoded=encoded, bundles=bundles))


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]]:
    folder = tmp_path_factory.mktemp("played")
    return (folder, *play(folder))


def test_a_decision_carries_what_the_ranker_read(
    played: tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]],
) -> None:
    _, decisions, read, inputs = played
    assert len(decisions) == len(read) == 24
    recall, near = inputs.index("cascade_recall"), inputs.index("cascade_near_max")
    for decision, rows in zip(decisions, read, strict=True):
        logged = np.array(decision["features"], np.float32)
        assert logged.shape == (len(decision["items"]), len(inputs))
        known = {row.tobytes() for row in rows}
        assert all(row.tobytes() in known for row in logged)
    assert {0.0} < {*np.concatenate(read)[:, near].tolist()} and (np.concatenate(read)[:, recall] > 0).any()


def test_what_is_asked_again_is_what_was_served(
    played: tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]],
) -> None:
    folder, decisions, _, inputs = played
    counts = RowCounts()
    made = again(folder, None, counts)
    assert (counts.lists, counts.served_rows) == (24, 0), "without the bundle's folder nobody knows the columns"
    places = [NAMES.index(name) for name in inputs]
    for one, decision in zip(made, decisions, strict=True):
        served = {item["id"]: row for item, row in zip(decision["items"], decision["features"], strict=True)}
        for item, at in one.seen.where.items():
            for name, mine, theirs in zip(inputs, one.features[at, places], served[item], strict=True):
                assert mine == np.float32(theirs), (decision["request_id"], item, name)
    sources = np.concatenate([one.features[:, NAMES.index("cascade_source_ann")] for one in made])
    assert {*sources.tolist()} == {0.0, 1.0}


def test_served_values_are_read_where_the_bundle_names_them(
    played: tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]],
) -> None:
    folder, _, _, inputs = played
    counts = RowCounts()
    made = again(folder, folder / "models", counts)
    features = [name for name in inputs if not name.startswith("cascade_")]
    assert (counts.served_rows, counts.served_values) == (counts.rows, counts.rows * len(features))
    assert counts.served_differ == 0
    for one, other in zip(made, again(folder, None, RowCounts()), strict=True):
        assert one.features.tobytes() == other.features.tobytes()


def test_another_encoder_changes_the_cascades_columns_and_no_feature(
    played: tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]],
) -> None:
    folder = played[0]
    other = Encoded(encoder_graph(), item_ids(), clustered(seed=1), LENGTH)
    made = replay_lists(folder / "data", CONFIG, RowSettings(), RowCounts(), encoded=other, bundles=folder / "models")
    moved = set()
    for one, before in zip(made, again(folder, folder / "models", RowCounts()), strict=True):
        moved |= {NAMES[at] for at in np.flatnonzero((one.features != before.features).any(axis=0))}
    assert {"cascade_affinity", "cascade_near_max", "cascade_near_before", "cascade_recall"} <= moved
    assert not moved & {feature.name for feature in FEATURES}


def test_a_surface_that_is_not_declared_is_asked_like_home(
    played: tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]],
) -> None:
    folder = played[0]
    declared = {"home": CONFIG.surfaces["home"]}
    other = Config(surfaces=declared)
    at = NAMES.index("cascade_source_covis")
    made = again(folder, None, RowCounts(), other)
    product = [one for one in made if one.seen.surface == "product"]
    assert product and any(one.features[:, at].any() for one in product)


def test_lists_of_the_popular_that_are_old_change_only_what_comes_of_them(
    played: tuple[Path, list[dict[str, Any]], list[np.ndarray], list[str]],
) -> None:
    folder = played[0]
    encoded = Encoded(encoder_graph(), item_ids(), clustered(), LENGTH)
    old = replay_lists(folder / "data", CONFIG, RowSettings(stale_ms=HOUR_MS), RowCounts(), encoded=encoded)
    moved = set()
    for one, fresh in zip(old, again(folder, None, RowCounts()), strict=True):
        moved |= {NAMES[at] for at in np.flatnonzero((one.features != fresh.features).any(axis=0))}
    # Nothing was popular when the first list was asked for, and for an hour nobody looks again.
    assert {"cascade_recall", "cascade_source_popular"} <= moved
    assert moved <= {
        f"cascade_{name}" for name in ("recall", *(f"source_{s}" for s in ("popular", "trending", LISTED)))
    }
