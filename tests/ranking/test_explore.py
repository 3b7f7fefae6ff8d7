"""The explored slot: what is drawn, with which probability, and that the log says the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rtp_monolith._native import Ask, Ranked, SurfacePlan
from rtp_monolith.errors import NativeError

from .conftest import Shop

K = 10
SLOT: dict[str, Any] = {"k": K, "slot": 4, "pool_max": 8, "impressions_max": 50, "prior_clicks": 1.0,
                        "prior_impressions": 20.0}  # fmt: skip


def listed(shop: Shop, *, counts_served: bool = False) -> tuple[Ask, Ranked]:
    surface = SurfacePlan(
        "home", [("popular", 100, 1.0)], hide_clicked=False, hide_bought=False, diversity=0.0,
        counts_served=counts_served,
    )  # fmt: skip
    shop.state.core.rebuild_lists(shop.clock.now_ms())
    ask = shop.state.core.ask(surface, "u", "s", shop.clock.now_ms())
    ranked = shop.state.core.recall(ask)
    shop.state.core.prerank(ask, ranked, K, K)
    return ask, ranked


def stocked(shop: Shop) -> None:
    """Ten favourites, and newer items with records of their own."""
    for n in range(10):
        shop.did("click", *[f"i{each}" for each in range(10)], session=f"fan{n}")
    shop.clock.advance(86_400_000)
    shop.put(*[Shop.item(n) for n in range(100, 106)])
    for visitor in range(30):
        shop.did("impression", "i100", "i101", session=f"v{visitor}")
        if visitor < 6:
            shop.did("click", "i101", session=f"v{visitor}")


def decide(shop: Shop, ask: Ask, ranked: Ranked, request_id: str) -> None:
    shop.state.core.decide(
        shop.state.log, ask, ranked, request_id=request_id, config_digest=0, seed=7, bundle="", context=b"{}",
        degraded=[],
    )  # fmt: skip


def test_the_drawn_item_takes_its_slot(shop: Shop) -> None:
    stocked(shop)
    core = shop.state.core
    ask, ranked = listed(shop)
    before = core.shown(ranked)
    propensity = core.explore(ask, ranked, seed=3, **SLOT)
    after = core.shown(ranked)
    assert propensity is not None and 0 < propensity < 1
    assert [id for id, *_ in after[:4] + after[5:]] == [id for id, *_ in before[:9]], "the last one left"
    decide(shop, ask, ranked, "r")
    (logged,) = shop.decisions()
    item = logged["items"][4]
    assert (item["id"], sorted(item["source"])) == (after[4][0], ["explore", "new"])
    assert item["propensity"] == np.float32(propensity)
    assert {each["propensity"] for at, each in enumerate(logged["items"]) if at != 4} == {1.0}
    explored = logged["explore"]
    assert {arm["id"] for arm in explored["pool"]} >= {f"i{n}" for n in range(100, 106)}
    counts = {arm["id"]: (arm["clicks"], arm["impressions"]) for arm in explored["pool"]}
    assert (counts["i100"], counts["i101"], counts["i102"]) == ((0, 30), (6, 30), (0, 0))
    assert (explored["slot"], explored["seed"], len(explored["pool"])) == (4, 3, 8)
    assert (explored["prior_clicks"], explored["prior_impressions"]) == (1.0, 20.0)


def test_the_log_draws_again_and_gets_the_same_bits(shop: Shop) -> None:
    stocked(shop)
    drawn = Counter[str]()
    propensities: dict[str, float] = {}
    seeds = range(400)
    for seed in seeds:
        ask, ranked = listed(shop)
        propensity = shop.state.core.explore(ask, ranked, seed=seed, **SLOT)
        assert propensity is not None
        item = shop.state.core.shown(ranked)[4][0]
        drawn[item] += 1
        assert propensities.setdefault(item, propensity) == propensity, "the seed decides the draw, not its probability"
        decide(shop, ask, ranked, f"r{seed}")
    logged = shop.decisions()
    assert len(logged) == len(seeds)
    for each in logged:
        explored, item = each["explore"], each["items"][each["explore"]["slot"]]
        assert explored["check"] == {"id": item["id"], "propensity": item["propensity"]}
        assert explored["propensity"] == item["propensity"]
    assert len(drawn) >= 6
    for item, times in drawn.items():
        expected = propensities[item] * len(seeds)
        assert abs(times - expected) < 4 * (expected * (1 - propensities[item])) ** 0.5 + 1


def test_a_list_that_is_shown_again_forgets_what_it_explored(shop: Shop) -> None:
    stocked(shop)
    core = shop.state.core
    ask, ranked = listed(shop)
    assert core.explore(ask, ranked, seed=3, **SLOT) is not None
    core.prerank(ask, ranked, K, K, light=False)
    decide(shop, ask, ranked, "again")
    (logged,) = shop.decisions()
    assert logged["explore"] is None
    assert {item["propensity"] for item in logged["items"]} == {1.0}
    assert not any("explore" in item["source"] for item in logged["items"])


def test_nothing_is_explored_where_there_is_nothing_new(shop: Shop) -> None:
    core = shop.state.core
    ask, ranked = listed(shop)
    before = core.shown(ranked)
    for change in ({"pool_max": 0}, {"impressions_max": 0}, {"slot": 99, "k": K}, {"slot": K}):
        assert core.explore(ask, ranked, seed=1, **{**SLOT, **change}) is None
        assert core.shown(ranked) == before
    assert core.explore(ask, ranked, seed=1, **{**SLOT, "k": 0}) is None
    assert len(ranked) == 0
    for prior in ({"prior_clicks": 0.0}, {"prior_impressions": 1.0}, {"prior_clicks": float("nan")}):
        with pytest.raises(NativeError) as refused:
            core.explore(ask, ranked, seed=1, **{**SLOT, **prior})
        assert refused.value.reason == "bad_prior"


def test_a_surface_that_counts_what_it_serves_explores_by_that(shop: Shop) -> None:
    stocked(shop)
    core = shop.state.core
    ask, ranked = listed(shop, counts_served=True)
    core.explore(ask, ranked, seed=3, **SLOT)
    decide(shop, ask, ranked, "r")
    (logged,) = shop.decisions()
    assert {arm["impressions"] for arm in logged["explore"]["pool"]} == {0}
