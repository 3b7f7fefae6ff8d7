"""A drawn picture for an item: its category's glyph in its own colour, on a quiet background.

Invariant: the same item gives the same SVG, with no style sheet, script or address in it.
Knows nothing of HTTP or of where items are kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

from rtp_monolith.demo import glyphs_home, glyphs_play, glyphs_wear
from rtp_monolith.demo.ink import Paint, disc, mix, oval, paint, path, turn
from rtp_monolith.demo.taxonomy import CATEGORIES, COLOURS, GLYPH_OF_PATH

FALLBACK_COLOUR = "#9a9891"

GLYPHS: dict[str, Callable[[Paint, int], str]] = {
    name: getattr(module, name)
    for module in (glyphs_home, glyphs_wear, glyphs_play)
    for name in {category.glyph for category in CATEGORIES} | {"parcel"}
    if hasattr(module, name)
}


def glyph_for(categories: object) -> str:
    """The drawing for a list of category paths; a parcel for what the shop does not know."""
    if isinstance(categories, list | tuple):
        for path_ in categories:
            if path_ in GLYPH_OF_PATH:
                return GLYPH_OF_PATH[path_]
    return "parcel"


def picture(item: Mapping[str, Any]) -> str:
    """SVG text for an item in the form of `GET /v1/items/{id}`; unknown categories and colours are drawn too."""
    seed = zlib.crc32(str(item.get("id", "")).encode())
    attributes = item.get("attributes")
    colour = attributes.get("color") if isinstance(attributes, Mapping) else None
    base = COLOURS.get(colour, FALLBACK_COLOUR) if isinstance(colour, str) else FALLBACK_COLOUR
    tones = paint(base)
    drawing = GLYPHS[glyph_for(item.get("categories"))](tones, seed % 4)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="18 16 284 284" role="img">'
        f"{_background(base, seed >> 3)}"
        f'<ellipse cx="160" cy="242" rx="92" ry="12" fill="{mix(base, "#10151c", 0.6)}" opacity=".16"/>'
        f'<g transform="translate(40 40)">{drawing}</g></svg>'
    )


def emblem(glyph: str) -> str | None:
    """The bare drawing of a glyph, for a button; None for a name that is not drawn."""
    draw = GLYPHS.get(glyph)
    if draw is None:
        return None
    colour = list(COLOURS.values())[zlib.crc32(glyph.encode()) % len(COLOURS)]
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 240 240">{draw(paint(colour), 0)}</svg>'


def _background(base: str, seed: int) -> str:
    """A pale field and one shape in it, so that a shelf does not look stamped."""
    field = mix(turn(base, (-24, 0, 28, 150)[seed % 4], 0.7), "#ffffff", 0.8)
    shape = mix(field, "#ffffff", 0.55)
    floor = mix(field, base, 0.16)
    drawn = (
        disc(160, 150, 118, shape),
        path("M52 244 V150 a108 108 0 0 1 216 0 V244 Z", shape),
        oval(160, 168, 138, 96, shape),
        disc(218, 104, 72, shape) + disc(104, 178, 86, shape),
    )[(seed >> 2) % 4]
    return (
        f'<rect width="320" height="320" fill="{field}"/>{drawn}<rect y="244" width="320" height="76" fill="{floor}"/>'
    )
