"""The shop for everybody: by keyboard, on a phone, in a dark room, without motion, and with a shard that has less."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import DESKTOP, OpenPage

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 360, "height": 760}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def test_the_shop_works_by_keyboard_alone(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    keys = shown.page.keyboard
    shown.shelf("home").locator(".open").first.focus()
    shown.act(lambda: keys.press("Enter"))
    expect(shown.page.locator("#product h1")).to_be_focused()
    shown.act(lambda: shown.page.get_by_role("button", name="Like", exact=True).press("Enter"))
    expect(shown.page.get_by_role("button", name="Like", exact=True)).to_have_attribute("aria-pressed", "true")
    keys.press("/")
    expect(shown.page.locator("#q")).to_be_focused()
    assert shown.page.locator("#q").input_value() == ""


def test_everything_to_press_has_a_name(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.open(shown.items()[0][0])
    unnamed = shown.page.locator("a, button, input, [role=img]").evaluate_all(
        "l => l.filter(e => e.checkVisibility() && !(e.ariaLabel || e.labels?.length || e.textContent.trim()))"
        ".map(e => e.outerHTML.slice(0, 120))"
    )
    assert unnamed == []
    assert shown.page.locator("h1:visible").count() == 1


def test_a_phone_has_two_columns_no_sideways_scroll_and_a_drawer(visit: OpenPage) -> None:
    shown = visit(**PHONE)
    page = shown.page

    def fits() -> bool:
        return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth && innerWidth === 360"))

    assert fits()
    lefts = shown.shelf("home").locator("[data-item]").evaluate_all("l => [...new Set(l.map(c => c.offsetLeft))]")
    assert len(lefts) == 2
    shown.open(shown.items()[0][0])
    assert fits()
    shown.act(lambda: page.get_by_role("button", name="Add to cart").click())
    shown.act(lambda: page.locator("#open-cart").click())
    assert fits()
    shown.follow("#departments .chip", "Living")
    assert fits()
    shown.search("oak table lamp")
    assert fits()
    expect(page.locator("#engine")).to_be_hidden()
    page.locator("#open-engine").click()
    expect(page.locator("#engine")).to_be_visible()
    expect(page.locator("#close-engine")).to_be_focused()
    assert fits()
    page.keyboard.press("Escape")
    expect(page.locator("#engine")).to_be_hidden()
    expect(page.locator("#open-engine")).to_be_focused()


def test_calm_visitors_and_dark_rooms_are_served_too(visit: OpenPage) -> None:
    shown = visit(**DESKTOP, color_scheme="dark")
    before = shown.items()
    shown.act(lambda: shown.shelf("home").locator(".like").first.click())
    assert shown.items() != before
    assert shown.page.evaluate("document.getAnimations().length") == 0
    ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    assert max(shown.page.evaluate(ground)) < 60


def test_the_panel_folds_away_on_a_wide_screen(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    toggle = shown.page.locator("#open-engine")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    toggle.click()
    expect(shown.page.locator("#engine")).to_be_hidden()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.click()
    expect(shown.page.locator("#engine")).to_be_visible()


def test_a_shard_with_fewer_surfaces_shows_fewer_shelves(visit: OpenPage) -> None:
    """Without `category` and `search` the home surface answers with a filter; what only others know is hidden."""
    shown = visit(**DESKTOP)

    def refuse(route: Route) -> None:
        body: dict[str, Any] = route.request.post_data_json
        if body["surface"] == "home":
            route.continue_()
            return
        error = {"error": {"code": "unknown_surface", "message": "there is no such surface", "field": "surface"}}
        route.fulfill(status=404, json=error)

    shown.page.route("**/v1/recommend", refuse)
    shown.open(shown.items()[0][0])
    expect(shown.shelf("similar")).to_be_hidden()
    expect(shown.shelf("more")).to_be_visible()
    shown.act(lambda: shown.page.get_by_role("button", name="Add to cart").click())
    shown.act(lambda: shown.page.locator("#open-cart").click())
    expect(shown.shelf("upsell")).to_be_hidden()
    expect(shown.shelf("cart-more")).to_be_visible()
    shown.follow("#departments .chip", "Outdoor")
    assert {place.split(" > ")[0] for _, place in shown.items("category")} == {"Outdoor"}
    shown.search("tent")
    assert "Outdoor > Tents" in {place for _, place in shown.items("search")}
    assert shown.shelf("search").locator("mark").count() >= len(shown.items("search"))
    shown.home()
    expect(shown.page.locator("[data-shelf^=category-]:not([hidden])").first).to_be_visible()
    # The browser itself reports a 404, once for each surface: the page does not ask twice.
    refused = [text for text in shown.wrong if "404" in text]
    assert len(refused) == 4
    shown.wrong = [text for text in shown.wrong if text not in refused]


def test_a_shard_that_does_not_answer_is_said_and_tried_again(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    trouble = shown.page.locator("#trouble")
    expect(trouble).to_be_hidden()
    shown.page.route("**/v1/events", lambda route: route.abort())
    shown.shelf("home").locator(".like").first.click()
    expect(trouble).to_contain_text("The shard did not answer")
    shown.page.unroute("**/v1/events")
    shown.act(lambda: shown.shelf("home").locator(".like").nth(1).click())
    expect(trouble).to_be_hidden()
    assert len(shown.wrong) >= 1 and all("ERR_FAILED" in text for text in shown.wrong)
    shown.wrong.clear()


def test_steps_down_are_said_in_plain_words_and_the_model_by_name(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)

    def change(route: Route) -> None:
        reply = route.fetch()
        body = reply.json()
        body["degraded"] = ["ranker_slow", "source_failed:ann"]
        body["model"] = {"name": "demo-shop", "version": "2026-01-05"}
        for at, entry in enumerate(body["items"]):
            entry.pop("slot", None)
            entry["source"] = [name for name in entry["source"] if name != "explore"]
            if at == 4:
                entry |= {"slot": "new", "propensity": 0.0625, "source": ["new", "explore"]}
        route.fulfill(response=reply, json=body)

    shown.page.route("**/v1/recommend", change)
    shown.act(lambda: shown.shelf("home").locator(".like").first.click())
    expect(shown.page.locator("[data-codes]")).to_contain_text("ranker_slow")
    notes = shown.page.locator("[data-block=notes]")
    expect(notes).to_contain_text("Ranked by demo-shop version 2026-01-05")
    expect(notes).to_contain_text("There was no time left for the ranking model")
    expect(notes).to_contain_text("One source did not answer (Like your session)")
    explore = shown.page.locator("[data-block=explore]")
    expect(explore).to_contain_text("place 5, slot new, propensity 0.0625")
    expect(explore).to_contain_text("6.3 %")
    shown.shelf("home").locator(".tried .source").first.click()
    expect(shown.page.locator("#reason")).to_contain_text("This place tries out new items")


def test_every_code_of_the_ladder_has_its_sentence(visit: OpenPage) -> None:
    """The codes that the contract and the stages name; a code without a sentence would get the general one."""
    names = ("encoder", "ann", "recall", "prerank", "ranker", "rerank", "explore")
    stages = [f"{name}_{how}" for name in names for how in ("failed", "slow")]
    others = ["no_model", "no_items", "unknown_items", "decision_not_logged", "stale_position", "source_failed:covis"]
    published = [f"features:{scope}_{how}" for scope in ("user", "item") for how in ("batch", "stale")]
    codes = [*stages, *others, *published]
    shown = visit(**DESKTOP)
    run = """async codes => {
        const { degradedWords } = await import('/console/words.js');
        return [degradedWords('unheard_of'), ...codes.map(degradedWords)];
    }"""
    general, *sentences = shown.page.evaluate(run, codes)
    assert general not in sentences
    assert len(set(sentences)) == len(codes)
