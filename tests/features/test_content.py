"""Items as tokens: the same in every process, whatever is missing, and what is shared."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from rtp_monolith.features.content import FIELDS, TOKENS_MAX, Described, bags, fingerprint, texts_of

SIZED: dict[str, str | float | bool | list[str]] = {"size": "xl", "sale": True, "for": ["a", "b"]}
SHIRT = Described("Blue Shirt", "A shirt.", ["wear > shirts"], "Acme", 20.0, SIZED)


def tokens(item: Described, field: str | None = None, rows: int = 1 << 18) -> set[int]:
    said = bags([item], rows)
    mine = said.weights[0] > 0
    if field is not None:
        mine &= said.fields[0] == FIELDS.index(field)
    return set(said.tokens[0][mine].tolist())


def test_tokens_are_the_same_in_every_process() -> None:
    assert fingerprint() == "6df72618615789c8"
    asked = "from rtp_monolith.features.content import fingerprint; print(fingerprint())"
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found = subprocess.run(
            [sys.executable, "-c", asked], env=environment, capture_output=True, check=True, text=True
        )
        assert found.stdout.strip() == fingerprint()


def test_fields_become_what_others_may_share() -> None:
    title, letters, said, levels, brand, attributes, price, pairs = texts_of(SHIRT)
    assert title == ["blue", "shirt", "blue shirt"]
    assert letters[:4] == ["<bl", "blu", "lue", "ue>"]
    assert said == ["a", "shirt"]
    assert levels == ["wear", "wear > shirts"]
    assert (brand, attributes) == (["Acme"], ["for=a", "for=b", "sale=True", "size=xl"])
    assert price == ["4", "13/3"]
    assert len(pairs) == 6 * 5 // 2
    other = Described("Red shirt", categories=["wear > hats"], price=21.0)
    assert len(tokens(SHIRT, "title") & tokens(other, "title")) == 1
    assert tokens(SHIRT, "categories") & tokens(other, "categories")
    assert not tokens(SHIRT, "title") & tokens(SHIRT, "description"), "a word counts in its field"


def test_the_weights_of_a_field_do_not_grow_with_it() -> None:
    said = bags([SHIRT], 1 << 18)
    for number, name in enumerate(FIELDS):
        own = said.weights[0][(said.fields[0] == number) & (said.weights[0] > 0)]
        assert (own**2).sum() == pytest.approx(1.0, abs=1e-5), name


def test_missing_fields_are_no_tokens_and_change_no_others() -> None:
    bare = bags([Described(), SHIRT], 512)
    assert bare.tokens[0].sum() == 0 and bare.weights[0].sum() == 0
    alone = bags([SHIRT], 512)
    np.testing.assert_array_equal(bare.tokens[1], alone.tokens[0])
    titled = Described("Blue Shirt")
    assert tokens(titled, "title") == tokens(SHIRT, "title")


def test_a_long_text_gives_way_to_the_facts() -> None:
    words = " ".join(f"word{n}" for n in range(10_000))
    long = Described(words, words, ["wear > shirts"], "Acme", 20.0, {"size": "xl"})
    said = bags([long], 1 << 18)
    assert said.tokens.shape == (1, TOKENS_MAX)
    assert tokens(Described(brand="Acme"), "brand") <= tokens(long)
    many = Described(attributes={f"k{n}": "v" for n in range(2000)})
    assert bags([many], 512).tokens.shape == (1, TOKENS_MAX)


def test_tokens_are_rows_of_the_table_but_the_first() -> None:
    for rows in (2, 3, 256):
        said = bags([SHIRT], rows)
        assert said.tokens.min() >= 1 and said.tokens.max() < rows


@pytest.mark.parametrize("odd", [float("inf"), -5.0, 0.0, 1e300])
def test_odd_numbers_are_steps_too(odd: float) -> None:
    assert len(texts_of(Described(price=odd, attributes={"n": odd}))[6]) == 2


def test_odd_texts_are_read() -> None:
    assert texts_of(Described("\ud800 É—x_y"))[0][:3] == ["é", "x", "y"]
    assert tokens(Described(brand="\ud800"), "brand")
