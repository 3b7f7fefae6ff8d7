from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest

from rtp_monolith.demo.ink import mix, paint, turn
from rtp_monolith.demo.pictures import GLYPHS, emblem, glyph_for, picture
from rtp_monolith.demo.shop import generate_items
from rtp_monolith.demo.taxonomy import CATEGORIES, COLOURS

SVG = "{http://www.w3.org/2000/svg}"
ALLOWED = {SVG + tag for tag in ("svg", "g", "path", "rect", "circle", "ellipse")}


def test_every_category_has_a_drawing_of_its_own() -> None:
    glyphs = [category.glyph for category in CATEGORIES]
    assert len(set(glyphs)) == len(glyphs) == 58
    assert set(glyphs) | {"parcel"} <= GLYPHS.keys()


@pytest.mark.parametrize("name", sorted(GLYPHS))
def test_a_drawing_is_plain_svg_and_its_variations_are_well_formed(name: str) -> None:
    for variation in range(4):
        drawn = GLYPHS[name](paint(COLOURS["Teal"]), variation)
        root = ET.fromstring(f'<svg xmlns="http://www.w3.org/2000/svg">{drawn}</svg>')
        assert {element.tag for element in root.iter()} <= ALLOWED
        assert len(list(root.iter())) >= 4


def test_a_picture_is_the_same_bytes_each_time_and_takes_the_items_colour() -> None:
    item = {"id": "tents-0001", "categories": ["Outdoor > Tents"], "attributes": {"color": "Coral"}}
    assert picture(item) == picture(item)
    assert COLOURS["Coral"] in picture(item)
    assert COLOURS["Coral"] not in picture(item | {"attributes": {"color": "Navy"}})


def test_the_pictures_of_a_shop_are_small_and_nearly_all_different() -> None:
    drawn = [picture(msgspec.to_builtins(item)) for item in generate_items(600)]
    assert max(map(len, drawn)) < 16_000
    assert len(set(drawn)) > 570


def test_nothing_in_a_picture_can_load_or_run() -> None:
    hostile = {"id": '"><script>', "title": "<script>", "categories": ["<b>"], "attributes": {"color": '"/><script>'}}
    drawn = picture(hostile)
    assert "script" not in drawn and "href" not in drawn and "style" not in drawn
    assert ET.fromstring(drawn).tag == SVG + "svg"


@pytest.mark.parametrize("item", [{}, {"id": "x", "attributes": None}, {"id": "x", "categories": "Outdoor > Tents"}])
def test_an_item_the_shop_does_not_know_is_a_parcel(item: dict[str, object]) -> None:
    assert glyph_for(item.get("categories")) == "parcel"
    assert ET.fromstring(picture(item)).tag == SVG + "svg"


def test_emblems_are_named_drawings_only() -> None:
    drawn = emblem("mug")
    assert drawn is not None and ET.fromstring(drawn).attrib["viewBox"] == "0 0 240 240"
    assert emblem("../mug") is None


def test_tones() -> None:
    assert mix("#000000", "#ffffff", 0.5) == "#808080"
    assert turn("#ff0000", 120) == "#00ff00"
    assert paint("#808080").base == "#808080"
