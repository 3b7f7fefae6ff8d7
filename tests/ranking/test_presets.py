"""The configurations to start from, each with a small catalogue of its domain: every surface answers, and does what its
file says of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.cli.init import preset_text
from rtp_monolith.config import parse

from .conftest import NOON, Shop, ids

HOUR = 3_600_000
Open = Callable[[str], Shop]

KINDS = ("tents", "stoves", "boots", "lamps")
GENRES = ("crime", "comedy", "nature", "drama")
SECTIONS = ("politics", "sports", "science", "culture")


def product(n: int) -> dict[str, object]:
    kind = KINDS[n % 4]
    return {
        "id": f"{kind}-{n}",
        "title": f"{kind} number {n}",
        "categories": [f"outdoor > {kind}"],
        "brand": f"brand{n % 5}",
        "seller": f"seller{n % 7}",
        "price": 400 if n % 9 == 8 else 20 + n,
        "attributes": {"margin": 0.3},
    }


def title(n: int) -> dict[str, object]:
    genre = GENRES[n % 4]
    return {
        "id": f"{genre}-{n}",
        "title": f"a {genre} {n}",
        "categories": [genre],
        "brand": f"series{n % 12}",
        "attributes": {"minutes": 40 + n, "language": "en"},
    }


def story(n: int) -> dict[str, object]:
    section = SECTIONS[n % 4]
    return {
        "id": f"{section}-{n}",
        "title": f"{section} story {n}",
        "categories": [section],
        "brand": f"author{n % 6}",
        "created_at": NOON - n * 2 * HOUR,
        "attributes": {"breaking": n == 1, "opinion": n % 3 == 0},
    }


ITEMS = {"shop": product, "streaming": title, "news": story}
CONTEXTS: dict[str, dict[str, dict[str, Any]]] = {
    "shop": {
        "category": {"category": "outdoor > boots"},
        "search": {"query": "lamps"},
        "product_similar": {"item_id": "tents-0"},
        "product_complementary": {"item_id": "tents-0"},
        "cart": {"cart": ["tents-0", "boots-2"]},
    },
    "streaming": {
        "genre": {"category": "comedy"},
        "search": {"query": "nature"},
        "next": {"item_id": "crime-0"},
    },
    "news": {
        "section": {"category": "sports"},
        "search": {"query": "science"},
        "article": {"item_id": "politics-0"},
    },
}


def kind(item_id: str) -> str:
    return item_id.split("-")[0]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    shops: list[Shop] = []

    def open_one(name: str) -> Shop:
        shop = Shop(tmp_path / name, parse(preset_text(name), name), stocked=False)
        shops.append(shop)
        shop.put(*[ITEMS[name](n) for n in range(60)])
        return shop

    yield open_one
    for shop in shops:
        shop.state.close()


def ask(shop: Shop, surface: str, **request: Any) -> dict[str, Any]:
    preset = next(name for name, make in ITEMS.items() if surface in CONTEXTS[name] and shop.config.surfaces[surface])
    return shop.home(surface=surface, **{"context": CONTEXTS[preset][surface], **request})


@pytest.mark.parametrize("name", list(ITEMS))
def test_every_surface_answers_from_the_first_visit_on(opened: Open, name: str) -> None:
    shop = opened(name)
    for surface, declared in shop.config.surfaces.items():
        context = CONTEXTS[name].get(surface, {})
        for user in (None, "ada"):
            reply = shop.home(surface=surface, context={"country": "de", **context}, user_id=user)
            assert reply["degraded"] == ["no_model"], (surface, reply)
            least = 5 if declared.within or "recent" in declared.rules.filter else min(declared.k, 40)
            assert len(set(ids(reply))) == len(reply["items"]) >= least or surface == "notification", surface
            assert ("send" in reply) == (surface == "notification")
        named = {context.get("item_id"), *context.get("cart", [])}
        assert not named & set(ids(reply)), "what the request is about is not in its list"


def test_a_click_on_one_surface_changes_the_others(opened: Open) -> None:
    shop = opened("shop")
    for other in range(5):
        shop.did("click", "lamps-3", "lamps-7", "lamps-11", session=f"o{other}")
        shop.did("click", "boots-2", "boots-6", session=f"p{other}")
    before = {
        name: ids(shop.home(surface=name, context=CONTEXTS["shop"].get(name, {}))) for name in shop.config.surfaces
    }
    answer = shop.home(surface="search", context={"query": "lamps"})
    shop.did("click", "lamps-3", request_id=answer["request_id"])
    for name in ("home", "notification", "viewed"):
        after = ids(shop.home(surface=name))
        assert after != before[name], name
    assert ids(shop.home(surface="viewed"))[0] == "lamps-3"
    assert "lamps-3" not in ids(shop.home(surface="home"))
    assert kind(ids(shop.home(surface="home"))[0]) == "lamps"


def test_a_product_page_shows_what_is_instead_of_it_and_what_goes_with_it(opened: Open) -> None:
    shop = opened("shop")
    for n in range(4):
        shop.did("click", "tents-0", "tents-4", "tents-8", session=f"look{n}")
        shop.did("add_to_cart", "tents-0", "stoves-1", session=f"buy{n}")
        shop.did("add_to_cart", "tents-0", "tents-12", session=f"two{n}")
    similar = ids(ask(shop, "product_similar"))
    assert Counter(map(kind, similar))["tents"] == 12
    assert set(similar[:3]) & {"tents-4", "tents-8"}
    complementary = ids(ask(shop, "product_complementary"))
    assert complementary[0] == "stoves-1"
    assert "tents" not in map(kind, complementary), "bought together, but of the same kind"


def test_a_cart_is_sold_what_goes_with_all_of_it_and_costs_less(opened: Open) -> None:
    shop = opened("shop")
    for n in range(4):
        shop.did("add_to_cart", "tents-0", "stoves-1", session=f"a{n}")
        shop.did("add_to_cart", "boots-2", "lamps-3", session=f"b{n}")
        shop.did("add_to_cart", "boots-2", "stoves-17", session=f"c{n}")
    reply = ids(ask(shop, "cart"))
    assert set(reply[:2]) == {"stoves-1", "lamps-3"}, "stoves-17 costs 400"
    assert not {"tents", "boots"} & {kind(item_id) for item_id in reply[:3]}
    shop.did("add_to_cart", "tents-0", "boots-2", session="own")
    own = ids(shop.home(surface="cart", session_id="own"))
    assert set(own[:2]) == {"stoves-1", "lamps-3"}
    assert not {"tents-0", "boots-2"} & set(own)


def test_two_skips_and_the_next_list_is_of_something_else(opened: Open) -> None:
    shop = opened("streaming")
    for n in range(6):
        shop.did("view", "crime-0", f"crime-{4 * n + 4}", f"crime-{4 * n + 8}", "comedy-1", session=f"o{n}")
    shop.did("view", "crime-0")

    def share() -> float:
        found = [kind(item_id) for item_id in ids(ask(shop, "next", context={"item_id": "crime-0"}))]
        return found.count("crime") / len(found)

    before = share()
    assert before >= 0.6
    listed = ids(ask(shop, "next", context={"item_id": "crime-0"}))
    first, second = [item_id for item_id in listed if kind(item_id) == "crime"][:2]
    shop.did("skip", first, second)
    after = share()
    assert after <= before / 2
    assert first not in ids(ask(shop, "next"))
    shop.clock.advance(3 * HOUR)
    assert share() > after


def test_what_was_begun_goes_on_and_what_was_finished_does_not_come_again(opened: Open) -> None:
    shop = opened("streaming")
    shop.did("view", "drama-3", "nature-2", "comedy-1")
    shop.did("finished", "nature-2")
    goes_on = shop.home(surface="continue")
    assert [item["id"] for item in goes_on["items"] if "history" in item["source"]] == ["comedy-1", "drama-3"]
    assert ids(goes_on)[:2] == ["comedy-1", "drama-3"]
    home = ids(shop.home(surface="home"))
    assert "nature-2" not in home and {"comedy-1", "drama-3"} <= set(home)
    assert kind(home[0]) == "comedy" or "nature" in [kind(item_id) for item_id in home[:8]]
    assert "nature-2" not in ids(shop.home(surface="genre", context={"category": "nature"}))


def test_news_are_new(opened: Open) -> None:
    shop = opened("news")
    front = ids(shop.home(surface="front"))
    assert front[0] == "sports-1", "breaking"
    ages = [int(item_id.split("-")[1]) * 2 for item_id in front]
    assert max(ages) < 72 and sum(ages[:10]) < sum(ages[-10:])
    opinions = [n for n in (int(item_id.split("-")[1]) for item_id in front) if n % 3 == 0]
    assert len(opinions) <= 0.34 * len(front)
    assert max(Counter(map(kind, front[:10])).values()) <= 4
    shop.did("click", front[1])
    assert front[1] not in ids(shop.home(surface="front")), "what was read is read"
    shop.clock.advance(60 * HOUR)
    later = ids(shop.home(surface="front", session_id="later"))
    assert later and max(int(item_id.split("-")[1]) for item_id in later) < 6
    assert len(ids(shop.home(surface="search", context={"query": "science"}))) == 20, "the archive is searched"


@pytest.mark.parametrize("name", list(ITEMS))
def test_notifications_wait_for_the_day(opened: Open, name: str) -> None:
    shop = opened(name)
    for n in range(30):
        ids_now = [str(ITEMS[name](n)["id"]) for n in (0, 1)]
        shop.did("impression", *ids_now, session=f"v{n}")
        shop.did("click", *ids_now, session=f"v{n}")
    at_noon = shop.home(surface="notification", user_id="ada", context={"country": "de"})
    assert at_noon["send"]["send"] is True and at_noon["send"]["score"] > 0.1
    again = shop.home(surface="notification", user_id="ada", context={"country": "de"})["send"]
    assert again["reason"] in ("too_many", "too_soon") and again["next_ms"] >= shop.clock.now_ms() + 2 * HOUR
    shop.clock.advance(12 * HOUR)
    shop.put({**ITEMS[name](0), "created_at": shop.clock.now_ms()})
    night = shop.home(surface="notification", user_id="bob", context={"country": "de"})["send"]
    assert night["reason"] == "quiet_time"
