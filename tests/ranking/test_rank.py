"""CONTRACT section 3, `/v1/rank`, sentence by sentence."""

from __future__ import annotations

import pytest

from rtp_monolith.errors import UnknownSurface

from .conftest import Shop, ids


def test_exactly_the_given_items_come_back(shop: Shop) -> None:
    given = [f"i{n}" for n in range(0, 60, 3)]
    reply = shop.rank(given)
    assert sorted(ids(reply)) == sorted(given)
    assert [item["position"] for item in reply["items"]] == list(range(20))
    assert all("given" in item["source"] for item in reply["items"])


def test_items_may_be_objects(shop: Shop) -> None:
    assert sorted(ids(shop.rank([{"id": "i1", "price": 3}, "i2"]))) == ["i1", "i2"]


def test_what_goes_with_the_session_comes_first(shop: Shop) -> None:
    for n in range(5):
        shop.did("click", "i1", "i20", session=f"others{n}")
    shop.did("click", "i1")
    assert ids(shop.rank(["i5", "i40", "i20"]))[0] == "i20"


def test_unknown_items_come_last_and_are_named(shop: Shop) -> None:
    reply = shop.rank(["x", "i1", "y", "i2"])
    assert set(ids(reply)[:2]) == {"i1", "i2"}
    assert ids(reply)[2:] == ["x", "y"]
    assert [item["position"] for item in reply["items"]] == [0, 1, 2, 3]
    assert set(reply["degraded"]) == {"no_model", "unknown_items"}


def test_k_filter_and_exclude_are_ignored(shop: Shop) -> None:
    reply = shop.rank(["i1", "i2", "i3"], k=1, filter={"nonsense": 1}, exclude=["i2"])
    assert sorted(ids(reply)) == ["i1", "i2", "i3"]


def test_clicked_bought_and_unavailable_items_come_back_too(shop: Shop) -> None:
    shop.did("click", "i1")
    shop.did("purchase", "i2")
    shop.put(Shop.item(3, available=False))
    assert sorted(ids(shop.rank(["i1", "i2", "i3"]))) == ["i1", "i2", "i3"]


def test_one_given_twice_comes_back_twice(shop: Shop) -> None:
    assert sorted(ids(shop.rank(["i1", "i1", "x", "x"]))) == ["i1", "i1", "x", "x"]


def test_nothing_and_a_thousand(shop: Shop) -> None:
    assert ids(shop.rank([])) == []
    given = [f"i{n}" for n in range(1000)]
    assert sorted(ids(shop.rank(given))) == sorted(given)


def test_equal_scores_keep_the_order_given(shop: Shop) -> None:
    """Nothing is known of these: no source of the surface brings them."""
    shop.put(*[{"id": f"z{n}", "available": False} for n in range(5)])
    assert ids(shop.rank(["z3", "z1", "z4", "z0"])) == ["z3", "z1", "z4", "z0"]


def test_state_version_and_stages(shop: Shop) -> None:
    shop.did("click", "i1")
    reply = shop.rank(["i1"])
    assert reply["state_version"] == 1
    assert set(reply["stages"]) == {"state", "recall", "prerank", "rank", "rerank", "explore"}


def test_an_unknown_surface_is_refused(shop: Shop) -> None:
    with pytest.raises(UnknownSurface):
        shop.rank(["i1"], surface="nowhere")
