"""The cascade's own columns against a plain calculation: what the sources said, how near an item is to the wishes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Ask, SurfacePlan
from rtp_monolith.features.cascade import CASCADE, FOUND_BY, NEAR
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.ranking.reply import source_names
from tests.ranking.bundles import clustered, item_ids

from .conftest import Shop

PLAN = compile_plan(CASCADE)
AT = {name: at for at, name in enumerate(PLAN.names)}
UNIT = clustered()
TABLE = (UNIT * np.linspace(0.5, 3, len(UNIT), dtype=np.float32)[:, None]).astype(np.float32)
"""Vectors of different lengths: nearness does not see them."""
SOURCES = [("covis", 30, 0.6), ("session_knn", 30, 1.0), ("popular", 10, 0.1), ("new", 40, 0.05)]


def ask_of(shop: Shop, session: str, user: str | None = None) -> Ask:
    plan = SurfacePlan("home", SOURCES, hide_clicked=True, hide_bought=False, diversity=0.0, counts_served=False)
    while not shop.state.core.refresh_lists(shop.clock.now_ms()):
        pass
    return shop.state.core.ask(plan, user, session, shop.clock.now_ms())


def near(shop: Shop, ask: Ask, how: str) -> NDArray[np.float32]:
    return np.asarray(shop.state.core.vectors_of(ask, item_ids(), PLAN)[:, AT[f"cascade_near_{how}"]])


def test_nearness_is_the_cosine_with_the_latest_wishes(shop: Shop) -> None:
    shop.state.core.set_vectors(item_ids(), TABLE)
    shop.did("click", "i9", session="early", user="u")
    shop.did("add_to_cart", "i10", session="early", user="u")
    shop.did("click", "i1", "i2", "i3", "i4", "i5", "i2", "i6", user="u")
    shop.did("impression", "i50", user="u")
    ask = ask_of(shop, "s", "u")
    # The last five different ones, the latest first.
    latest = [6, 2, 5, 4, 3]
    np.testing.assert_allclose(near(shop, ask, "last"), UNIT @ UNIT[6], atol=1e-5)
    np.testing.assert_allclose(near(shop, ask, "mean"), UNIT @ UNIT[latest].mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(near(shop, ask, "max"), (UNIT @ UNIT[latest].T).max(axis=1), atol=1e-5)
    np.testing.assert_allclose(near(shop, ask, "before"), UNIT @ UNIT[[10, 9]].mean(axis=0), atol=1e-5)


def test_who_wanted_nothing_is_near_to_nothing(shop: Shop) -> None:
    shop.state.core.set_vectors(item_ids(), TABLE)
    shop.did("impression", "i1")
    for how in NEAR:
        assert not near(shop, ask_of(shop, "s"), how).any()
    shop.did("click", "i1")
    ask = ask_of(shop, "s")
    assert near(shop, ask, "last").any() and not near(shop, ask, "before").any()
    shop.state.core.clear_vectors()
    assert not near(shop, ask, "last").any()


def test_an_item_without_a_vector_is_near_to_nothing_and_no_wish(shop: Shop) -> None:
    shop.state.core.set_vectors(item_ids()[:30], TABLE[:30])
    shop.put({"id": "bare"})
    shop.did("click", "i7", "bare")
    ask = ask_of(shop, "s")
    assert shop.state.core.vectors_of(ask, ["bare"], PLAN)[0, AT["cascade_near_max"]] == 0.0
    np.testing.assert_allclose(near(shop, ask, "last")[:30], UNIT[:30] @ UNIT[7], atol=1e-5)


def test_a_row_says_what_found_its_item_and_keeps_the_sources_score(shop: Shop) -> None:
    core = shop.state.core
    for session in "abcd":
        shop.did("click", "i1", "i2", f"i{ord(session) % 7 + 10}", session=session)
    shop.did("click", "i1")
    ask = ask_of(shop, "s")
    ranked = core.recall(ask)
    shown = core.shown(ranked)
    scores = {item: score for item, score, _ in shown}
    core.prerank(ask, ranked, 50, 55)
    core.set_scores(ranked, np.arange(len(ranked), dtype=np.float32))
    rows = core.rows(ask, ranked, PLAN)
    filled = 0
    for row, (item, _, mask) in zip(rows, core.shown(ranked), strict=True):
        found = {name: float(name in source_names(mask)) for name in FOUND_BY}
        assert {name: row[AT[f"cascade_source_{name}"]] for name in FOUND_BY} == found
        filled += item not in scores
        # Nobody found it: it gets what `rank` says of an item that was not found.
        (given,), _ = core.shown(core.rank_given(ask, [item])[0]), None
        assert row[AT["cascade_recall"]] == np.float32(scores.get(item, given[1])) == np.float32(given[1])
    assert filled > 0 and rows[:, AT["cascade_source_covis"]].sum() > 2
