"""One suite for every source of recall: it brings what it says, keeps to its quota, can fail alone, and is named.

The scene: a shop where each source has something to bring to the visitor `s`, on a phone in France at noon.
"""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith._native import Ask, Ranked, SurfacePlan
from rtp_monolith.config import parse
from rtp_monolith.config_surfaces import SourceName
from rtp_monolith.ranking.reply import SOURCES, source_names

from .conftest import CATEGORIES, Shop

NAMES: tuple[str, ...] = typing.get_args(SourceName)
CONTEXT = [("device", "phone"), ("country", "fr")]
VECTORS = np.eye(6, dtype=np.float32)[np.arange(60) % 6]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> typing.Iterator[Shop]:
    """Others buy boots with hats, look at bags on phones; the visitor looked at two boots and holds one in the cart."""
    shop = Shop(tmp_path_factory.mktemp("sources") / "data", parse(""))
    shop.state.core.set_vectors([f"i{n}" for n in range(60)], VECTORS)
    for n in range(6):
        other = f"other{n}"
        shop.did("add_to_cart", "i0", f"i{6 * n + 1}", session=other)
        shop.did("purchase", "i0", f"i{6 * n + 1}", session=other)
        shop.did("click", "i0", f"i{6 * n + 12 if n < 4 else 30}", session=f"{other}b")
        shop.did("click", "i2", f"i{6 * n + 2}", session=f"{other}c", props={"device": "phone"})
    shop.did("click", "i6", "i0", session="s", props={"country": "fr"})
    shop.did("add_to_cart", "i0", session="s")
    shop.state.core.rebuild_lists(shop.clock.now_ms())
    yield shop
    shop.state.close()


def ask_of(shop: Shop, *sources: tuple[str, int, float], **more: Any) -> Ask:
    plan = SurfacePlan(
        "home",
        sources,
        hide_clicked=False,
        hide_bought=False,
        diversity=0.0,
        counts_served=False,
        **more.pop("plan", {}),
    )
    given = {"context": CONTEXT, "category": "boots", "query": "boots"} | more
    ask = shop.state.core.ask(plan, None, given.pop("session", "s"), shop.clock.now_ms(), **given)
    if shop.state.core.vectors_dimension:
        shop.state.core.set_session_vector(ask, VECTORS[0])
        shop.state.core.set_user_vector(ask, VECTORS[1])
    return ask


def found(shop: Shop, ranked: Ranked) -> dict[str, tuple[str, ...]]:
    return {item_id: source_names(bits) for item_id, _, bits in shop.state.core.shown(ranked)}


def brought(shop: Shop, source: str, quota: int = 60, **more: Any) -> list[str]:
    return list(found(shop, shop.state.core.recall(ask_of(shop, (source, quota, 1.0), **more))))


def filled(shop: Shop, ask: Ask, ranked: Ranked, k: int = 60) -> Ranked:
    shop.state.core.prerank(ask, ranked, 200, k)
    return ranked


@pytest.mark.parametrize("source", [name for name in NAMES if name != "catalogue"])
def test_a_source_brings_something_up_to_its_quota_and_is_named(scene: Shop, source: str) -> None:
    core = scene.state.core
    everything = brought(scene, source)
    assert everything, "the scene has something for every source"
    for quota in (1, 2, 3):
        ask = ask_of(scene, (source, quota, 1.0))
        ranked = core.recall(ask)
        assert len(ranked) == min(quota, len(everything))
        assert set(found(scene, ranked).values()) == {(source,)}
    ask = ask_of(scene, (source, 60, 1.0), ("new", 3, 1.0))
    part = core.recall(ask, failing=1 << SOURCES.index(source))
    assert part.skipped == [source]
    assert all(source not in names for names in found(scene, part).values())
    assert len(part) == (0 if source == "new" else 3), "the others answer"


def test_the_catalogue_brings_the_rest(scene: Shop) -> None:
    ask = ask_of(scene, ("catalogue", 5, 1.0))
    ranked = filled(scene, ask, scene.state.core.recall(ask))
    assert len(ranked) == 60
    assert set(found(scene, ranked).values()) == {("catalogue",)}


def test_items_that_several_sources_found_keep_all_of_them_and_come_once(scene: Shop) -> None:
    names = [name for name in NAMES if name != "catalogue"]
    alone = {name: set(brought(scene, name, 20)) for name in names}
    ranked = scene.state.core.recall(ask_of(scene, *[(name, 20, 1.0) for name in names]))
    together = found(scene, ranked)
    assert len(ranked) == len(together) == len(set().union(*alone.values()))
    for item_id, by in together.items():
        assert set(by) == {name for name in names if item_id in alone[name]}
    assert max(len(by) for by in together.values()) >= 6


def test_quotas_are_those_of_the_surface(scene: Shop) -> None:
    quotas = {"popular": 7, "new": 2, "same_category": 4, "covis": 3, "history": 1}
    together = found(scene, scene.state.core.recall(ask_of(scene, *[(name, n, 1.0) for name, n in quotas.items()])))
    for name, quota in quotas.items():
        assert sum(name in by for by in together.values()) == quota


@pytest.mark.parametrize("source", [name for name in NAMES if name != "catalogue"])
def test_what_may_not_be_shown_is_not_whoever_found_it(scene: Shop, source: str) -> None:
    everything = brought(scene, source)
    ask = ask_of(scene, (source, 60, 1.0), exclude=everything[:1], filter=b'{"field":"price","op":"ne","value":12}')
    ranked = filled(scene, ask, scene.state.core.recall(ask), 5)
    assert not {everything[0], "i12"} & set(found(scene, ranked))


def test_what_goes_into_carts_together_is_not_what_is_looked_at_together(scene: Shop) -> None:
    hats = {f"i{6 * n + 1}" for n in range(6)}
    assert set(brought(scene, "bought_together", seeds=["i0"])) == hats
    assert set(brought(scene, "covis", seeds=["i0"])) > hats
    assert set(brought(scene, "bought_together")) == hats, "without items of the request, of what was wanted lately"
    assert brought(scene, "bought_together", seeds=["i40"]) == []
    both = brought(scene, "bought_together", seeds=["i7", "i0"])
    assert "i0" not in both and set(both) == hats - {"i7"}, "not what it is asked about"


def test_a_surface_of_the_cart_is_about_the_cart(scene: Shop) -> None:
    cart = {"plan": {"about_cart": True}}
    ask = ask_of(scene, ("bought_together", 60, 1.0), **cart)
    ranked = filled(scene, ask, scene.state.core.recall(ask))
    assert "i0" not in found(scene, ranked), "what is in the cart is not listed"
    assert len(ranked) == 59
    own = brought(scene, "bought_together", **cart)
    assert own == brought(scene, "bought_together", seeds=["i0"])
    assert brought(scene, "bought_together", seeds=["i40"], **cart) == [], "the request's own cart comes first"


def test_brands_and_history(scene: Shop) -> None:
    brands = [int(item_id[1:]) % 4 for item_id in brought(scene, "same_brand", 15, seeds=["i5"])]
    assert brands.count(1) >= 10 and brands[0] == 1
    assert brought(scene, "history") == ["i0", "i6"], "the latest first"


def test_buckets_of_the_context(scene: Shop) -> None:
    def first(source: str, **context: str) -> str:
        return brought(scene, source, 9, session="stranger", context=list(context.items()), category=None)[0]

    assert first("popular_context", device="phone") == "i2"
    assert first("trending_context", device="phone") == "i2"
    assert first("popular_context") == "i0", "what these hours of the day brought"
    boots = [
        n
        for n in brought(scene, "trending_context", 30, session="stranger", context=[], category="bags")
        if int(n[1:]) % 6 == 2
    ]
    assert boots[0] == "i2" and CATEGORIES[2] == "bags"


def test_hours_are_counted_apart(tmp_path: Path) -> None:
    shop = Shop(tmp_path, parse(""))
    try:
        shop.did("click", *["i7"] * 3, session="noon")
        shop.clock.advance(12 * 3_600_000)
        shop.did("click", *["i9"] * 2, session="midnight")
        at_midnight = brought(shop, "popular_context", context=[], category=None)
        shop.clock.advance(12 * 3_600_000)
        at_noon = brought(shop, "popular_context", context=[], category=None)
        assert (at_midnight, at_noon) == (["i9"], ["i7"])
    finally:
        shop.state.close()
