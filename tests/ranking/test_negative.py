"""Refusals: the very next list moves away from what was skipped, and comes back to it with time."""

from __future__ import annotations

from typing import Any

import pytest

from rtp_monolith.config import parse
from rtp_monolith.errors import ConfigError
from rtp_monolith.state.surface import surface_plan

from .conftest import CATEGORIES, OpenShop, Shop, ids

NEXT = """
[surfaces.home]
k = 12
seen = "allow"
{more}
[surfaces.home.sources]
same_category = {{ weight = 0.5 }}
popular = {{ weight = 1.0 }}
new = {{ weight = 0.3 }}
catalogue = {{}}
[surfaces.home.negative]
{negative}
"""


def declared(negative: str = "", more: str = "") -> str:
    return NEXT.format(negative=negative, more=more)


def share(reply: dict[str, Any], category: str) -> float:
    found = [CATEGORIES[int(item_id[1:]) % 6] for item_id in ids(reply)]
    return found.count(category) / len(found)


def favourites(shop: Shop) -> None:
    """Boots are what everybody watches, hats come next."""
    shop.did("click", *[f"i{n}" for n in range(0, 48, 6)], *[f"i{n}" for n in range(0, 24, 6)], session="others")
    shop.did("click", *[f"i{n}" for n in range(1, 25, 6)], session="others")


@pytest.mark.parametrize("bundle", [False, True])
def test_two_skips_of_a_genre_move_the_next_list_away_from_it(open_shop: OpenShop, bundle: bool) -> None:
    shop = open_shop(declared("half_life = '30m'"), bundle=bundle)
    favourites(shop)
    before = share(shop.home(), "boots")
    assert before >= 0.25
    first, second = [item_id for item_id in ids(shop.home()) if int(item_id[1:]) % 6 == 0][:2]
    shop.did("view", first)
    shop.did("skip", first)
    shop.did("skip", second)
    reply = shop.home(explain=True)
    assert not {first, second} & set(ids(reply)), "what was skipped is gone at once"
    assert share(reply, "boots") <= before - 0.2
    told = shop.home(explain_missing=[first], k=1)["missing"]
    assert told == [{"id": first, "reason": "declined"}]
    shop.clock.advance(6 * 3_600_000)
    assert share(shop.home(), "boots") > share(reply, "boots"), "refusals fade"


def test_what_was_done_to_a_score_is_told(open_shop: OpenShop) -> None:
    shop = open_shop(declared("events = { skip = 1.0 }", more="rank = 'off'"), bundle=False)
    favourites(shop)
    shop.did("skip", "i6")
    reply = shop.home(explain=True, k=50)
    boot = next(item for item in reply["items"] if item["id"] == "i12")
    (rule,) = boot["explain"]["rules"]
    # Of one category and another brand: eight of sixteen that both say.
    assert (rule["rule"], rule["effect"]) == ("negative", "lowered") and rule["share"] == pytest.approx(0.5)
    hat = next(item for item in reply["items"] if item["id"] == "i1")
    assert hat["explain"]["rules"] == [] or hat["explain"]["rules"][0]["share"] < rule["share"]


def test_a_genre_that_is_nine_tenths_of_the_list_goes_behind_the_rest(open_shop: OpenShop) -> None:
    """Everybody watches boots, nobody the two hats: after two skips of boots the hats are first all the same."""
    shop = open_shop(declared("events = { skip = 0.9 }", more="rank = 'off'\ndiversity = 0.0"), bundle=False)
    boots, hats = [f"boot{n}" for n in range(18)], ["hat0", "hat1"]
    shop.put(*[{"id": f"i{n}", "available": False} for n in range(60)])
    shop.put(
        *[{"id": id, "categories": ["boots"]} for id in boots], *[{"id": id, "categories": ["hats"]} for id in hats]
    )
    for n in range(6):
        shop.did("click", *boots, session=f"others{n}")
    before = ids(shop.home(k=20))
    assert set(before[-2:]) == set(hats)
    shop.did("skip", boots[0])
    shop.did("skip", boots[1])
    after = ids(shop.home(k=20))
    assert set(after[:2]) == set(hats) and set(after[2:]) == set(boots[2:])
    kept = [id for id in before if id in after[2:]]
    assert after[2:] == kept, "among themselves the boots stand as before"


def test_a_list_that_stays_does_not_stay_after_a_skip(open_shop: OpenShop) -> None:
    shop = open_shop(declared(more="stability = { moves_max = 1 }"), bundle=False)
    favourites(shop)
    first = ids(shop.home())
    assert ids(shop.home()) == first
    shop.did("skip", first[0], first[1])
    assert not set(first[:2]) & set(ids(shop.home()))


def test_a_view_left_at_once_is_a_refusal_where_that_is_declared(open_shop: OpenShop) -> None:
    shops = [open_shop(declared(more), bundle=False) for more in ("quick_view_ms = 3000", "")]
    for shop, gone in zip(shops, (True, False), strict=True):
        favourites(shop)
        shop.did("view", "i0")
        shop.did("dwell", "i0", props={"dwell_ms": "900"})
        assert ("i0" not in ids(shop.home())) is gone


def test_hidden_for_a_while_and_taken_back_by_a_like(open_shop: OpenShop) -> None:
    own = "[events]\ncustom = ['not_for_me']\n"
    shop = open_shop(own + declared("hide = '2h'\nevents = { dislike = 1.0, not_for_me = 0.5 }"), bundle=False)
    favourites(shop)
    shop.did("skip", "i0")
    assert "i0" in ids(shop.home()), "a skip is no refusal here"
    shop.did("not_for_me", "i0")
    at = shop.clock.now_ms()
    told = shop.home(explain_missing=["i0"], k=1)["missing"]
    assert told == [{"id": "i0", "reason": "declined", "until_ms": at + 2 * 3_600_000}]
    shop.did("like", "i0")
    assert "i0" in ids(shop.home())
    shop.did("dislike", "i0")
    assert "i0" not in ids(shop.home(k=60))
    shop.clock.advance(2 * 3_600_000)
    assert "i0" in ids(shop.home(k=60))


def test_what_is_done_with_is_hidden_and_still_liked(open_shop: OpenShop) -> None:
    finished = "[events]\ncustom = ['finished']\n" + declared("events = { skip = 0.8, finished = 0 }")
    shop = open_shop(finished, bundle=False)
    shop.did("view", "i0")
    shop.did("finished", "i0")
    reply = shop.home(k=8)
    assert "i0" not in ids(reply)
    assert share(reply, "boots") == 1.0, "more of what was watched to its end"
    shop.did("view", "i2")
    shop.did("skip", "i2")
    assert share(shop.home(k=8), "boots") == 1.0, "what was skipped is no wish"


def test_refusals_of_one_visitor_are_not_those_of_another(open_shop: OpenShop) -> None:
    shop = open_shop(declared(), bundle=False)
    favourites(shop)
    before = ids(shop.home(session_id="other"))
    shop.did("skip", *before[:3])
    assert ids(shop.home(session_id="other")) == before


@pytest.mark.parametrize(
    ("negative", "word"),
    [
        ("events = { skipp = 1 }", "did you mean `skip`"),
        ("events = { click = 1 }", "is no refusal"),
        ("half_life = '0s'", "half_life: '0s' is no time"),
        ("hide = 'exlude'", "did you mean `exclude`"),
        ("events = { skip = 2 }", "negative.events"),
        ("events = {}", "events"),
    ],
)
def test_what_means_nothing_is_refused(negative: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        surface_plan(parse(declared(negative)), "home")
