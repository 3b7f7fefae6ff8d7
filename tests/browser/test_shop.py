"""The shop in Chromium: clicks go in, the lists follow, and nothing leaves the machine."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, OpenPage

pytestmark = pytest.mark.browser

STRANGERS_TITLE = "Popular right now"


def test_three_clicks_in_one_category_raise_its_share_without_a_reload(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    before = shown.items()
    assert len(before) == 12
    expect(shown.page.locator("#h-home")).to_have_text(STRANGERS_TITLE)
    shown.follow("#departments .chip", "Music")
    shown.follow("#categories .chip", "Guitars")
    assert {place for _, place in shown.items("category")} == {"Music > Guitars"}
    opened: list[str] = []
    for _ in range(3):
        opened.append(next(item for item, _ in shown.items("category") if item not in opened))
        shown.open(opened[-1], "category")
        shown.back()
    shown.home()
    after = shown.items()
    assert sum(place == "Music > Guitars" for _, place in after) > sum(p == "Music > Guitars" for _, p in before)
    assert not set(opened) & {item for item, _ in after}
    expect(shown.page.locator("#h-home")).to_have_text("For you")
    expect(shown.page.locator(".counts")).to_contain_text("opened 3")
    seen = shown.page.locator("[data-trail] li").evaluate_all("l => l.map(e => e.dataset.item)")
    assert list(dict.fromkeys(seen)) == opened[::-1]
    assert shown.loads == 1


def test_a_stranger_gets_several_shelves_that_share_nothing(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shelves = ["home", "category-0", "category-1", "category-2", "new", "small"]
    for shelf in shelves:
        expect(shown.shelf(shelf)).to_be_visible()
    for shelf in ("product", "cart", "recent"):
        expect(shown.shelf(shelf)).to_be_hidden()
    ids = [item for shelf in shelves for item, _ in shown.items(shelf)]
    assert len(ids) == len(set(ids)) >= 50
    assert len({place.split(" > ")[0] for _, place in shown.items()}) >= 4


def test_one_click_changes_the_next_list_and_the_page_says_why(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    before = [item for item, _ in shown.items()]
    title = shown.shelf("home").locator(".title").nth(2).inner_text()
    shown.open(before[2])
    shown.back()
    after = [item for item, _ in shown.items()]
    fresh = len(set(after) - set(before))
    assert fresh >= 1 and before[2] not in after
    expect(shown.shelf("home").locator("[data-why]")).to_contain_text(f"{fresh} new here")
    expect(shown.shelf("home").locator("[data-why]")).to_contain_text(f"since you opened {title}")
    expect(shown.page.locator("#h-product")).to_have_text(f"Because you looked at {title}")
    change = shown.page.locator("[data-block=change]")
    expect(change).to_contain_text(f"After you opened {title}")
    personal = int(change.locator(".bars b").inner_text())
    common = len(set(after) & set(before))
    assert personal >= 6
    expect(change).to_contain_text(
        f"{personal} of 12 were found through what you did; {common} of 12 stood in the list"
    )


def test_the_panel_shows_the_session_as_the_shard_has_it(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    first = shown.items()[0][0]
    shown.open(first)
    shown.act(lambda: shown.page.get_by_role("button", name="Not for me").click())
    key = shown.page.evaluate("sessionStorage.getItem('northlight.session')")
    state = shown.page.evaluate("key => fetch(`/v1/users/${key}/state`).then(r => r.json())", key)
    done = [(entry["item_id"], entry["event_type"]) for entry in state["sessions"][-1]["items"]]
    assert done == [(first, "click"), (first, "dislike")]
    trail = shown.page.locator("[data-trail] li").evaluate_all("l => l.map(e => [e.dataset.item, e.dataset.type])")
    assert [tuple(step) for step in trail] == done[::-1]


def test_every_item_names_its_sources_and_every_stage_its_time(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.act(lambda: shown.shelf("home").locator(".like").first.click())
    sources = shown.shelf("home").locator("[data-item]").evaluate_all("l => l.map(c => c.dataset.source)")
    assert len(sources) == 12 and all(sources)
    stages = shown.page.locator("[data-block=stages] .legend li")
    assert [re.sub(r"[\d.]+", "", text).strip() for text in stages.all_inner_texts()] == [
        "state", "recall", "prerank", "rank", "rerank", "explore",
    ]  # fmt: skip
    spent = shown.page.locator("[data-figure=click]").inner_text()
    assert re.fullmatch(r"[\d.]+\s*ms", spent)
    expect(shown.page.locator("#announce")).to_contain_text("since you liked")
    shown.shelf("home").locator(".source").first.click()
    reasons = shown.page.locator("#reason li")
    assert reasons.count() == len(sources[0].split())
    expect(shown.page.locator("#reason")).to_contain_text("Place 1 of 12")
    shown.page.keyboard.press("Escape")
    expect(shown.page.locator("#reason")).to_be_hidden()


def test_a_product_has_an_address_of_its_own_and_back_leads_back(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    item, category = shown.items()[7]
    shown.page.mouse.wheel(0, 300)
    shown.page.wait_for_function("() => scrollY > 250")
    shown.open(item)
    assert shown.path == f"/p/{item}"
    assert shown.page.evaluate("scrollY") == 0
    title = shown.page.locator("#product h1").inner_text()
    assert shown.page.title() == f"{title} · Northlight"
    about = [other for other, _ in shown.items("similar")]
    assert len(about) == 12 and item not in about
    assert not set(about) & {other for other, _ in shown.items("more")}
    following = about[0]
    shown.open(following, "similar")
    shown.back()
    expect(shown.page.locator("#product h1")).to_have_text(title)
    shown.back()
    assert shown.path == "/"
    expect(shown.shelf("home")).to_be_visible()
    shown.page.wait_for_function("() => scrollY > 250")
    assert [other for other, _ in shown.items("recent")] == [following, item]
    shown.act(lambda: shown.page.evaluate("history.forward()"))
    expect(shown.page.locator("#product h1")).to_have_text(title)
    crumbs = [text.strip() for text in shown.page.locator("#product .crumbs a").all_inner_texts()]
    assert crumbs == ["Shop", *category.split(" > ")]
    assert shown.loads == 1


def test_a_product_opens_by_its_address(visit: OpenPage) -> None:
    first = visit(**DESKTOP)
    item, category = first.items()[0]
    shown = visit(f"p/{item}", **DESKTOP)
    expect(shown.page.locator("#product h1")).to_be_visible()
    expect(shown.page.locator(".counts")).to_contain_text("opened by link 1")
    assert category in {place for _, place in shown.items("similar")}
    shown.follow("#product .crumbs a", category.split(" > ")[1])
    assert {place for _, place in shown.items("category")} == {category}


def test_the_last_look_is_sent_when_the_page_is_left(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.open(shown.items()[0][0])
    key = shown.page.evaluate("sessionStorage.getItem('northlight.session')")
    shown.page.goto("about:blank")
    state = f"{shown.url}v1/users/{key}/state"
    for _ in range(100):
        if shown.page.request.get(state).json()["counts"].get("dwell") == 1:
            return
        shown.page.wait_for_timeout(50)
    pytest.fail("the shard was not told how long the product was looked at")


def test_an_address_of_nothing_says_so(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    go = "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
    for address in ("/p/nothing-0001", "/c/attic", "/c/outdoor/attic", "/attic"):
        shown.act(lambda address=address: shown.page.evaluate(go, address))
        expect(shown.page.get_by_role("heading", name="There is nothing at this address")).to_be_visible()
    shown.act(lambda: shown.page.get_by_role("link", name="Back to the shop").click())
    expect(shown.shelf("home")).to_be_visible()


def test_a_category_page_shows_more_of_itself(visit: OpenPage) -> None:
    shown = visit("c/outdoor", **DESKTOP)
    first = shown.items("category")
    assert len(first) == 24
    assert {place.split(" > ")[0] for _, place in first} == {"Outdoor"}
    shown.act(lambda: shown.page.get_by_role("button", name="Show more").click())
    assert len(shown.items("category")) == 48
    expect(shown.page.locator("#departments [aria-current=page]")).to_have_text("Outdoor")


def test_the_cart_is_the_shards_and_what_goes_with_it_is_not_in_it(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    chosen: list[str] = []
    for _ in range(2):
        chosen.append(shown.items()[0][0])
        shown.open(chosen[-1])
        shown.act(lambda: shown.page.get_by_role("button", name="Add to cart").click())
        expect(shown.page.locator("[data-in-cart]")).to_be_visible()
        upsell = [other for other, _ in shown.items("with-cart")]
        assert upsell and not set(upsell) & set(chosen)
        shown.home()
    expect(shown.page.locator("#cart-count")).to_have_text("2")
    expect(shown.shelf("cart")).to_be_visible()
    shown.act(lambda: shown.page.locator("#open-cart").click())
    assert shown.path == "/cart"
    lines = shown.page.locator("[data-line]")
    assert lines.evaluate_all("l => l.map(e => e.dataset.line)") == chosen
    upsell = [other for other, _ in shown.items("upsell")]
    assert len(upsell) == 12 and not set(upsell) & set(chosen)
    shown.act(lambda: lines.first.get_by_role("button", name="One more").click())
    expect(shown.page.locator("#cart-count")).to_have_text("3")
    shown.act(lambda: lines.first.get_by_role("button", name="One less").click())
    shown.act(lambda: lines.last.get_by_role("button", name="Remove").click())
    assert lines.evaluate_all("l => l.map(e => e.dataset.line)") == chosen[:1]
    shown.act(lambda: shown.page.get_by_role("button", name="Buy for").click())
    expect(shown.page.locator("#cart")).to_contain_text("Nothing in it yet")
    expect(shown.page.locator("#cart-count")).to_have_text("0")
    shown.home()
    assert chosen[0] not in {other for other, _ in shown.items()}


def test_a_reload_forgets_nothing_and_a_new_visitor_everything(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    first = [item for item, _ in shown.items()]
    shown.open(first[0])
    shown.back()
    before = [item for item, _ in shown.items()]
    shown.page.reload()
    shown.settled("")
    assert [item for item, _ in shown.items("recent")] == first[:1]
    assert len(set(before) & {item for item, _ in shown.items()}) >= 9
    expect(shown.page.locator("#h-home")).to_have_text("For you")
    shown.act(lambda: shown.page.locator("#new-session").click())
    expect(shown.page.locator("[data-block=session]")).not_to_contain_text("opened")
    expect(shown.page.locator("#h-home")).to_have_text(STRANGERS_TITLE)
    expect(shown.shelf("recent")).to_be_hidden()
    assert len(set(first) & {item for item, _ in shown.items()}) >= 6
