"""What a surface declares of its lists, as its lists keep it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rtp_monolith.errors import ConfigError

from .conftest import CATEGORIES, NOON, OpenShop, Shop, ids

SOURCES = """
[surfaces.home.sources.popular]
[surfaces.home.sources.catalogue]
"""
ALL = [f"i{n}" for n in range(60)]


def category(item_id: str) -> str:
    return CATEGORIES[int(item_id[1:]) % 6]


def brand(item_id: str) -> str:
    return f"b{int(item_id[1:]) % 4}"


def rules(reply: dict[str, Any], item_id: str) -> list[dict[str, Any]]:
    return next(item["explain"]["rules"] for item in reply["items"] if item["id"] == item_id)


def test_a_filter_is_part_of_what_may_be_shown(open_shop: OpenShop) -> None:
    shop = open_shop(SOURCES + "[surfaces.home.rules.filter]\ndear = 'item.price >= 50'\n", bundle=False)
    assert set(ids(shop.home(k=60))) == {f"i{n}" for n in range(50, 60)}
    told = shop.home(k=2, explain_missing=["i3"])["missing"]
    assert told == [{"id": "i3", "reason": "filtered", "rule": "filter.dear"}]


def test_a_boost_lifts_and_says_so(open_shop: OpenShop) -> None:
    boosted = "[surfaces.home.rules.boost.hats]\nwhere = \"item.categories contains 'hats'\"\ntimes = 100\n"
    shop = open_shop(SOURCES + boosted, bundle=False)
    shop.did("click", *["i1", "i2", "i3"] * 3, session="others")
    shop.did("click", "i13", session="others")
    reply = shop.home(k=4, explain=True)
    assert ids(reply)[:2] == ["i1", "i13"]
    assert rules(reply, "i13") == [{"rule": "boost.hats", "effect": "times", "times": 100.0}]
    assert rules(reply, "i2") == []


def test_what_is_buried_comes_last_but_comes(open_shop: OpenShop) -> None:
    shop = open_shop(SOURCES + "[surfaces.home.rules.bury]\nlow = 'item.price < 58'\n", bundle=False)
    shop.did("click", "i1", "i1", "i2", session="others")
    reply = shop.home(k=60, explain=True)
    assert ids(reply)[:2] == ["i58", "i59"] or ids(reply)[:2] == ["i59", "i58"]
    assert ids(reply)[2:4] == ["i1", "i2"]
    assert rules(reply, "i1") == [{"rule": "bury.low", "effect": "buried"}]


def test_caps_hold_where_they_can_and_give_way_by_name(open_shop: OpenShop) -> None:
    shop = open_shop(
        SOURCES + '[surfaces.home.rules.cap.aisle]\nby = "category"\nmost = 1\nwithin = 4\n'
        '[surfaces.home.rules.cap.brand]\nby = "brand"\nmost = 3\n',
        bundle=False,
    )
    shop.did("click", *[f"i{n}" for n in range(0, 60, 6)] * 2, session="others")
    found = ids(shop.home(k=12))
    assert all(len({category(item_id) for item_id in found[at : at + 4]}) == 4 for at in range(9))
    assert set(Counter(map(brand, found)).values()) == {3}
    reply = shop.home(k=20, explain=True, explain_missing=["i6"])
    assert len(ids(reply)) == 20, "a list has k items whenever that many may be shown"
    told = [each for item in reply["items"] for each in item["explain"]["rules"]]
    assert {"rule": "cap.brand", "effect": "gave_way", "place": 12} in told


def test_the_first_place_an_item_was_held_back_from_is_told(open_shop: OpenShop) -> None:
    shop = open_shop(SOURCES + '[surfaces.home.rules.cap.aisle]\nby = "category"\nmost = 1\n', bundle=False)
    shop.did("click", *["i0", "i6"] * 3, session="others")
    told = shop.home(k=3, explain_missing=["i6"])["missing"]
    assert (told[0]["reason"], told[0]["rule"], told[0]["place"]) == ("held_back", "cap.aisle", 1)


def test_pins_stand_while_they_hold(open_shop: OpenShop) -> None:
    day = "2024-10-04"
    pinned = f"""
[surfaces.home.rules.pin.sale]
item = "i33"
position = 2
since = {day}T00:00:00Z
until = {day}T13:00:00Z
[surfaces.home.rules.pin.german]
item = "i44"
position = 0
where = "context.country == 'de'"
[surfaces.home.rules.pin.gone]
item = "nobody"
position = 1
"""
    shop = open_shop(SOURCES + pinned, bundle=False)
    assert shop.clock.now_ms() - NOON < 60_000, "noon of that day"
    reply = shop.home(k=5, explain=True)
    assert ids(reply)[2] == "i33" and "i44" not in ids(reply)
    assert rules(reply, "i33") == [{"rule": "pin.sale", "effect": "pinned", "place": 2}]
    assert ids(shop.home(k=5, context={"country": "de"}))[0] == "i44"
    assert ids(shop.home(k=2))[1] == "i33", "the last place of a list that is too short"
    shop.did("click", "i33")
    assert "i33" not in ids(shop.home(k=5)), "a pin shows nothing that may not be shown"
    shop.clock.advance(3_600_000)
    late = shop.home(k=5, session_id="other", explain=True)
    assert rules(late, "i33") == [], "it is popular, and no longer pinned"


def test_shares_of_a_mix(open_shop: OpenShop) -> None:
    mix = """
[surfaces.home.rules.mix.hats]
where = "item.categories contains 'hats'"
least = 0.3
[surfaces.home.rules.mix.boots]
where = "item.category == 'boots'"
most = 0.1
"""
    shop = open_shop(SOURCES + mix, bundle=False)
    shop.did("click", *[f"i{n}" for n in range(0, 60, 6)] * 2, session="others")
    reply = shop.home(k=10, explain=True)
    counts = Counter(map(category, ids(reply)))
    assert (counts["hats"], counts["boots"]) == (3, 1)
    needed = [at for at, item in enumerate(reply["items"]) if category(item["id"]) == "hats"]
    assert all(sum(at <= place for at in needed) >= int(0.3 * (place + 1)) for place in range(10))


def test_small_sellers_have_their_floor(open_shop: OpenShop) -> None:
    shop = open_shop(SOURCES + "[surfaces.home.rules.floor.small]\nshare = 0.25\nbelow = 0.1\n", bundle=False)
    shop.put(*[Shop.item(n, seller="small" if n >= 55 else "big") for n in range(60)])
    shop.did("click", *[f"i{n}" for n in range(20)], session="others")
    shop.did("impression", *[f"i{n}" for n in range(20)], session="others")
    reply = shop.home(k=12, explain=True)
    small = [item["position"] for item in reply["items"] if int(item["id"][1:]) >= 55]
    assert small == [3, 7, 11]
    assert {"rule": "floor.small", "effect": "needed", "place": 3} in rules(reply, ids(reply)[3])


@pytest.mark.parametrize(("kind", "name"), [("click", "seen"), ("purchase", "bought")])
def test_what_was_had_comes_back_when_it_has_cooled_down(open_shop: OpenShop, kind: str, name: str) -> None:
    shop = open_shop(f'[surfaces.home]\n{name} = "2h"\n' + SOURCES, bundle=False)
    shop.did(kind, "i1")
    done_ms = shop.clock.now_ms() // 60_000 * 60_000
    assert "i1" not in ids(shop.home(k=60))
    told = shop.home(k=1, explain_missing=["i1"])["missing"]
    assert told == [{"id": "i1", "reason": name, "until_ms": done_ms + 2 * 3_600_000}]
    shop.clock.advance(done_ms + 2 * 3_600_000 - shop.clock.now_ms() - 1)
    assert "i1" not in ids(shop.home(k=60))
    shop.clock.advance(1)
    assert "i1" in ids(shop.home(k=60))


def test_dpp_spreads_what_diversity_weighs(open_shop: OpenShop) -> None:
    def categories(more: str) -> list[str]:
        shop = open_shop("[surfaces.home]\n" + more + SOURCES + "[surfaces.home.sources.new]\n", bundle=False)
        shop.did("click", *[f"i{n}" for n in range(0, 60, 6)], session="others")
        return [category(item_id) for item_id in ids(shop.home(k=6))]

    assert set(categories("")) == {"boots"}
    assert len(set(categories('diversify = "dpp"\ndiversity = 0.8\n'))) == 6


def test_the_explored_item_keeps_to_pins_and_caps(open_shop: OpenShop) -> None:
    declared = """
[surfaces.home]
explore = { slot = 1 }
[surfaces.home.rules.pin.first]
item = "i40"
position = 1
[surfaces.home.rules.cap.brand]
by = "brand"
most = 1
"""
    shop = open_shop(declared + SOURCES)
    for n in range(12):
        reply = shop.home(k=3, request_id=f"r{n}")
        assert ids(reply)[1] == "i40"
        explored = [item for item in reply["items"] if item.get("slot")]
        if explored:
            assert len({brand(item_id) for item_id in ids(reply)}) == 3
            assert explored[0]["position"] == 2
    assert explored


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("[surfaces.home.rules.filter]\nx = \"item.brnd == 'a'\"\n", ["rules.filter.x", "did you mean `item.brand`?"]),
        ('[surfaces.home.rules.boost.x]\nwhere = "context.devise exists"\ntimes = 2\n', ["boost.x.where", "device"]),
        ('[surfaces.home.rules.cap.x]\nby = "brnd"\nmost = 2\n', ["rules.cap.x.by", "did you mean `brand`?"]),
        ("[surfaces.home.rules.bury]\nx = \"item.price > 'a'\"\n", ["rules.bury.x", "is a number"]),
        ('[surfaces.home.rules.mix.x]\nwhere = "item.price >"\n', ["rules.mix.x.where", "a value should stand"]),
        (
            '[surfaces.home.rules.pin.x]\nitem = "i"\nposition = 0\nsince = 2026-01-02T00:00:00Z\n'
            "until = 2026-01-01T00:00:00Z\n",
            ["rules.pin.x", "ends before it begins"],
        ),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(open_shop: OpenShop, declared: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        open_shop(SOURCES + declared, bundle=False)
    assert all(word in str(refused.value) for word in words), refused.value
