"""The shop in Chromium: clicks go in, the lists follow, and nothing leaves the machine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage, Visit

pytestmark = pytest.mark.browser

DESKTOP = {"viewport": {"width": 1440, "height": 1000}}
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def click_three_of(shown: Visit, category: str) -> list[str]:
    """Chooses a category by its chips, opens its first three items there, and goes back to everything."""
    department, name = category.split(" > ")
    shown.act(lambda: shown.page.locator("#departments .chip", has_text=department).click())
    shown.act(lambda: shown.page.locator("#categories .chip", has_text=name).click())
    assert {place for _, place in shown.items()} == {category}
    clicked = []
    for _ in range(3):
        item = shown.items()[0][0]
        clicked.append(item)
        shown.open(item)
    shown.act(lambda: shown.page.locator("#departments .chip", has_text="Everything").click())
    return clicked


def test_three_clicks_in_one_category_raise_its_share_without_a_reload(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    before = shown.items()
    assert len(before) == 12
    clicked = click_three_of(shown, "Music > Guitars")
    after = shown.items()
    assert sum(place == "Music > Guitars" for _, place in after) > sum(p == "Music > Guitars" for _, p in before)
    assert after != before
    assert not set(clicked) & {item for item, _ in after}
    assert shown.loads == 1


def test_the_panel_shows_the_session_as_the_shard_has_it(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    clicked = click_three_of(shown, "Kitchen > Mugs")
    trail = shown.page.locator("[data-trail] li")
    seen = trail.evaluate_all("l => l.map(e => e.dataset.item)")
    assert [item for item in dict.fromkeys(seen) if item in clicked] == clicked[::-1]
    expect(shown.page.locator(".counts")).to_contain_text("clicked 3")
    expect(shown.page.locator("[data-codes]")).to_have_text("no_model")


def test_every_item_names_its_sources_and_every_stage_its_time(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.open(shown.items()[0][0])
    sources = shown.page.locator("[data-shelf=home] [data-item]").evaluate_all("l => l.map(c => c.dataset.source)")
    assert len(sources) == 12 and all(sources)
    stages = shown.page.locator("[data-block=stages] .legend li")
    assert [re.sub(r"[\d.]+", "", text).strip() for text in stages.all_inner_texts()] == [
        "state", "recall", "prerank", "rank", "rerank", "explore",
    ]  # fmt: skip
    spent = shown.page.locator("[data-figure=click]").inner_text()
    assert re.fullmatch(r"[\d.]+\s*ms", spent)
    expect(shown.page.locator("#announce")).to_contain_text("acknowledged in")


def test_a_product_brings_a_shelf_about_it(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    item, _ = shown.items()[2]
    shown.open(item)
    expect(shown.page.locator("#product")).to_be_visible()
    expect(shown.page.locator("[data-shelf=product]")).to_be_visible()
    about = shown.items("product")
    assert about and item not in {other for other, _ in about}
    assert not {other for other, _ in about} & {other for other, _ in shown.items("home")}
    shown.page.keyboard.press("Escape")
    expect(shown.page.locator("#product")).to_be_hidden()


def test_the_cart_is_the_shards_and_buying_empties_it(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    item = shown.items()[0][0]
    shown.open(item)
    shown.act(lambda: shown.page.get_by_role("button", name="Add to cart").click())
    expect(shown.page.locator("#cart-count")).to_have_text("1")
    shown.page.locator("#open-cart").click()
    shown.act(lambda: shown.page.get_by_role("button", name="Buy for").click())
    expect(shown.page.locator("#cart-count")).to_have_text("0")
    assert item not in {other for other, _ in shown.items()}


def test_a_new_visitor_is_unknown_again(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    first = [item for item, _ in shown.items()]
    click_three_of(shown, "Toys > Puzzles")
    shown.act(lambda: shown.page.locator("#new-session").click())
    expect(shown.page.locator("[data-block=session]")).not_to_contain_text("clicked")
    puzzles = sum(place == "Toys > Puzzles" for _, place in shown.items())
    assert puzzles <= 3
    assert len(set(first) & {item for item, _ in shown.items()}) >= 6


def test_the_shop_works_by_keyboard_alone(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.page.locator("[data-shelf=home] .open").first.focus()
    shown.act(lambda: shown.page.keyboard.press("Enter"))
    expect(shown.page.locator("#product")).to_be_visible()


def test_a_phone_has_two_columns_no_sideways_scroll_and_a_drawer(visit: OpenPage, tmp_path: Path) -> None:
    shown = visit(**PHONE)
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    lefts = page.locator("[data-shelf=home] [data-item]").evaluate_all("l => [...new Set(l.map(c => c.offsetLeft))]")
    assert len(lefts) == 2
    shown.open(shown.items()[0][0])
    page.screenshot(path=tmp_path / "phone.png")
    assert (tmp_path / "phone.png").stat().st_size > 20_000
    expect(page.locator("#engine")).to_be_hidden()
    page.locator("#open-engine").click()
    expect(page.locator("#engine")).to_be_visible()
    expect(page.locator("#close-engine")).to_be_focused()
    page.locator("#close-engine").click()
    expect(page.locator("#engine")).to_be_hidden()


def test_calm_visitors_and_dark_rooms_are_served_too(visit: OpenPage) -> None:
    shown = visit(**DESKTOP, reduced_motion="reduce", color_scheme="dark")
    before = shown.items()
    shown.open(before[0][0])
    assert shown.items() != before
    assert shown.page.evaluate("document.getAnimations().length") == 0
