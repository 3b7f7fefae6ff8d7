"""Text search through the core: against BM25 in plain loops, and what a request finds by its query."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rtp_monolith._native import SurfacePlan

from .catalogue import Shelf

WEIGHTS = {"title": 4, "brand": 3, "description": 1}
K1, B = 1.2, 0.4
TEXT = 1 << 10


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def bm25(items: list[dict[str, str]], words: list[str]) -> list[tuple[str, float]]:
    """Every item with at least one of the words, best first."""
    counts = [
        Counter(word for field, weight in WEIGHTS.items() for word in item.get(field, "").split() * weight)
        for item in items
    ]
    lengths = [sum(each.values()) for each in counts]
    with_text = [length for length in lengths if length]
    scores = [0.0] * len(items)
    for word in words:
        found_in = sum(word in each for each in counts)
        idf = math.log(1 + (len(with_text) - found_in + 0.5) / (found_in + 0.5))
        for at, each in enumerate(counts):
            norm = K1 * (1 - B + B * lengths[at] / (sum(with_text) / len(with_text)))
            scores[at] += idf * each[word] * (K1 + 1) / (each[word] + norm) if each[word] else 0.0
    found = [(item["id"], score) for item, score in zip(items, scores, strict=True) if score > 0]
    return sorted(found, key=lambda pair: -pair[1])


def test_lists_and_scores_are_those_of_plain_loops(shelf: Shelf) -> None:
    rng = np.random.default_rng(1)
    vocabulary = [f"word{'x' * (n % 3)}{n}" for n in range(60)]
    chance = 1 / np.arange(1, 61)
    chance /= chance.sum()

    def text(most: int) -> str:
        return " ".join(rng.choice(vocabulary, rng.integers(0, most), p=chance))

    items = [{"id": f"i{n}", "title": text(6), "brand": text(2), "description": text(20)} for n in range(300)]
    items = [{key: value for key, value in item.items() if value} for item in items]
    shelf.put(*items)
    for _ in range(50):
        words = list(dict.fromkeys(rng.choice(vocabulary, 3, p=chance).tolist()))
        got = shelf.core.search_text(" ".join(words) + " ", 1_000)
        want = dict(bm25(items, words))
        assert {id for id, _ in got} == set(want)
        np.testing.assert_allclose([score for _, score in got], [want[id] for id, _ in got], rtol=1e-4)
        assert all(a >= b for (_, a), (_, b) in pairwise(got))
        assert shelf.core.search_text(" ".join(words) + " ", 7) == got[:7]


def test_items_without_text_or_price_do_no_harm(shelf: Shelf) -> None:
    shelf.put({"id": "bare"}, {"id": "empty", "title": " "}, {"id": "shoe", "title": "Shoe"}, {"id": "p", "price": 3})
    assert [id for id, _ in shelf.core.search_text("shoe", 9)] == ["shoe"]


@pytest.mark.parametrize("query", ["", " ", "\n", "—", "nothing of that kind", "\ud7ff\u0000", "a" * 1_000_000])
def test_a_query_that_says_nothing_finds_nothing(shelf: Shelf, query: str) -> None:
    shelf.put({"id": "shoe", "title": "Shoe"})
    assert shelf.core.search_text(query, 9) == []


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Crème brûlée", "creme BRULEE"),
        ("Беговые кроссовки", "кроссовки"),
        ("東京ラーメン", "ラーメン"),
        ("한국어 책", "한국어"),
        ("حذاء رياضي", "رياضي"),
        ("हिन्दी किताब", "किताब"),
        ("Straßenschuh", "strassen"),
    ],
)
def test_other_scripts(shelf: Shelf, title: str, query: str) -> None:
    shelf.put({"id": "x", "title": title}, {"id": "y", "title": "something else"})
    assert [id for id, _ in shelf.core.search_text(query, 9)] == ["x"]


def test_changes_are_found_at_once_and_what_is_gone_is_not(shelf: Shelf) -> None:
    core = shelf.core
    shelf.put({"id": "a", "title": "red shoe"}, {"id": "b", "title": "red hat"})
    assert core.index_text(1) == 1 and core.index_text(9) == 0
    shelf.put({"id": "c", "title": "red boot"}, {"id": "b", "title": "red hat", "available": False})
    assert [id for id, _ in core.search_text("red", 9)] == ["a", "c"]
    shelf.delete("a")
    shelf.put({"id": "c", "title": "blue boot"})
    assert core.search_text("red", 9) == []
    assert dict(core.stats())["text_items"] == 1


def test_the_source_text_brings_what_matches_the_query(shelf: Shelf) -> None:
    shelf.put(
        {"id": "a", "title": "red running shoe", "price": 10},
        {"id": "b", "title": "red hat", "price": 20},
        {"id": "c", "title": "green tea", "price": 30},
    )
    core = shelf.core
    plan = SurfacePlan(
        "search", [("text", 50, 1.0)], hide_clicked=True, hide_bought=True, diversity=0.0, counts_served=False
    )

    def found(query: str | None, filter: bytes | None = None) -> list[tuple[str, int]]:
        ranked = core.recall(core.ask(plan, None, "s", 2_000, query=query, filter=filter))
        return [(id, sources) for id, _, sources in core.shown(ranked)]

    assert found("red shoe") == [("a", TEXT), ("b", TEXT)]
    assert found("red shoe", b'{"field": "price", "op": "gt", "value": 10}') == [("b", TEXT)]
    assert found(None) == found("") == []
