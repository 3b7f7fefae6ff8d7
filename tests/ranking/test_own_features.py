"""A bundle that reads a team's own feature: it ranks by it, and the feature cannot go while the bundle is served."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.config import Config, parse
from rtp_monolith.errors import BundleError, FeatureError
from rtp_monolith.features.declared import declared
from rtp_monolith.ranking import bundle
from tests.ranking.bundles import Recipe

from .conftest import Shop

OWN = parse(
    """
[features.item.loves]
meaning = "likes of a day"
aggregate = "count"
where = "event_type == 'like'"
window = "1d"
"""
)
WEIGHTS = {"item_loves": (5.0, 0.0, 0.0), "item_price": (0.0, 0.0, 0.0)}


def write(models: Path) -> Path:
    recipe = Recipe(weights=WEIGHTS)
    (loves,) = declared(OWN).custom
    recipe.features[loves.name] = loves.fingerprint()
    return recipe.write(models)


def test_a_bundle_fits_the_shard_that_declares_what_it_reads(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert bundle.load(folder, declared(OWN).features).plan.names == list(WEIGHTS)
    with pytest.raises(BundleError, match="no feature 'item_loves'") as refused:
        bundle.load(folder)
    assert refused.value.code == "bundle_feature_missing"
    other = parse("[features.item.loves]\nmeaning = 'm'\naggregate = 'count'\nwindow = '7d'")
    with pytest.raises(BundleError, match="item_loves: trained as") as refused:
        bundle.load(folder, declared(other).features)
    assert refused.value.code == "bundle_feature_differs"


def test_it_ranks_by_the_feature_and_keeps_it_declared(tmp_path: Path) -> None:
    models, data = tmp_path / "models", tmp_path / "data"
    write(models)
    shop = Shop(data, OWN, models=models)
    assert shop.models.active is not None
    shop.did("like", "i17", session="other")
    reply = shop.home()
    assert reply["items"][0]["id"] == "i17"
    shop.state.record_activation_sync("tiny", "1")
    shop.state.close()
    with pytest.raises(FeatureError, match="`item_loves` was declared and is not any more") as refused:
        Shop(data, Config(), stocked=False, models=models)
    assert (refused.value.code, refused.value.field) == ("feature_removed", "item_loves")
