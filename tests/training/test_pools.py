"""Pools that a replay takes: their rows, what each source said, what was wanted, and what a row stands for."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from rtp_monolith.config import Config, parse
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.training.dataset import RECALL, SESSION_COLUMNS, Slice, compose_pools
from rtp_monolith.training.export_asking import Encoded
from rtp_monolith.training.pools import Pools, PoolSettings, PoolWriter, gains
from rtp_monolith.training.replay import RowCounts, RowSettings, replay_lists
from tests.ranking.bundles import LENGTH, clustered, encoder_graph, item_ids
from tests.training.test_export_asking import CONFIG, play

PLAN = compile_plan([*FEATURES, *CASCADE])
SOURCES = list(CONFIG.surfaces["home"].sources)
TOP, DRAWN = 6, 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pools")
    play(folder)
    return folder / "data"


def take(data: Path, folder: Path, config: Config = CONFIG, **more: int) -> Pools:
    settings = PoolSettings(**{"lists": 1_000, "top": TOP, "drawn": DRAWN, **more})
    writer = PoolWriter(folder, settings, PLAN, SOURCES, 24)
    encoded = Encoded(encoder_graph(), item_ids(), clustered(), LENGTH)
    for _ in replay_lists(data, config, RowSettings(), RowCounts(), encoded=encoded, visit=writer.visit):
        pass
    return writer.close()


@pytest.fixture(scope="module")
def pools(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Pools:
    return take(data, tmp_path_factory.mktemp("taken"))


def test_what_the_sources_say_adds_up_to_the_merged_score(pools: Pools) -> None:
    assert len(pools) > 5 and {*pools.card.surfaces} == {"home", "product"}
    recall = np.asarray(pools.features[:, PLAN.names.index(RECALL)])
    surface = np.repeat(np.array(pools.card.surfaces), pools.card.sizes)
    for name in ("home", "product"):
        declared = CONFIG.surfaces[name].sources
        weights = np.array([declared[source].weight if source in declared else 0.0 for source in SOURCES], np.float32)
        own = surface == name
        assert recall[own] == pytest.approx(pools.said[own] @ weights, abs=1e-5) and recall[own].any()
        assert not pools.said[own][:, weights == 0].any()


def test_a_pool_is_its_best_some_others_and_what_was_wanted(pools: Pools) -> None:
    every = pools.wanted(np.ones(len(pools), bool), pools.features, [0])
    sizes, wanted = np.bincount(every.pools), np.bincount(every.pools, every.gain > 0)
    assert (wanted >= 1).all() and (sizes <= TOP + DRAWN + wanted).all() and (sizes > TOP).any()
    assert np.bincount(every.pools, every.gain) == pytest.approx(np.ones(len(pools)))
    # What a pool's rows stand for is the whole pool, which is at least what is kept of it and at most the catalogue.
    whole = np.bincount(every.pools, every.stands_for)
    assert (every.stands_for >= 1).all() and (every.stands_for > 1).any()
    assert whole == pytest.approx(np.round(whole), abs=1e-4) and (whole > sizes - 0.5).all() and (whole <= 60).all()


def test_pools_are_drawn_by_seed(data: Path, tmp_path: Path, pools: Pools) -> None:
    one, same, other = (take(data, tmp_path / str(n), lists=12, seed=seed) for n, seed in enumerate((1, 1, 2)))
    assert 0 < len(one) < len(pools)
    assert one.card == same.card and np.array_equal(one.features, same.features)
    assert one.card.as_of_ms != other.card.as_of_ms


def test_a_list_that_was_searched_for_in_words_that_nobody_logged_is_left_out(data: Path, tmp_path: Path) -> None:
    config = parse("""
    [surfaces.home.sources]
    text = { quota = 10, weight = 1.0 }
    popular = { quota = 10, weight = 0.1 }
    [surfaces.product]
    within = "category"
    [surfaces.product.sources]
    popular = { quota = 10, weight = 1.0 }
    [surfaces.cart.sources]
    popular = { quota = 10, weight = 1.0 }
    """)
    assert len(take(data, tmp_path, config)) == 0
    whole = msgspec.structs.replace(config, surfaces={"home": config.surfaces["cart"]})
    assert {*take(data, tmp_path, whole).card.surfaces} == {"home", "product"}


def test_a_slice_is_of_time_and_leaves_columns_out(pools: Pools) -> None:
    middle = int(np.median(pools.as_of_ms))
    early, late = (compose_pools(pools, Slice(*ends), SESSION_COLUMNS) for ends in ((0, middle), (middle, 2**62)))
    assert len(early) and len(late) and len(early) + len(late) == len(pools.gain)
    assert early.features.shape[1] == len([name for name in PLAN.names if name not in SESSION_COLUMNS])
    assert (early.pools[0], late.pools[0]) == (0, 0) and set(np.diff(late.pools).tolist()) <= {0, 1}
    assert len(compose_pools(pools, Slice(0, 1))) == 0


def test_what_is_wanted_sooner_gains_more() -> None:
    later = [("b", 0), ("x", 0), ("b", 1), ("a", 0)]
    assert gains(["a", "b", "c"], later) == pytest.approx([1 / 3, 1.0, 0.0])
