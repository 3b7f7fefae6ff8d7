"""The stages with a bundle: the session's vector, the ranker's value, the words of a search, the explored slot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rtp_monolith.errors import ConfigError, InvalidField
from tests.ranking.bundles import HEADS, WEIGHTS, clustered

from .conftest import CATEGORIES, OpenShop, Shop, ids

SOURCES = """
[surfaces.{name}.sources]
{source} = {{ quota = 200, weight = 1.0 }}
catalogue = {{ quota = 200, weight = 0.01 }}
"""


def surface(name: str, keys: str = "", source: str = "popular") -> str:
    return f"[surfaces.{name}]\n{keys}\n" + SOURCES.format(name=name, source=source)


def cluster(item: str) -> int:
    return int(item[1:]) % 6


def test_a_list_is_of_the_bundle_and_lacks_nothing(open_shop: OpenShop) -> None:
    shop = open_shop()
    reply = shop.home()
    assert (reply["model"], reply["degraded"]) == ({"name": "tiny", "version": "1"}, [])
    assert len(set(ids(reply))) == 20
    assert set(reply["stages"]) == {"state", "recall", "prerank", "rank", "rerank", "explore"}
    assert shop.decisions()[0]["bundle"] == "tiny/1"


def test_scores_are_what_the_ranker_makes_of_the_rows(open_shop: OpenShop) -> None:
    """Click probability of an item nobody touched: its affinity and the prior of its rate."""
    shop = open_shop(surface("home", "value = 'click'"))
    shop.did("click", "i1", "i7")
    reply = shop.home(k=58)
    vectors = clustered()
    session = (vectors[1] + vectors[7]) / 2
    features = {item["id"]: item for item in shop.home(k=58, explain=True)["items"]}
    for item in reply["items"]:
        n = int(item["id"][1:])
        named = features[item["id"]]["explain"]["features"]
        named["cascade_affinity"] = float(session @ vectors[n])
        logit = sum(named[name] * WEIGHTS[name][0] for name in WEIGHTS) - 2.0
        assert item["score"] == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4), item["id"]


@pytest.mark.parametrize("category", range(6))
def test_a_click_brings_what_is_near_it(open_shop: OpenShop, category: int) -> None:
    shop = open_shop(surface("home", source="ann"))
    shop.did("click", f"i{category}")
    found = ids(shop.home(k=5))
    assert {cluster(item) for item in found} == {category}, CATEGORIES[category]
    assert shop.home(k=1)["items"][0]["source"] == ["ann"]


def test_the_session_is_encoded_once_however_often_it_looks(open_shop: OpenShop) -> None:
    shop = open_shop()
    kept = shop.models.active
    assert kept is not None
    shop.home()
    assert (kept.encodings.hits, kept.encodings.misses) == (0, 0), "nothing to encode"
    shop.did("click", "i1")
    shop.home()
    shop.did("impression", "i2", "i3")
    shop.home()
    assert (kept.encodings.hits, kept.encodings.misses) == (1, 1)
    shop.did("click", "i2")
    shop.home()
    assert (kept.encodings.hits, kept.encodings.misses) == (1, 2)
    assert shop.models.stats() == {"encodings_cached": 2, "encoding_hits": 1, "encoding_misses": 2, "trial_share": 0.0}


def test_a_session_of_ten_thousand_clicks_is_a_session(open_shop: OpenShop) -> None:
    shop = open_shop()
    for _ in range(20):
        shop.did("click", *[f"i{n % 30}" for n in range(500)])
    reply = shop.home(k=20)
    assert len(reply["items"]) == 20
    assert (reply["degraded"], reply["state_version"]) == ([], 10_000)


def test_each_surface_has_its_own_value(open_shop: OpenShop) -> None:
    shop = open_shop(
        surface("dear", "value = 'price + 0*click'", source="new")
        + surface("cheap", "value = '-price'", source="new")
        + surface("plain", "rank = 'off'")
    )
    assert ids(shop.home(surface="dear", k=3)) == ["i59", "i58", "i57"]
    assert ids(shop.home(surface="cheap", k=3)) == ["i0", "i1", "i2"]
    shop.did("click", "i30", session="others")
    assert ids(shop.home(surface="plain", k=1)) == ["i30"]


def test_an_item_without_a_price_is_worth_nothing_by_price(open_shop: OpenShop) -> None:
    shop = open_shop(surface("dear", "value = 'price'"))
    shop.put({"id": "i59", "categories": ["hats"]}, {"id": "bare"})
    found = ids(shop.home(surface="dear", k=61))
    assert found[0] == "i58"
    assert {"i59", "bare", "i0"} == set(found[-3:])


def test_a_list_is_as_long_as_its_surface_says_unless_asked(open_shop: OpenShop) -> None:
    shop = open_shop(surface("short", "k = 7"))
    assert len(shop.home(surface="short")["items"]) == 7
    assert len(shop.home(surface="short", k=9)["items"]) == 9


def test_a_surface_within_a_category_lists_that_category(open_shop: OpenShop) -> None:
    shop = open_shop(surface("category", "within = 'category'"))
    assert {cluster(item) for item in ids(shop.home(surface="category", context={"category": "hats"}))} == {1}
    cheap = {"field": "price", "op": "lt", "value": 20}
    found = ids(shop.home(surface="category", context={"category": "hats"}, filter=cheap))
    assert set(found) == {"i1", "i7", "i13", "i19"}
    assert ids(shop.home(surface="category", context={"category": "tents"})) == []
    with pytest.raises(InvalidField) as refused:
        shop.home(surface="category")
    assert (refused.value.code, refused.value.field) == ("missing_field", "context.category")


def test_a_search_lists_what_matches_and_what_is_liked_first(open_shop: OpenShop) -> None:
    shop = open_shop(surface("search", "recall_weight = 0.3", source="text"))
    shop.put(*[Shop.item(n, title=("red shoe", "blue shoe", "shoe rack")[n % 3]) for n in range(60)])
    found = shop.home(surface="search", context={"query": "shoe"}, k=20)
    assert all("text" in item["source"] for item in found["items"])
    red = {f"i{n}" for n in range(0, 60, 3)}
    assert set(ids(shop.home(surface="search", context={"query": "red shoe"}, k=20))[:10]) <= red
    shop.did("click", "i3")
    first = ids(shop.home(surface="search", context={"query": "shoe"}, k=5))
    assert {cluster(item) for item in first} == {3}, "of equal matches the personal ones come first"


def test_rank_orders_what_is_given_by_the_model(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.did("click", "i2")
    given = [f"i{n}" for n in range(40, 60)]
    reply = shop.rank([*given, "nobody"])
    assert sorted(ids(reply)[:-1]) == given
    assert ids(reply)[-1] == "nobody" and reply["degraded"] == ["unknown_items"]
    assert {cluster(item) for item in ids(reply)[:3]} == {2}
    assert reply["model"]["name"] == "tiny"


def test_one_slot_explores_a_new_item_with_its_propensity(open_shop: OpenShop) -> None:
    explore = "explore = { slot = 2, pool = 6, impressions_max = 5 }"
    shop = open_shop(surface("home", explore))
    replies = [shop.home(k=5, request_id=f"r{n}") for n in range(30)]
    drawn = []
    for reply, decision in zip(replies, shop.decisions(), strict=True):
        assert len(set(ids(reply))) == 5
        explored = [item for item in reply["items"] if "slot" in item]
        (item,) = explored
        assert (item["position"], item["slot"]) == (2, "explore")
        assert "explore" in item["source"]
        assert 0 < item["propensity"] <= 1
        logged = decision["items"][2]
        assert (logged["id"], logged["propensity"]) == (item["id"], pytest.approx(item["propensity"]))
        assert decision["explore"]["slot"] == 2 and len(decision["explore"]["pool"]) == 6
        drawn.append(item["id"])
    assert len(set(drawn)) > 1
    again = shop.home(k=5, request_id="r0")
    assert again["items"][2]["id"] == drawn[0], "the draw follows from the request's id"


def test_a_list_that_does_not_reach_the_slot_does_not_explore(open_shop: OpenShop) -> None:
    shop = open_shop(surface("home", "explore = { slot = 4 }"))
    assert all("slot" not in item for item in shop.home(k=4)["items"])
    assert "slot" in shop.home(k=5)["items"][4]


def test_without_a_bundle_nothing_is_explored_and_the_words_still_count(open_shop: OpenShop) -> None:
    shop = open_shop(surface("home", "explore = { slot = 0 }") + surface("search", source="text"), bundle=False)
    reply = shop.home()
    assert reply["degraded"] == ["no_model"] and reply["model"] == {"name": "none", "version": "0"}
    assert all("slot" not in item for item in reply["items"])
    shop.put(Shop.item(9, title="a very red thing"))
    assert ids(shop.home(surface="search", context={"query": "red thing"}))[0] == "i9"


def test_explain_has_the_scores_of_every_stage(open_shop: OpenShop) -> None:
    shop = open_shop(surface("home"))
    shop.did("click", "i1", session="others")
    shop.did("click", "i2")
    item: dict[str, Any] = shop.home(k=3, explain=True)["items"][0]
    scores = item["explain"]["scores"]
    assert {"prerank", "value", *HEADS} <= set(scores)
    assert scores["value"] == item["score"]
    assert scores["value"] == pytest.approx(0.2 * scores["click"] + scores["cart"] + 3 * scores["purchase"], rel=1e-5)


def test_a_value_that_names_a_head_nobody_has_stops_the_start(open_shop: OpenShop) -> None:
    with pytest.raises(ConfigError, match=r"surfaces\.home\.value: 'clik' is not a head, did you mean `click`"):
        open_shop(surface("home", "value = 'clik'"))
