"""After a restart pages go on and lists stay, from the decisions of the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.config import parse
from rtp_monolith.ranking import shown_before
from rtp_monolith.ranking.last_lists import LastLists
from rtp_monolith.ranking.pages import Pages
from rtp_monolith.ranking.shown_before import read_back

from .bundles import make_bundle
from .conftest import Shop, ids
from .test_last_lists import STABLE

MINUTE = 60_000
PINNED = """
[surfaces.home.rules.pin.x]
item = "i59"
position = 4
"""


class Life:
    """A shop that is stopped and started again on its folder, at the moment at which it stopped."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "models").mkdir()
        self.shop: Shop | None = None

    def begin(self, config: str = "") -> Shop:
        now_ms = None
        if self.shop is not None:
            now_ms = self.shop.clock.now_ms()
            self.shop.decisions()
            self.shop.state.close()
        shop = Shop(self.folder / "data", parse(config), stocked=False, models=self.folder / "models")
        if self.shop is None or now_ms is None:
            shop.put(*[shop.item(n) for n in range(60)])
        else:
            shop.clock.advance(now_ms - shop.clock.now_ms())
            shop._events = self.shop._events
        self.shop = shop
        return shop


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    made = Life(tmp_path)
    yield made
    if made.shop is not None:
        made.shop.state.close()


def crowd(shop: Shop, *items: str) -> None:
    for n in range(3):
        shop.did("click", *items, session=f"others{n}")


def test_an_endless_list_goes_on(life: Life) -> None:
    shop = life.begin()
    seen = ids(shop.home(k=20, request_id="one"))
    seen += ids(shop.home(k=15, request_id="two", after="one"))
    shop = life.begin()
    third = shop.home(k=15, request_id="three", after="two")
    shop = life.begin()
    fourth = shop.home(k=20, after="three")
    assert "page_lost" not in third["degraded"] + fourth["degraded"]
    seen += ids(third) + ids(fourth)
    assert sorted(seen) == sorted(f"i{n}" for n in range(60)), "everything once"
    assert shop.home(k=5, after="two", session_id="t")["degraded"].count("page_lost") == 1, "a page is its visitor's"
    assert [decision["after"] for decision in shop.decisions()][:3] == [None, "one", "two"]


def test_a_page_is_kept_as_long_as_without_a_restart(life: Life) -> None:
    shop = life.begin()
    shop.home(k=10, request_id="one")
    shop.clock.advance(29 * MINUTE)
    shop = life.begin()
    assert "page_lost" not in shop.home(k=10, request_id="two", after="one")["degraded"]
    shop.clock.advance(MINUTE)
    assert "page_lost" in shop.home(k=10, after="one")["degraded"], "half an hour after it was made"
    assert "page_lost" not in shop.home(k=10, after="two")["degraded"]


@pytest.mark.parametrize("rules", ["", PINNED])
def test_a_list_stays_place_by_place_with_its_draw(life: Life, rules: str) -> None:
    make_bundle(life.folder / "models")
    shop = life.begin(STABLE + rules)
    crowd(shop, "i1", "i2", "i3")
    shop.did("click", "i7")
    first = shop.home(k=10)
    shop = life.begin(STABLE + rules)
    crowd(shop, "i30", "i31", "i32")
    again = shop.home(k=10, explain=True)
    assert ids(again) == ids(first)
    assert again["items"][0]["explain"]["rules"] == [{"rule": "stability", "effect": "stayed"}]
    propensities = [[item.get("propensity") for item in reply["items"]] for reply in (first, again)]
    assert propensities[1] == [None if p is None else pytest.approx(p) for p in propensities[0]]
    assert propensities[0].index(next(p for p in propensities[0] if p is not None)) == (5 if rules else 4)
    drawn = [decision["explore"] for decision in shop.decisions()]
    assert drawn[0]["pool"] == drawn[1]["pool"] and drawn[0]["check"]["id"] == drawn[1]["check"]["id"]


def test_a_list_stays_for_its_time_counted_from_when_it_was_made(life: Life) -> None:
    shop = life.begin(STABLE)
    crowd(shop, "i1", "i2", "i3")
    first = ids(shop.home(k=10))
    shop.clock.advance(6 * MINUTE)
    crowd(shop, *[f"i{n}" for n in range(40, 50)])
    assert ids(shop.home(k=10)) == first
    shop = life.begin(STABLE)
    shop.clock.advance(3 * MINUTE)
    assert ids(shop.home(k=10)) == first
    shop.clock.advance(MINUTE)
    assert ids(shop.home(k=10)) != first


def test_new_evidence_moves_it_as_far_as_declared(life: Life) -> None:
    shop = life.begin(STABLE)
    crowd(shop, *[f"i{n}" for n in range(20)])
    before = ids(shop.home(k=15))
    shop = life.begin(STABLE)
    shop.did("click", before[3])
    after = ids(shop.home(k=15))
    assert before[3] not in after
    assert all(abs(place - before.index(item)) <= 2 for place, item in enumerate(after) if item in before)


@pytest.mark.parametrize("request_more", [{"k": 9}, {"user_id": "u"}, {"context": {"device": "phone"}}])
def test_another_request_is_another_list(life: Life, request_more: dict[str, Any]) -> None:
    shop = life.begin(STABLE)
    crowd(shop, "i1", "i2", "i3")
    first = ids(shop.home(k=10))
    shop = life.begin(STABLE)
    crowd(shop, *[f"i{n}" for n in range(40, 50)])
    crowd(shop, *[f"i{n}" for n in range(40, 50)])
    assert ids(shop.home(**{"k": 10, **request_more})) != first[: request_more.get("k", 10)]


def test_given_items_are_no_list_to_come_back_to(life: Life) -> None:
    shop = life.begin(STABLE)
    crowd(shop, "i1", "i2", "i3")
    first = ids(shop.home(k=3, request_id="list"))
    shop.rank(["i50", "i51", "i52"], request_id="given")
    shop = life.begin(STABLE)
    assert ids(shop.home(k=3)) == first
    assert "page_lost" in shop.home(k=3, after="given")["degraded"]


def test_what_comes_back_is_bounded(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = life.begin()
    for n in range(9):
        shop.clock.advance(MINUTE)
        shop.home(k=3, session_id=f"s{n}", request_id=f"r{n}")
    shop.decisions()
    state, surfaces = shop.state, list(shop.models.surfaces.values())

    def read(keep_ms: float, requests_max: int, lists_max: int) -> tuple[int, Pages, LastLists]:
        pages = Pages(shop.clock, requests_max=requests_max, keep_ms=keep_ms)
        last = LastLists(lists_max)
        return read_back(state.core, state.log, shop.clock, pages, last, surfaces), pages, last

    count, pages, last = read(30 * MINUTE, 4, 3)
    assert (count, len(pages), list(last._kept)) == (9, 4, [("home", f"s{n}", True) for n in (6, 7, 8)])
    assert [kept.made_ms for kept in last._kept.values()][-1] == shop.clock.now_ms()
    assert read(5 * MINUTE, 100, 100)[0] == 6, "and no older than pages and lists are kept"
    monkeypatch.setattr(shown_before, "CHUNK_BYTES", 1 << 8)
    assert read(30 * MINUTE, 100, 100)[0] == 9
    monkeypatch.setattr(shown_before, "READ_BYTES", 1 << 8)
    count, pages, last = read(30 * MINUTE, 100, 100)
    assert 0 < count < 9 and list(last._kept)[-1] == ("home", "s8", True), "the end of the log only"
