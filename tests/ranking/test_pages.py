"""Pages go on behind what was shown, and say when they cannot."""

from __future__ import annotations

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.ranking.pages import FIRST, ITEMS_MAX, Page, Pages
from rtp_monolith.records import RecommendRequest

from .conftest import Shop, ids


def ask(**more: str) -> RecommendRequest:
    return RecommendRequest(**{"surface": "home", "session_id": "s", **more})  # type: ignore[arg-type]


def test_pages_after_one_another_show_everything_once(shop: Shop) -> None:
    seen: list[str] = []
    reply = shop.home(k=25)
    while found := ids(reply):
        seen += found
        shop.did("click", "i3", session="others")
        reply = shop.home(k=25, after=reply["request_id"])
        assert reply["degraded"] == ["no_model"]
    assert sorted(seen) == sorted(f"i{n}" for n in range(60))


def test_the_same_request_id_again_is_the_same_call(shop: Shop) -> None:
    first = shop.home(k=20, request_id="mine")
    assert ids(shop.home(k=20, request_id="mine")) == ids(first)


def test_a_page_that_is_asked_for_again_is_the_same_page(shop: Shop) -> None:
    first = shop.home(k=10, request_id="one")
    second = shop.home(k=10, request_id="two", after="one")
    again = shop.home(k=10, request_id="again", after="one")
    assert ids(second) == ids(again)
    assert not set(ids(first)) & set(ids(second))


@pytest.mark.parametrize("other", [{"session_id": "t"}, {"user_id": "u"}, {"surface": "product"}])
def test_a_page_is_of_one_visitor_and_surface(shop: Shop, other: dict[str, str]) -> None:
    first = shop.home(k=10, request_id="one")
    reply = shop.home(**{"k": 10, "after": "one", **other})
    assert reply["degraded"] == ["no_model", "page_lost"]
    assert set(ids(reply)) & set(ids(first)), "it begins again"
    assert "page_lost" not in shop.home(**{"k": 10, "request_id": "one", **other})["degraded"]


def test_what_was_shown_before_is_told(shop: Shop) -> None:
    first = ids(shop.home(k=10, request_id="one"))
    told = shop.home(k=10, after="one", explain_missing=[first[0]])["missing"]
    assert told == [{"id": first[0], "reason": "shown_before"}]


def test_pages_are_forgotten_after_their_time() -> None:
    clock = ManualClock(0)
    pages = Pages(clock, requests_max=10, keep_ms=60_000)
    pages.keep(ask(), "r", FIRST, ["a", "b"])
    clock.advance(59_999)
    assert pages.before(ask(after="r")) == Page(["a", "b"])
    clock.advance(1)
    assert pages.before(ask(after="r")) == Page(lost=True)
    assert pages.before(ask(request_id="r")) == pages.before(ask()) == FIRST


def test_what_is_kept_is_bounded() -> None:
    pages = Pages(ManualClock(0), requests_max=3, keep_ms=60_000)
    for n in range(9):
        pages.keep(ask(), f"r{n}", FIRST, [f"i{n}"])
    assert len(pages) == 3
    assert pages.before(ask(after="r5")).lost
    assert pages.before(ask(after="r6")) == Page(["i6"])
    many = [f"i{n}" for n in range(ITEMS_MAX)]
    pages.keep(ask(), "long", Page(many), ["last"])
    assert pages.before(ask(after="long")) == Page([*many[1:], "last"], lost=True)
    pages.keep(ask(), "none", FIRST, [])
    assert pages.before(ask(after="none")) == FIRST
