"""`refunds = "take_back"`: a refund takes what its purchase added, out of the window that the purchase lies in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.errors import FeatureError
from rtp_monolith.features.condition import Vocabulary, as_refund, parse
from rtp_monolith.features.declared import declared
from rtp_monolith.state.rebuild import verify

from .scene import DAY, HOUR, Scene, Step, event
from .test_aggregates import config

BOUGHT = "event_type == 'purchase'"
BACK = {"refunds": "take_back", "where": BOUGHT}
TWO = '[{"item_id":"a","quantity":2,"price":7.5},{"item_id":"c","price":3}]'
COUNT = {"aggregate": "count", "window": "1d", **BACK}
SUM = {"aggregate": "sum", "of": "line.value", "window": "7d", **BACK}

CASES: dict[str, tuple[str, dict[str, Any], list[Step], float]] = {
    "a count": ("user", COUNT, [event("purchase", "a"), event("purchase", "b"), event("refund", "b")], 1),
    "lines of an order": (
        "user",
        SUM,
        [event("purchase", items=TWO, ago=HOUR), event("refund", items='[{"item_id":"c","price":3}]')],
        15,
    ),
    "a whole order": (
        "user",
        {**COUNT, "where": f"{BOUGHT} and item.price > 0"},
        [event("purchase", items=TWO, order_id="o", ago=HOUR), event("refund", order_id="o")],
        0,
    ),
    "a part of a line": (
        "user",
        SUM,
        [event("purchase", items=TWO, ago=HOUR), event("refund", items='[{"item_id":"a","quantity":1,"price":7.5}]')],
        10.5,
    ),
    "a mean": (
        "user",
        {"aggregate": "mean", "of": "line.price", "window": "7d", **BACK},
        [event("purchase", items=TWO, ago=HOUR), event("refund", items='[{"item_id":"a","price":7.5}]')],
        3,
    ),
    "an old purchase leaves the window alone": (
        "user",
        SUM,
        [event("purchase", "a", price="9", ago=20 * DAY), event("purchase", "b", price="4"), event("refund", "a")],
        4,
    ),
    "and is taken out of the lifetime": (
        "user",
        {**SUM, "window": "lifetime"},
        [
            event("purchase", "a", price="9", ago=20 * DAY),
            event("purchase", "b", price="4"),
            event("refund", "a", price="9"),
        ],
        4,
    ),
    "more than was bought is nothing": (
        "user",
        SUM,
        [event("purchase", "a", price="9"), event("refund", "a", price="9"), event("refund", "a", price="9")],
        0,
    ),
    "not what the condition leaves out": (
        "user",
        {**COUNT, "where": f"{BOUGHT} and props.campaign == 'x'"},
        [event("purchase", "a", campaign="x"), event("purchase", "b"), event("refund", "b")],
        1,
    ),
    "an item's": ("item", COUNT, [event("purchase", "a"), event("purchase", "a", user="u2"), event("refund", "a")], 1),
    "decayed": (
        "user",
        {"aggregate": "decayed", "half_life": "1d", **BACK},
        [event("purchase", "a", ago=HOUR), event("refund", "a")],
        0,
    ),
    "kept without the word": (
        "user",
        {"aggregate": "count", "window": "1d", "where": BOUGHT},
        [event("purchase", "a"), event("refund", "a")],
        1,
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_refund_takes_back(case: str, tmp_path: Path) -> None:
    scope, keys, steps, want = CASES[case]
    scene = Scene(tmp_path, config({scope: {"f": keys}}))
    for step in steps:
        step(scene)
    assert scene.value(f"{scope}_f") == pytest.approx(want)
    scene.reopen()
    assert scene.value(f"{scope}_f") == pytest.approx(want)
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


def test_a_feature_that_takes_back_is_another_one() -> None:
    plain = {"aggregate": "count", "window": "1d", "where": BOUGHT}
    one, other = (declared(config({"user": {"f": keys}})) for keys in (plain, COUNT))
    assert one.custom[0].fingerprint() != other.custom[0].fingerprint()
    assert [len(each.accumulators) for each in (one, other)] == [1, 2]
    assert one.accumulators[0] in other.accumulators


@pytest.mark.parametrize(
    "where", [None, "event_type == 'click'", "line.price > 3", "event_type in ['purchase', 'refund']"]
)
def test_without_purchases_or_with_refunds_of_its_own_it_is_refused(where: str | None) -> None:
    keys: dict[str, Any] = {"aggregate": "count", "window": "1d", "refunds": "take_back"}
    with pytest.raises(FeatureError, match="must count purchases and no refunds") as refused:
        declared(config({"user": {"f": keys if where is None else {**keys, "where": where}}}))
    assert refused.value.field == "features.user.f.refunds"


REFUND = {"test": {"field": {"name": "event_type", "kind": "text"}, "op": {"test": "in", "values": ["refund"]}}}
DEAR = parse("line.price > 3", Vocabulary.of(config({})))


@pytest.mark.parametrize(
    ("where", "want"),
    [
        (BOUGHT, REFUND),
        ("event_type in ['view', 'purchase'] and line.price > 3", {"all": [REFUND, {"all": [DEAR]}]}),
        ("event_type starts_with 'purchase' and not line.price > 3", {"all": [REFUND, {"all": [{"not": DEAR}]}]}),
        ("event_type == 'click' and event_type == 'purchase'", None),
        ("event_type != 'refund' and (event_type == 'purchase' or line.price > 3)", REFUND),
        ("not event_type == 'refund'", REFUND),
    ],
)
def test_a_condition_as_a_refund_meets_it(where: str, want: object) -> None:
    assert as_refund(parse(where, Vocabulary.of(config({})))) == want
