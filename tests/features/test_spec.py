"""A declaration: its fingerprint, its plan entry, and what is refused."""

from __future__ import annotations

import msgspec
import pytest

from rtp_monolith.errors import NativeError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.spec import Feature

RATE = Feature(
    name="rate",
    op="item_rate",
    meaning="clicks per impression",
    hits="click",
    trials="impression",
    window="1d",
    prior_rate=0.05,
    prior_strength=20.0,
)


@pytest.mark.parametrize(
    "change",
    [
        {"op": "category_rate"},
        {"hits": "like"},
        {"trials": "served"},
        {"window": "7d"},
        {"prior_rate": 0.1},
        {"prior_strength": 30.0},
        {"default": 1.0},
        {"version": 2},
        {"ttl_ms": 1000},
        {"name": "other"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_fingerprint_changes_with_the_meaning(change: dict[str, object]) -> None:
    assert msgspec.structs.replace(RATE, **change).fingerprint() != RATE.fingerprint()


@pytest.mark.parametrize("words", [{"meaning": "other words"}, {"owner": "search team"}], ids=["meaning", "owner"])
def test_the_fingerprint_does_not_change_with_words(words: dict[str, str]) -> None:
    assert msgspec.structs.replace(RATE, **words).fingerprint() == RATE.fingerprint()


def test_a_fingerprint_is_16_hex_digits_and_stays() -> None:
    assert RATE.fingerprint() == "1e19981e5bf95914"


def test_names_and_fingerprints_are_unique() -> None:
    assert len({feature.name for feature in FEATURES}) == len(FEATURES)
    assert len({feature.fingerprint() for feature in FEATURES}) == len(FEATURES)


def test_a_plan_keeps_the_order_and_its_digest_is_of_its_features() -> None:
    plan = compile_plan()
    assert plan.names == [feature.name for feature in FEATURES]
    assert compile_plan().digest == plan.digest
    assert compile_plan(FEATURES[1:]).digest != plan.digest
    wider = [msgspec.structs.replace(each, window="7d") if each.window == "1d" else each for each in FEATURES]
    assert compile_plan(wider).digest != plan.digest


@pytest.mark.parametrize(
    ("feature", "word"),
    [
        (Feature(name="f", op="item_cuont", meaning=""), "item_cuont"),
        (Feature(name="f", op="item_count", meaning="", event="clik", window="1d"), "clik"),
        (Feature(name="f", op="item_count", meaning="", event="click"), "window_ms"),
        (Feature(name="f", op="user_attribute", meaning=""), "key"),
        (Feature(name="f", op="seller_rate", meaning="", hits="click", trials="click", window="7d"), "prior_rate"),
        (Feature(name="f", op="context_item_count", meaning="", key="shoe", window="7d"), "shoe"),
        (Feature(name="f", op="user_decayed", meaning="", event="click", half_life_ms=0), "half_life_ms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_declaration_that_does_not_fit_is_refused(feature: Feature, word: str) -> None:
    with pytest.raises(NativeError, match=word) as refused:
        compile_plan([feature])
    assert refused.value.reason == "bad_feature"


def test_the_scope_is_the_first_word_of_the_operation() -> None:
    assert RATE.scope == "item"
    assert Feature(name="f", op="seller_count", meaning="").scope == "seller"
    assert Feature(name="f", op="context_item_count", meaning="").scope == "cross"
