"""Searching in the shop: words find products, are marked where they stand, and the order follows the visitor."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, OpenPage

pytestmark = pytest.mark.browser


def test_words_find_products_and_are_marked(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.search("guitar")
    assert shown.path == "/search?q=guitar"
    found = shown.items("search")
    assert len(found) >= 8
    cards = shown.shelf("search").locator("[data-item]")
    marks = cards.evaluate_all("l => l.map(c => [...c.querySelectorAll('mark')].map(m => m.textContent.toLowerCase()))")
    assert all(any(mark.startswith("guitar") for mark in of_card) for of_card in marks)
    expect(shown.page.locator(".count")).to_contain_text("product")
    expect(shown.page.locator(".counts")).to_contain_text("searched 1")
    shown.back()
    assert shown.path == "/"
    expect(shown.page.locator("#q")).to_have_value("")


def test_results_come_while_typing_and_are_one_step_back(visit: OpenPage) -> None:
    shown = visit(**DESKTOP)
    shown.page.locator("#q").press_sequentially("two words ", delay=60)
    shown.page.locator("[data-view=search] h1", has_text="two words").wait_for()
    expect(shown.page.locator("#q")).to_have_value("two words ")
    expect(shown.page.locator("#q")).to_be_focused()
    assert shown.page.evaluate("history.length") == 3
    shown.back()
    assert shown.path == "/"


def test_what_nobody_sells_is_said_and_something_else_is_shown(visit: OpenPage) -> None:
    shown = visit("search?q=qqxyzzy", **DESKTOP)
    expect(shown.page.locator(".count")).to_have_text("Nothing in the shop says that.")
    expect(shown.shelf("search")).to_be_hidden()
    assert len(shown.items("instead")) == 12
    expect(shown.page.locator("#h-instead")).to_have_text("For you instead")
    expect(shown.page.locator(".surface")).to_have_text("The list of the home surface, 12 items")


def test_the_order_of_results_follows_the_visitor(visit: OpenPage) -> None:
    shown = visit("search?q=steel", **DESKTOP)
    before = [place for _, place in shown.items("search")]
    # What a stranger would have to scroll to: the kind that comes in last.
    liked = max(set(before), key=before.index)
    for item in [item for item, place in shown.items("search") if place == liked][:2]:
        shown.open(item, "search")
        shown.back()
    after = [place for _, place in shown.items("search")]
    assert after.index(liked) < before.index(liked)
    expect(shown.page.locator(".count")).to_contain_text("in your order")


FOLDED = [
    ("Red  Running-Shoes", "shoes", ["Shoes"]),
    ("Crème BRÛLÉE pan", "brulee", ["BRÛLÉE"]),
    ("Straße, Øre", "ore strasse", ["Straße", "Øre"]),
    ("men's l’eau", "mens", ["men's"]),
    ("Tents and a tent", "tent", ["Tents", "tent"]),
    ("Tents and a tent", "tent and", ["and", "tent"]),
    ("A lamp", "lampshade", []),
]


def test_words_match_as_the_shard_matches_them(visit: OpenPage) -> None:
    """Whole words without accents, and what the last word of a query begins."""
    shown = visit(**DESKTOP)
    run = """async cases => {
        const { marked, wordsOf } = await import('/console/matches.js');
        const marks = ([text, query]) => marked(text, wordsOf(query)).parts.filter(part => part.tagName);
        return cases.map(each => marks(each).map(mark => mark.textContent));
    }"""
    assert shown.page.evaluate(run, [list(case) for case in FOLDED]) == [marks for _, _, marks in FOLDED]
