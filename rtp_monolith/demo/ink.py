"""Pens and paints for the pictures: SVG elements as text, and the tones made from one colour.

Invariant: numbers are printed the same way everywhere, so that a picture is the same bytes on every machine.
Knows nothing of products.
"""

from __future__ import annotations

import colorsys

import msgspec


class Paint(msgspec.Struct, frozen=True):
    """The tones of one picture; `base` is the item's colour, the rest follow from it."""

    base: str
    dark: str
    deep: str
    light: str
    pale: str
    accent: str
    metal: str = "#c3c8ce"
    steel: str = "#8d949c"
    wood: str = "#c4945f"
    timber: str = "#96683c"
    paper: str = "#fbf6ec"
    ink: str = "#2d3138"
    glow: str = "#ffd97a"
    leaf: str = "#5d9459"


def mix(colour: str, other: str, share: float) -> str:
    """`share` of the way from one `#rrggbb` to the other."""
    pairs = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def turn(colour: str, degrees: float, saturation: float = 1.0) -> str:
    """The colour with its hue turned and its saturation multiplied."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    hue, light, rich = colorsys.rgb_to_hls(red, green, blue)
    rgb = colorsys.hls_to_rgb((hue + degrees / 360) % 1, light, min(1.0, rich * saturation))
    return "#" + "".join(f"{round(part * 255):02x}" for part in rgb)


def paint(base: str) -> Paint:
    return Paint(
        base=base,
        dark=mix(base, "#14202e", 0.26),
        deep=mix(base, "#101a26", 0.5),
        light=mix(base, "#ffffff", 0.3),
        pale=mix(base, "#ffffff", 0.62),
        accent=mix(turn(base, 165, 0.7), "#ffffff", 0.1),
    )


def path(d: str, fill: str) -> str:
    return f'<path d="{d}" fill="{fill}"/>'


def line(d: str, stroke: str, width: float = 5) -> str:
    return (
        f'<path d="{d}" fill="none" stroke="{stroke}" stroke-width="{width:g}" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def disc(x: float, y: float, radius: float, fill: str) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="{fill}"/>'


def oval(x: float, y: float, rx: float, ry: float, fill: str) -> str:
    return f'<ellipse cx="{x:g}" cy="{y:g}" rx="{rx:g}" ry="{ry:g}" fill="{fill}"/>'


def ring(x: float, y: float, radius: float, stroke: str, width: float) -> str:
    return f'<circle cx="{x:g}" cy="{y:g}" r="{radius:g}" fill="none" stroke="{stroke}" stroke-width="{width:g}"/>'


def box(x: float, y: float, width: float, height: float, radius: float, fill: str) -> str:
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" fill="{fill}"/>'


def tilt(shapes: str, degrees: float, x: float = 120, y: float = 120) -> str:
    return f'<g transform="rotate({degrees:g} {x:g} {y:g})">{shapes}</g>'
