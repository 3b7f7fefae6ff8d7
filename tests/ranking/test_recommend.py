"""CONTRACT section 3, `/v1/recommend`, sentence by sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.config import Config
from rtp_monolith.config_surfaces import Surface, default_surfaces
from rtp_monolith.errors import BadFilter, UnknownSurface

from .conftest import CATEGORIES, Shop, ids

ALL = {f"i{n}" for n in range(60)}


@pytest.mark.parametrize("k", [1, 20, 59, 60])
def test_a_list_has_k_items_whenever_that_many_are_eligible(shop: Shop, k: int) -> None:
    found = ids(shop.home(k=k))
    assert len(found) == len(set(found)) == k


def test_k_is_20_unless_said(shop: Shop) -> None:
    assert len(shop.home()["items"]) == 20


def test_a_list_is_as_long_as_what_is_eligible(shop: Shop) -> None:
    shop.did("click", *[f"i{n}" for n in range(50)])
    assert set(ids(shop.home(k=200))) == {f"i{n}" for n in range(50, 60)}


@pytest.mark.parametrize("surface", ["home", "product"])
@pytest.mark.parametrize("kind", ["click", "purchase"])
def test_what_was_clicked_or_bought_is_not_shown(shop: Shop, kind: str, surface: str) -> None:
    shop.did(kind, "i1", "i7", session="earlier", user="u")
    assert set(ids(shop.home(surface=surface, user_id="u", k=60))) == ALL - {"i1", "i7"}
    assert len(shop.home(surface=surface, k=60)["items"]) == 60, "to others it is"


def test_what_was_refunded_may_be_shown_again(shop: Shop) -> None:
    shop.did("purchase", "i1")
    shop.did("refund", "i1")
    assert set(ids(shop.home(k=60))) == ALL


def test_a_view_and_an_impression_hide_nothing(shop: Shop) -> None:
    shop.did("impression", "i1")
    shop.did("view", "i2")
    assert set(ids(shop.home(k=60))) == ALL


def test_a_surface_may_allow_what_was_clicked(tmp_path: Path) -> None:
    sources = default_surfaces()["home"].sources
    config = Config(surfaces={"home": Surface(sources=sources, seen="allow"), "strict": Surface(sources=sources)})
    shop = Shop(tmp_path, config)
    shop.did("click", "i1", "i2")
    shop.did("purchase", "i3")
    assert set(ids(shop.home(k=60))) == ALL - {"i3"}
    assert set(ids(shop.home(k=60, surface="strict"))) == ALL - {"i1", "i2", "i3"}
    shop.state.close()


def test_what_is_not_available_is_not_shown(shop: Shop) -> None:
    shop.did("click", "i1", session="others")
    shop.put(Shop.item(1, available=False))
    assert set(ids(shop.home(k=60))) == ALL - {"i1"}
    shop.put(Shop.item(1))
    assert set(ids(shop.home(k=60))) == ALL


def test_excluded_items_are_not_shown(shop: Shop) -> None:
    assert set(ids(shop.home(k=60, exclude=["i1", "i2", "nobody"]))) == ALL - {"i1", "i2"}


def test_a_filter_leaves_what_it_matches(shop: Shop) -> None:
    cheap_hats = {
        "and": [
            {"field": "categories", "op": "contains", "value": "hats"},
            {"field": "price", "op": "lt", "value": 20},
        ]
    }
    assert set(ids(shop.home(k=60, filter=cheap_hats))) == {"i1", "i7", "i13", "i19"}
    assert len(ids(shop.home(k=4, filter=cheap_hats))) == 4
    assert ids(shop.home(filter={"field": "price", "op": "gt", "value": 1000})) == []


@pytest.mark.parametrize("bad", [{"field": "price"}, {"or": 1}, {"field": "price", "op": "like", "value": 1}, []])
def test_a_bad_filter_is_refused(shop: Shop, bad: object) -> None:
    with pytest.raises(BadFilter) as refused:
        shop.home(filter=bad)
    assert refused.value.code == "bad_filter"


def test_an_unknown_surface_is_refused(shop: Shop) -> None:
    with pytest.raises(UnknownSurface, match="home, product") as refused:
        shop.home(surface="hoem")
    assert (refused.value.code, refused.value.status) == ("unknown_surface", 404)


def test_positions_scores_and_sources(shop: Shop) -> None:
    shop.did("click", "i1", "i7", "i13", session="others")
    shop.did("click", "i1")
    items = shop.home(k=60)["items"]
    assert [item["position"] for item in items] == list(range(60 - 1))
    found_by = {item["id"]: set(item["source"]) for item in items}
    assert {"session_knn", "covis", "popular", "same_category"} <= found_by["i7"]
    assert all(sources for sources in found_by.values())
    assert items[0]["id"] in ("i7", "i13")


def test_the_reply_has_every_field(shop: Shop) -> None:
    reply = shop.home(request_id="mine")
    assert set(reply) == {
        *("request_id", "items", "surface", "model", "experiments", "degraded"),
        *("state_version", "as_of_ms", "took_ms", "stages"),
    }
    assert (reply["request_id"], reply["surface"], reply["as_of_ms"]) == ("mine", "home", shop.clock.now_ms())
    assert set(reply["stages"]) == {"state", "recall", "prerank", "rank", "rerank", "explore"}
    assert set(reply["model"]) == {"name", "version"}
    assert reply["experiments"] == {}


def test_request_ids_are_made_and_differ(shop: Shop) -> None:
    made = {shop.home(k=1)["request_id"] for _ in range(50)}
    assert len(made) == 50


def test_without_a_bundle_it_says_so(shop: Shop) -> None:
    assert shop.home()["degraded"] == ["no_model"]


def test_without_items_it_says_so(tmp_path: Path) -> None:
    shop = Shop(tmp_path, stocked=False)
    shop.did("click", "never put")
    reply = shop.home()
    assert reply["items"] == []
    assert reply["degraded"] == ["no_items"]
    shop.state.close()


def test_state_version_counts_the_events_of_the_user(shop: Shop) -> None:
    assert shop.home()["state_version"] == 0
    shop.did("click", "i1")
    shop.did("impression", "i2", "i3")
    assert shop.home()["state_version"] == 3
    shop.home()
    shop.put(Shop.item(70))
    shop.state.ingest_sync("users", b'[{"id":"u"}]', "json", trusted=True)
    assert shop.home()["state_version"] == 3, "decisions, items and users do not count"
    shop.did("click", "i4", user="u")
    assert shop.home()["state_version"] == shop.home(user_id="u", session_id="new")["state_version"] == 4


def test_the_next_list_knows_the_click(shop: Shop) -> None:
    for n in range(20):
        item = ids(shop.home(k=1))[0]
        shop.did("click", item)
        reply = shop.home()
        assert (reply["state_version"], item in ids(reply)) == (n + 1, False)


@pytest.mark.parametrize("category", range(6))
def test_three_clicks_in_one_category_raise_its_share(shop: Shop, category: int) -> None:
    def share() -> float:
        found = ids(shop.home(k=12))
        return sum(int(each[1:]) % 6 == category for each in found) / len(found)

    before = share()
    shop.did("click", *[f"i{category + 6 * n}" for n in (1, 4, 7)])
    assert share() > max(before, 1 / 6), CATEGORIES[category]


def test_the_product_page_does_not_show_the_product_nor_the_cart(shop: Shop) -> None:
    reply = shop.home(surface="product", k=60, context={"item_id": "i1", "cart": ["i2", "i3"]})
    assert set(ids(reply)) == ALL - {"i1", "i2", "i3"}


def test_the_product_page_shows_what_goes_with_the_product(shop: Shop) -> None:
    for n in range(5):
        shop.did("click", "i1", "i20", session=f"others{n}")
    assert ids(shop.home(surface="product", k=5, context={"item_id": "i1"}))[0] == "i20"


def test_an_item_is_shown_as_soon_as_it_is_put_and_no_longer_than_it_is_there(shop: Shop) -> None:
    shop.put({"id": "new"})
    assert "new" in ids(shop.home(k=61))
    ticket = shop.state.core.submit_item_delete(shop.state.log, "new", shop.clock.wall_ms())
    shop.state._answer_sync(ticket)
    assert "new" not in ids(shop.home(k=61))


def test_explain_has_the_features_of_that_moment(shop: Shop) -> None:
    shop.did("click", "i1")
    first = shop.home(k=3, explain=True)["items"][0]
    why = first["explain"]
    assert (why["sources"], why["features"]["session_clicks"]) == (first["source"], 1.0)
    assert list(why["features"]) == shop.state.plan.names
    assert "explain" not in shop.home(k=3)["items"][0]
