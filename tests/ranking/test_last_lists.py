"""Lists that stay, lists that move by so much, and the memory of them."""

from __future__ import annotations

from .conftest import OpenShop, Shop, ids

STABLE = """
[surfaces.home]
stability = { moves_max = 2, keep = "10m" }
explore = { slot = 4 }
[surfaces.home.sources.session_knn]
[surfaces.home.sources.same_category]
[surfaces.home.sources.popular]
[surfaces.home.sources.catalogue]
"""


def crowd(shop: Shop, *items: str, times: int = 3) -> None:
    for n in range(times):
        shop.did("click", *items, session=f"others{n}")


def test_without_new_evidence_a_list_stays(open_shop: OpenShop) -> None:
    shop = open_shop(STABLE)
    crowd(shop, "i1", "i2", "i3")
    first = shop.home(k=10)
    crowd(shop, "i30", "i31", "i32", times=9)
    shop.did("impression", *ids(first))
    again = shop.home(k=10, explain=True, explain_missing=["i0"])
    assert again["state_version"] > first["state_version"]
    assert ids(again) == ids(first), "what others do and what was seen is no evidence"
    assert [item.get("propensity") for item in again["items"]] == [item.get("propensity") for item in first["items"]]
    assert again["items"][0]["explain"]["rules"] == [{"rule": "stability", "effect": "stayed"}]
    drawn = [decision["explore"] for decision in shop.decisions()]
    assert drawn[0] == drawn[1] and drawn[1]["check"]["id"] == ids(first)[4], "and the draw can be made again"


def test_after_its_time_or_for_another_request_a_list_is_made_anew(open_shop: OpenShop) -> None:
    shop = open_shop(STABLE, bundle=False)
    crowd(shop, "i1", "i2", "i3")
    first = ids(shop.home(k=10))
    crowd(shop, *[f"i{n}" for n in range(40, 50)], times=9)
    shop.clock.advance(8 * 60_000)
    assert ids(shop.home(k=10)) == first
    assert ids(shop.home(k=10, session_id="another")) != first
    shop.clock.advance(120_000)
    assert ids(shop.home(k=10)) != first, "it counts from when the list was made"


def test_with_new_evidence_items_move_as_far_as_declared(open_shop: OpenShop) -> None:
    shop = open_shop(STABLE, bundle=False)
    crowd(shop, *[f"i{n}" for n in range(20)])
    before = ids(shop.home(k=15))
    shop.did("click", before[3])
    reply = shop.home(k=15, explain=True)
    after = ids(reply)
    assert before[3] not in after, "what was clicked is gone"
    places = {item_id: place for place, item_id in enumerate(before)}
    for item in reply["items"]:
        told = {each["effect"]: each["place"] for each in item["explain"]["rules"] if each["rule"] == "stability"}
        if item["id"] in places:
            assert abs(places[item["id"]] - item["position"]) <= 2
            assert told["was"] == places[item["id"]]
        else:
            assert told["entered"] == item["position"]


def test_what_may_not_be_shown_leaves_a_list_that_would_stay(open_shop: OpenShop) -> None:
    shop = open_shop(STABLE, bundle=False)
    crowd(shop, *[f"i{n}" for n in range(20)])
    before = ids(shop.home(k=10))
    shop.put(Shop.item(int(before[2][1:]), available=False))
    after = ids(shop.home(k=10))
    assert before[2] not in after and len(after) == 10
    assert all(abs(place - before.index(item)) <= 2 for place, item in enumerate(after) if item in before)


def test_rules_weigh_more_than_stability(open_shop: OpenShop) -> None:
    pinned = '[surfaces.home.rules.pin.x]\nitem = "i9"\nposition = 0\nwhere = "context.country == \'de\'"\n'
    shop = open_shop(STABLE + pinned, bundle=False)
    crowd(shop, *[f"i{n}" for n in range(20)])
    before = ids(shop.home(k=20))
    assert before.index("i9") > 2, before
    assert ids(shop.home(k=20, context={"country": "de"}))[0] == "i9"
