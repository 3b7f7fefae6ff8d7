"""`docs/features.md` says what the catalogue says."""

from __future__ import annotations

from pathlib import Path

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.document import document
from rtp_monolith.features.spec import Feature

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run python -m rtp_monolith.features.document > docs/features.md"
    )


def test_every_feature_is_one_row() -> None:
    rows = [line.split("`")[1] for line in document().splitlines() if line.startswith("| `")]
    assert rows == [feature.name for feature in FEATURES]


def test_a_row_says_operation_arguments_default_and_fingerprint() -> None:
    feature = Feature(
        name="carts", op="item_count", event="add_to_cart", window="1d", default=2.5, meaning="carts it went into"
    )
    want = (
        "| `carts` | carts it went into | `item_count`: event add_to_cart, window 1d | 2.5 | "
        f"`{feature.fingerprint()}` |"
    )
    assert document([feature]).splitlines()[-1] == want
