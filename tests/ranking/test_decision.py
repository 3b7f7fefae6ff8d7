"""What was served is logged: the decision is the list that was sent, with all that replay needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.config import Audit, Config
from rtp_monolith.config_surfaces import Surface, default_surfaces
from rtp_monolith.features.catalog import FEATURES
from tests.ranking.bundles import WEIGHTS

from .conftest import OpenShop, Shop, ids


def test_a_decision_is_the_list_that_was_sent(shop: Shop) -> None:
    shop.did("click", "i1")
    applied = shop.state.core.applied
    reply = shop.home(k=5, request_id="r", user_id="u", context={"device": "mobile"})
    (decision,) = shop.decisions()
    assert [item["id"] for item in decision["items"]] == ids(reply)
    assert [item["source"] for item in decision["items"]] == [item["source"] for item in reply["items"]]
    assert {key: decision[key] for key in ("request_id", "user_id", "session_id", "surface", "as_of_ms")} == {
        **{"request_id": "r", "user_id": "u", "session_id": "s", "surface": "home"},
        "as_of_ms": reply["as_of_ms"],
    }
    assert (decision["applied_offset"], decision["context"]) == (applied, {"device": "mobile"})
    assert decision["config_digest"] == shop.config.digest()
    assert decision["degraded"] == ["no_model"]
    assert {item["propensity"] for item in decision["items"]} == {1.0}


def test_unknown_items_are_not_part_of_it(shop: Shop) -> None:
    shop.rank(["nobody", "i1"])
    assert [[item["id"] for item in each["items"]] for each in shop.decisions()] == [["i1"]]


@pytest.mark.parametrize(("share", "rows"), [(0.0, 0), (1.0, 50)])
def test_it_carries_the_vectors_of_the_first_50(tmp_path: Path, share: float, rows: int) -> None:
    shop = Shop(tmp_path, Config(audit=Audit(share=share)))
    shop.home(k=60)
    (decision,) = shop.decisions()
    assert (len(decision["items"]), len(decision["features"])) == (60, rows)
    assert decision["plan_digest"] == (shop.state.plan.digest if share else 0)
    shop.state.close()


@pytest.mark.parametrize(("impressions", "counted"), [("viewed", 0.0), ("served", 2.0)])
def test_a_surface_says_whether_serving_counts(tmp_path: Path, impressions: Any, counted: float) -> None:
    home = default_surfaces()["home"]
    shop = Shop(tmp_path, Config(surfaces={"home": Surface(sources=home.sources, impressions=impressions)}))
    shop.home(k=60)
    shop.home(k=60)
    shop.decisions()
    items = shop.home(k=60, explain=True)["items"]
    prior = 0.05 * 50
    rates = {item["explain"]["features"]["item_ctr_served_7d"] for item in items}
    assert list(rates) == [pytest.approx(prior / (50 + counted))]
    shop.state.close()


@pytest.mark.parametrize(
    ("config", "columns"),
    [
        ("[audit]\nshare = 0.0", len(WEIGHTS)),
        ("[audit]\nshare = 1.0", len(FEATURES)),
        ("[audit]\nshare = 0.0\n[decisions]\nvectors_share = 0.0", 0),
    ],
)
def test_a_list_that_a_bundle_ranks_carries_what_it_read(open_shop: OpenShop, config: str, columns: int) -> None:
    home = """
[surfaces.home]
explore = { slot = 1, pool = 6, impressions_max = 5 }
sources = { popular = { quota = 10, weight = 1.0 }, catalogue = { quota = 10, weight = 0.1 } }
[surfaces.plain]
rank = "off"
sources = { popular = { quota = 10, weight = 1.0 } }
"""
    shop = open_shop(home + config)
    shop.did("click", "i1", "i7")
    shop.home(k=5)
    shop.home(k=5, surface="plain")
    ranked, plain = shop.decisions()
    assert [len(row) for row in ranked["features"]] == ([columns] * 5 if columns else [])
    assert bool(plain["features"]) == (columns == len(FEATURES)), "no model ranks there"
    active = shop.models.active
    assert active is not None and "explore" in ranked["items"][1]["source"]
    if columns == len(WEIGHTS):
        plan = active.bundle.plan
        assert (ranked["plan_digest"], ranked["bundle"]) == (plan.digest, "tiny/1")
        named = [dict(zip(plan.names, row, strict=True)) for row in ranked["features"]]
        assert [row["session_clicks"] for row in named] == [2.0] * 5
        assert len({row["cascade_affinity"] for row in named}) == 5, "the explored item has its row too"
