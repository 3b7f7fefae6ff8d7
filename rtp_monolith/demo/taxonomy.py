"""What the generated shop sells: departments, categories, brands, colours.

Read from `taxonomy.toml` once. Invariant: a category's `glyph` names a drawing, and category paths are unique.
Knows nothing of single items, shoppers or the shard.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec


class Category(msgspec.Struct, frozen=True):
    """One shelf of the shop; `price` is the median in euro, `spread` the sigma of its logarithm."""

    department: str
    name: str
    glyph: str
    nouns: tuple[str, ...]
    styles: tuple[str, ...]
    materials: tuple[str, ...]
    sizes: tuple[str, ...]
    variant: Literal["size", "color"]
    price: float
    spread: float
    promises: tuple[str, ...]

    @property
    def path(self) -> str:
        return f"{self.department} > {self.name}"

    @property
    def slug(self) -> str:
        return self.name.lower().replace(" & ", "-").replace(" ", "-")


class Brand(msgspec.Struct, frozen=True):
    """A maker: `level` multiplies the price of everything it makes, `creed` closes its descriptions."""

    name: str
    level: float
    creed: str


class Department(msgspec.Struct, frozen=True):
    name: str
    brands: tuple[Brand, ...]
    categories: tuple[Category, ...]


COLOURS: dict[str, str] = {
    "Moss": "#7d8c4a",
    "Sage": "#94ab94",
    "Forest": "#2f6b4f",
    "Teal": "#1f8a8a",
    "Ocean": "#2c6fa3",
    "Sky": "#74b3d8",
    "Navy": "#2b3f66",
    "Lilac": "#a592d0",
    "Plum": "#7b3f6d",
    "Rose": "#d98aa0",
    "Coral": "#ec7762",
    "Brick": "#b5483b",
    "Terracotta": "#c9704a",
    "Mustard": "#dca93a",
    "Sand": "#cdb48c",
    "Cream": "#e6dac2",
    "Stone": "#9a9891",
    "Charcoal": "#454a52",
}

CREEDS = {
    "value": "{brand} keeps it simple and keeps the price honest.",
    "everyday": "{brand} makes things for every day, and for years of them.",
    "craft": "Made in small batches by {brand}.",
    "technical": "{brand} tests every detail before it ships.",
    "premium": "{brand} finishes each piece by hand and repairs it for life.",
}
LEVELS = {"value": 0.62, "everyday": 0.9, "craft": 1.2, "technical": 1.35, "premium": 1.9}


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.split("|") if word)


MODELS = _words(
    "Alta|Arno|Aster|Bergen|Birk|Bryn|Calder|Cove|Dale|Delta|Eiger|Elm|Ember|Fen|Fjord|Flint|Glen|Halden|Harbor|Hazel|"
    "Hollis|Iris|Isla|Juno|Juniper|Kelso|Kite|Lago|Lark|Linden|Loft|Luma|Lyra|Marlo|Meadow|Mira|Moor|Nara|Nico|Nova|"
    "Oda|Olmo|Orla|Otto|Pike|Pine|Quill|Ravn|Reed|Rhea|Rona|Rowan|Saga|Sarek|Selma|Skye|Sol|Sorrel|Tarn|Thea|Tilda|"
    "Tove|Umbra|Vale|Vega|Vik|Wells|Willa|Wren|Yara|Ylva|Zephyr"
)
SELLERS = _words(
    "Lumen Direct|Northgate Goods|Parcel & Pine|Corner Cupboard|Second Harbour|Fieldhouse|Kiosk 21|Maple Row"
)


def _category(department: str, row: dict[str, Any]) -> Category:
    return Category(
        department=department,
        name=row["name"],
        glyph=row["glyph"],
        nouns=_words(row["nouns"]),
        styles=_words(row["styles"]),
        materials=_words(row["materials"]),
        sizes=_words(row["sizes"]),
        variant=row["variant"],
        price=float(row["price"]),
        spread=float(row["spread"]),
        promises=_words(row["promises"]),
    )


def _department(row: dict[str, Any]) -> Department:
    brands = zip(_words(row["brands"]), LEVELS, strict=True)
    return Department(
        name=row["name"],
        brands=tuple(Brand(name, LEVELS[kind], CREEDS[kind].format(brand=name)) for name, kind in brands),
        categories=tuple(_category(row["name"], category) for category in row["category"]),
    )


def _read() -> tuple[Department, ...]:
    text = Path(__file__).with_name("taxonomy.toml").read_text(encoding="utf-8")
    return tuple(_department(row) for row in tomllib.loads(text)["department"])


DEPARTMENTS: tuple[Department, ...] = _read()
CATEGORIES: tuple[Category, ...] = tuple(category for department in DEPARTMENTS for category in department.categories)
GLYPH_OF_PATH: dict[str, str] = {category.path: category.glyph for category in CATEGORIES}
