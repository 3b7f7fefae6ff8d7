"""Why an item is not in a list."""

from __future__ import annotations

from typing import Any

from .conftest import OpenShop, Shop, ids


def reasons(reply: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each["reason"] for each in reply["missing"]}


def test_each_id_has_its_reason(shop: Shop) -> None:
    shop.put(Shop.item(9, available=False))
    shop.did("click", "i1")
    shop.did("purchase", "i2")
    cheap = {"field": "price", "op": "lt", "value": 40}
    asked = ["nobody", "i9", "i1", "i2", "i4", "i5", "i50"]
    reply = shop.home(k=5, exclude=["i4"], context={"item_id": "i5"}, filter=cheap, explain_missing=asked)
    assert reasons(reply) == {
        "nobody": "unknown_item",
        "i9": "unavailable",
        "i1": "seen",
        "i2": "bought",
        "i4": "excluded",
        "i5": "excluded",
        "i50": "filtered_by_request",
    }


def test_an_item_in_the_list_says_where(shop: Shop) -> None:
    first = ids(shop.home(k=3))
    assert shop.home(k=3, explain_missing=[first[2]])["missing"] == [
        {"id": first[2], "reason": "in_the_list", "position": 2}
    ]


def test_how_far_an_item_came(open_shop: OpenShop) -> None:
    few = """
[cascade]
candidates_max = 12
ranked_max = 8
[surfaces.home]
[surfaces.home.sources.popular]
quota = 14
"""
    shop = open_shop(few)
    for n in range(20):
        shop.did("click", *[f"i{n}"] * (3 if n < 5 else 1), session=f"other{n}")
    reply = shop.home(k=5, explain_missing=[f"i{n}" for n in range(50)])
    told = {each["id"]: each for each in reply["missing"]}
    counts: dict[str, int] = {}
    for each in told.values():
        counts[each["reason"]] = counts.get(each["reason"], 0) + 1
    assert counts == {
        "in_the_list": 5,
        "below_the_list": 3,
        "cut_at_prerank": 4,
        "cut_at_recall": 2,
        "not_recalled": 36,
    }
    below = next(each for each in told.values() if each["reason"] == "below_the_list")
    assert 5 <= below["place"] < 8 == below["of"] and below["value"] <= below["value_of_last"]
    cut = [each["place"] for each in told.values() if each["reason"] == "cut_at_prerank"]
    assert sorted(cut) == [8, 9, 10, 11]
    assert next(e for e in told.values() if e["reason"] == "not_recalled")["sources"] == ["popular"]


def test_asking_why_changes_nothing(open_shop: OpenShop) -> None:
    shop = open_shop()
    shop.did("click", "i1", "i8", session="others")
    plain = shop.home(request_id="a", session_id="x")
    asked = shop.home(request_id="a", session_id="y", explain=True, explain_missing=["i1"])
    assert ids(plain) == ids(asked)
    assert "missing" not in plain


def test_the_bandit_and_the_heads_are_explained(open_shop: OpenShop) -> None:
    shop = open_shop()
    items = shop.home(explain=True)["items"]
    drawn = items[4]
    assert drawn["slot"] == "explore"
    bandit = drawn["explain"]["bandit"]
    assert bandit["policy"] == "thompson" and bandit["propensity"] == drawn["propensity"]
    assert (bandit["clicks"], bandit["impressions"]) == (0, 0) and bandit["pool"] > 1
    heads = items[0]["explain"]["heads"]
    assert set(heads) == {"click", "cart", "purchase"}
    assert all(0 <= value <= 1 for value in heads.values())
    assert all(items[0]["explain"]["scores"][head] == value for head, value in heads.items())
