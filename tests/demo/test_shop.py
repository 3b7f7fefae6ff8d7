from __future__ import annotations

import hashlib
import re
from collections import Counter

import msgspec
import pytest

from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT, NEW_DAYS, Item, charm, generate_items, to_ndjson
from rtp_monolith.demo.taxonomy import CATEGORIES, COLOURS, DEPARTMENTS


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return generate_items(3000, seed=7)


def test_one_seed_gives_the_same_bytes(items: list[Item]) -> None:
    again = to_ndjson(generate_items(3000, seed=7))
    assert again == to_ndjson(items)
    assert hashlib.sha256(again).digest() != hashlib.sha256(to_ndjson(generate_items(3000, seed=8))).digest()


def test_twelve_departments_of_four_to_six_categories() -> None:
    assert len(DEPARTMENTS) == 12
    assert {len(department.categories) for department in DEPARTMENTS} <= {4, 5, 6}
    assert len({category.path for category in CATEGORIES}) == len(CATEGORIES) == 58


def test_ids_and_titles_are_distinct_and_of_contract_length(items: list[Item]) -> None:
    assert len(items) == 3000
    assert len({item.id for item in items}) == 3000
    assert len({item.title for item in items}) == 3000
    assert all(re.fullmatch(r"[a-z-]+-\d{4}", item.id) for item in items)
    assert max(len(item.title) for item in items) <= 90


def test_every_category_is_there_and_every_field_is_filled(items: list[Item]) -> None:
    assert Counter(item.categories[0] for item in items).keys() == {category.path for category in CATEGORIES}
    for item in items:
        assert item.title.startswith(item.brand)
        assert item.attributes["color"] in COLOURS
        assert item.description and item.seller and item.currency == "EUR"
        assert item.image_url == f"/demo/pictures/{item.id}.svg"


def test_a_dear_category_is_dearer_and_a_premium_brand_too(items: list[Item]) -> None:
    def median(chosen: list[Item]) -> float:
        return sorted(item.price for item in chosen)[len(chosen) // 2]

    laptops = [item for item in items if item.categories[0] == "Electronics > Laptops"]
    mugs = [item for item in items if item.categories[0] == "Kitchen > Mugs"]
    assert median(mugs) < 30 < 600 < median(laptops)
    outdoor = [item for item in items if item.categories[0].startswith("Outdoor")]
    cheap = [item for item in outdoor if item.brand == "Campion"]
    dear = [item for item in outdoor if item.brand == "Altimont"]
    assert median(dear) > 1.8 * median(cheap)


@pytest.mark.parametrize(
    ("raw", "printed"),
    [(0.2, 0.99), (4.3, 4.49), (4.7, 4.99), (18.2, 18.95), (64.4, 64.9), (151.0, 149.0), (1293.0, 1280.0)],
)
def test_prices_end_as_shops_print_them(raw: float, printed: float) -> None:
    assert charm(raw) == pytest.approx(printed)


def test_some_items_are_new_some_unavailable_none_from_the_future(items: list[Item]) -> None:
    ages = [(END_MS_DEFAULT - item.created_at) / DAY_MS for item in items]
    assert min(ages) >= 0
    assert 0.04 < sum(age <= NEW_DAYS for age in ages) / len(items) < 0.12
    assert 0.01 < sum(not item.available for item in items) / len(items) < 0.06
    assert [item.created_at for item in items] == sorted(item.created_at for item in items)


def test_the_end_moves_the_times_and_nothing_else(items: list[Item]) -> None:
    later = generate_items(3000, seed=7, end_ms=END_MS_DEFAULT + DAY_MS)
    assert [msgspec.structs.replace(item, created_at=item.created_at - DAY_MS) for item in later] == items


def test_ndjson_lines_are_items(items: list[Item]) -> None:
    lines = to_ndjson(items[:3]).splitlines()
    assert [msgspec.json.decode(line, type=Item) for line in lines] == items[:3]


def test_fewer_items_than_categories_are_refused() -> None:
    assert len(generate_items(58)) == 58
    with pytest.raises(ValueError, match="at least 58 items"):
        generate_items(57)


def test_a_large_shop_names_the_second_of_a_model() -> None:
    items = generate_items(25_000)
    assert len({item.id for item in items}) == len({item.title for item in items}) == 25_000
    assert any(" 2 " in item.title for item in items)


def test_bare_items_lack_text_or_price_and_the_others_are_as_before(items: list[Item]) -> None:
    plain, some = to_ndjson(items).splitlines(), to_ndjson(items, bare_share=0.03).splitlines()
    bare = [msgspec.json.decode(line) for line, before in zip(some, plain, strict=True) if line != before]
    assert 0.02 < len(bare) / len(items) < 0.04
    assert {("title" in item, "price" in item) for item in bare} == {(False, True), (True, False), (False, False)}
    assert all(item["id"] and item["categories"] and item["created_at"] for item in bare)
    assert to_ndjson(items, bare_share=1.0).count(b'"title"') < len(items) / 2
