"""The generated catalogue: believable items from one seed.

Invariant: the same (seed, count, end_ms) gives the same bytes, and no two items share a title.
Knows nothing of shoppers, pictures or the shard.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from random import Random

import msgspec

from rtp_monolith.demo.taxonomy import COLOURS, DEPARTMENTS, MODELS, SELLERS, Brand, Category, Department

VERSION = 1
DAY_MS = 86_400_000
AGE_DAYS_MAX = 540
NEW_SHARE = 0.07
NEW_DAYS = 12
UNAVAILABLE_SHARE = 0.03
# The end of time when the caller names none: a constant, so that a bare seed already gives the same bytes.
END_MS_DEFAULT = 1_767_225_600_000
# What a bare item lacks; each of the three happens to a third of them.
BARE = (("title", "description"), ("price", "currency"), ("title", "description", "price", "currency", "attributes"))


class Item(msgspec.Struct, frozen=True, omit_defaults=False):
    """One product in the form of `PUT /v1/items`."""

    id: str
    title: str
    description: str
    categories: tuple[str, ...]
    brand: str
    seller: str
    price: float
    currency: str
    available: bool
    created_at: int
    attributes: dict[str, str | list[str]]
    image_url: str


def generate_items(count: int = 3000, *, seed: int = 7, end_ms: int = END_MS_DEFAULT) -> list[Item]:
    """`count` items over all categories, oldest first. Raises ValueError when there are fewer than categories."""
    rng = Random(f"shop-{VERSION}-{seed}")
    plan = _counts(rng, count)
    items = [
        item
        for department, category, wanted in plan
        for item in _category_items(rng, department, category, wanted, end_ms)
    ]
    items.sort(key=lambda item: (item.created_at, item.id))
    return items


def to_ndjson(items: Iterable[Item], *, bare_share: float = 0.0) -> bytes:
    """One item a line, as `rtp import items` and `PUT /v1/items` take them.

    `bare_share` of them lack their text, their price or both: a catalogue as its owner really has it. Which ones
    depends on their ids alone.
    """
    encode = msgspec.json.Encoder(order="deterministic").encode
    return b"".join(encode(_bared(item) if _is_bare(item.id, bare_share) else item) + b"\n" for item in items)


def _is_bare(item_id: str, share: float) -> bool:
    return zlib.crc32(item_id.encode()) < share * 2**32


def _bared(item: Item) -> dict[str, object]:
    missing = BARE[zlib.adler32(item.id.encode()) % len(BARE)]
    return {name: value for name, value in msgspec.structs.asdict(item).items() if name not in missing}


def charm(price: float) -> float:
    """The nearest price a shop would print: 4.49, 18.95, 64.90, 149, 1290."""
    if price < 10:
        return max(0.99, math.floor(price * 2) / 2 + 0.49)
    if price < 50:
        return math.floor(price) + 0.95
    if price < 100:
        return math.floor(price) + 0.9
    if price < 500:
        return float(round(price / 5) * 5 - 1)
    return float(round(price / 10) * 10 - 10)


def _counts(rng: Random, count: int) -> list[tuple[Department, Category, int]]:
    """How many items each category gets: uneven, as shelves are, and summing to `count` exactly."""
    rows = [(department, category) for department in DEPARTMENTS for category in department.categories]
    if count < len(rows):
        raise ValueError(f"a shop needs at least {len(rows)} items, one for each category")
    weights = [math.exp(rng.gauss(0, 0.35)) for _ in rows]
    spare, total = count - len(rows), sum(weights)
    exact = [spare * weight / total for weight in weights]
    wanted = [1 + int(share) for share in exact]
    # The remainder goes to the largest fractions, ties to the earlier category.
    order = sorted(range(len(rows)), key=lambda i: (int(exact[i]) - exact[i], i))
    for i in order[: count - sum(wanted)]:
        wanted[i] += 1
    return [(department, category, wanted[i]) for i, (department, category) in enumerate(rows)]


def _category_items(rng: Random, department: Department, category: Category, wanted: int, end_ms: int) -> list[Item]:
    series = range(1, 2 + (wanted - 1) // (len(department.brands) * len(MODELS)))
    models = [model if n == 1 else f"{model} {n}" for n in series for model in MODELS]
    names = [(brand, model) for brand in department.brands for model in models]
    # A brand uses a model name once in a category, which is what makes the titles distinct.
    return [
        _item(rng, category, brand, model, index, end_ms)
        for index, (brand, model) in enumerate(rng.sample(names, wanted), start=1)
    ]


def _item(rng: Random, category: Category, brand: Brand, model: str, index: int, end_ms: int) -> Item:
    item_id = f"{category.slug}-{index:04d}"
    noun, material = rng.choice(category.nouns), rng.choice(category.materials)
    step = rng.randrange(len(category.styles))
    colour = _colour(rng, brand)
    attributes: dict[str, str | list[str]] = {"color": colour, "material": material, "style": category.styles[step]}
    variant = colour
    size_factor = 1.0
    if category.variant == "size":
        size = rng.randrange(len(category.sizes))
        attributes["size"] = variant = category.sizes[size]
        size_factor = 0.82 + 0.36 * size / max(1, len(category.sizes) - 1)
    elif category.sizes:
        first = rng.randrange(max(1, len(category.sizes) - 2))
        attributes["sizes"] = list(category.sizes[first : first + rng.randint(3, 6)])
    price = category.price * brand.level * size_factor * (0.92 + 0.06 * step)
    price *= math.exp(rng.gauss(0, category.spread * 0.5))
    days = rng.random() * NEW_DAYS if rng.random() < NEW_SHARE else NEW_DAYS + rng.random() ** 1.4 * AGE_DAYS_MAX
    return Item(
        id=item_id,
        title=f"{brand.name} {model} {category.styles[step]} {noun}, {variant}",
        description=_description(rng, category, brand, noun, material, colour),
        categories=(category.path,),
        brand=brand.name,
        seller=SELLERS[0] if rng.random() < 0.55 else rng.choice(SELLERS[1:]),
        price=charm(price),
        currency="EUR",
        available=rng.random() >= UNAVAILABLE_SHARE,
        created_at=end_ms - int(days * DAY_MS),
        attributes=attributes,
        image_url=f"/demo/pictures/{item_id}.svg",
    )


def _colour(rng: Random, brand: Brand) -> str:
    """A brand leans on its own few colours, so a shelf of one maker looks like one maker."""
    names = list(COLOURS)
    if rng.random() < 0.5:
        favourites = Random(f"colours-{brand.name}").sample(names, 4)
        return rng.choice(favourites)
    return rng.choice(names)


def _description(rng: Random, category: Category, brand: Brand, noun: str, material: str, colour: str) -> str:
    promises = rng.sample(category.promises, min(2, len(category.promises)))
    return f"{noun} of {material} in {colour.lower()}. {' '.join(promises)} {brand.creed}"
