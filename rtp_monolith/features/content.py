"""What is said of an item, as numbers that a content model reads: hashed words, letter triples, categories, brand,
attributes, price, and pairs of these.

A token is a row of the model's table: CRC-32 of its text, seeded, modulo the table's size (the hashing trick,
Weinberger et al., ICML 2009; letter n-grams as in Bojanowski et al., TACL 2017). Row 0 is nothing. Invariant: this is
the one place where items become tokens, for training and for serving, and the tokens of an item depend on its fields
and the number of rows alone, in every process; `fingerprint` says so to a bundle. It does not know what learns from
them.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

SEED = 0x52_54_50
FIELDS = ("title", "title_letters", "description", "categories", "brand", "attributes", "price", "pairs")
TOKENS_MAX = 256
"""Of an item; longer texts are read so far."""
WORDS_MAX = 64
"""Of a title or a description each, adjacent words beside them."""
LETTERS = 3
PAIRED_MAX = 8
"""Facts of an item that are paired with each other."""
WORD = re.compile(r"[^\W_]+")
ROWS_MIN, ROWS_MAX = 256, 1 << 20


class Described(msgspec.Struct, frozen=True):
    """The fields of an item that are read; what else it has is passed over."""

    title: str | None = None
    description: str | None = None
    categories: list[str] = []
    brand: str | None = None
    price: float | None = None
    attributes: dict[str, str | float | bool | list[str]] = {}


class Bags(NamedTuple):
    """Tokens of items side by side: `tokens` int64, `weights` float32 and `fields` int8, all [items, longest ≥ 1],
    right-padded with token 0 of weight 0. The weights of a field's tokens are 1 / √(how many they are)."""

    tokens: NDArray[np.int64]
    weights: NDArray[np.float32]
    fields: NDArray[np.int8]


def bags(items: Sequence[Described], rows: int) -> Bags:
    """The items' tokens for a table of `rows` rows, row 0 among them."""
    found = [_hashed(texts_of(item), rows) for item in items]
    longest = max([1, *(len(own) for own, _ in found)])
    shape = (len(items), longest)
    made = Bags(np.zeros(shape, np.int64), np.zeros(shape, np.float32), np.zeros(shape, np.int8))
    for at, (tokens, fields) in enumerate(found):
        if tokens:
            own = np.array(fields, np.int8)
            made.tokens[at, : len(tokens)] = tokens
            made.fields[at, : len(tokens)] = own
            made.weights[at, : len(tokens)] = np.bincount(own, minlength=len(FIELDS))[own] ** -0.5
    return made


def texts_of(item: Described) -> list[list[str]]:
    """The texts behind an item's tokens by field, each field's without repeats."""
    title, said = _words(item.title), _words(item.description)
    levels = [path for each in item.categories for path in _levels(each)]
    attributes = [text for name, value in sorted(item.attributes.items()) for text in _values(name, value)]
    brand = [item.brand] if item.brand else []
    leaves = [f"c{path}" for path in item.categories[:2]]
    facts = [*leaves, *(f"b{each}" for each in brand), *(f"a{each}" for each in attributes)][:PAIRED_MAX]
    fields = [
        [*title, *(f"{one} {other}" for one, other in pairwise(title))],
        [triple for word in title for triple in _letters(word)],
        said,
        levels,
        brand,
        attributes,
        _prices(item.price),
        [f"{one}\x1f{other}" for one, other in combinations(sorted(facts), 2)],
    ]
    return [list(dict.fromkeys(own)) for own in fields]


def _hashed(texts: list[list[str]], rows: int) -> tuple[list[int], list[int]]:
    """Tokens and their fields, at most TOKENS_MAX; of what is too long the texts give way to the facts."""
    room = TOKENS_MAX - sum(len(own) for own in texts[3:])
    tokens: list[int] = []
    fields: list[int] = []
    for field, own in enumerate(texts):
        if field < 3:
            own = own[: max(0, room)]
            room -= len(own)
        seed = SEED + field
        tokens.extend(1 + zlib.crc32(text.encode("utf-8", "surrogatepass"), seed) % (rows - 1) for text in own)
        fields.extend([field] * len(own))
    return tokens[:TOKENS_MAX], fields[:TOKENS_MAX]


def _words(text: str | None) -> list[str]:
    """Lower-case runs of letters and digits."""
    if not text:
        return []
    return WORD.findall(text.casefold())[:WORDS_MAX]


def _letters(word: str) -> list[str]:
    framed = f"<{word}>"
    return [framed[at : at + LETTERS] for at in range(len(framed) - LETTERS + 1)]


def _levels(path: str) -> list[str]:
    parts = path.split(" > ")
    return [" > ".join(parts[: n + 1]) for n in range(len(parts))]


def _values(name: str, value: str | float | bool | list[str]) -> list[str]:
    if isinstance(value, list):
        return [f"{name}={each}" for each in value]
    if isinstance(value, bool | str):
        return [f"{name}={value}"]
    return [f"{name}#{_step(value, 2)}"]


def _prices(price: float | None) -> list[str]:
    """A coarse and a fine step of the logarithm, so that near prices share one of the two."""
    return [] if price is None else [f"{_step(price, 1)}", f"{_step(price, 3)}/3"]


def _step(value: float, per_doubling: int) -> int:
    return math.floor(math.copysign(per_doubling * math.log2(1 + abs(value)), value)) if math.isfinite(value) else 0


_PROBE = (
    Described(
        "Été blue-shirt XL", "A shirt.", ["wear > shirts"], "Øre", 19.5,
        {"s": "x", "n": 3.5, "b": True, "l": ["p", "q"]},
    ),
    Described(),
)  # fmt: skip


def fingerprint() -> str:
    """What the tokens of known items are here: equal where items become the same tokens."""
    made = bags(_PROBE, ROWS_MAX)
    digest = hashlib.blake2b(digest_size=8)
    for array in made:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
