"""`docs/features.md` says what the catalogue says."""

from __future__ import annotations

import re
from pathlib import Path

from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.document import EQUIVALENTS, document
from rtp_monolith.features.spec import Feature

PREFIXES = ("user_", "session_", "item_", "category_", "seller_", "context_", "cross_", "cascade_")
PAGE = Path(__file__).parents[2] / "docs" / "features.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == document(), (
        "run python -m rtp_monolith.features.document > docs/features.md"
    )


def test_every_feature_is_one_row() -> None:
    tables = document().split("## Coming from Metarank")[0]
    rows = [line.split("`")[1] for line in tables.splitlines() if line.startswith("| `")]
    assert rows == [feature.name for feature in FEATURES]


def test_the_equivalents_name_features_that_exist() -> None:
    ours = " ".join(ours for _, ours in EQUIVALENTS)
    named = {word for word in re.findall(r"`([a-z0-9_]+)`", ours) if word.startswith(PREFIXES)}
    known = {feature.name for feature in (*FEATURES, *CASCADE)}
    assert named - known == set() and len(named) > 20


def test_a_row_says_operation_arguments_default_and_fingerprint() -> None:
    feature = Feature(
        name="carts", op="item_count", event="add_to_cart", window="1d", default=2.5, meaning="carts it went into"
    )
    want = (
        "| `carts` | carts it went into | `item_count`: event add_to_cart, window 1d | 2.5 | "
        f"`{feature.fingerprint()}` |"
    )
    assert want in document([feature]).splitlines()
