"""Published features in a list: what the ranker read, what the decision carries, and the same rows made again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith.config import Audit, Config, Decisions, parse
from rtp_monolith.errors import NativeError
from rtp_monolith.features.declared import declared
from rtp_monolith.monitoring.skew import replay_and_compare
from rtp_monolith.records import read_recommend
from rtp_monolith.state.online.reader import Gathered
from tests.ranking.bundles import Recipe

from .conftest import NOON, Shop, ids

TEXT = """
[features.user.tier]
published = "text"
words = ["silver", "gold"]
meaning = "loyalty tier"
default = 9.0

[features.item.look]
published = "vector"
length = 2
meaning = "embedding"

[features.item.rate]
published = "number"
meaning = "click rate of a week"
default = 0.5
"""
CONFIG = parse(TEXT)
KNOWN = declared(CONFIG)
NAMES = [each.name for each in KNOWN.features]
WEIGHTS = {"item_rate": (5.0, 0.0, 0.0), "user_tier": (0.5, 0.0, 0.0), "item_look_1": (0.0, 0.0, 0.0)}
NAN = float("nan")


def settings(**sections: Any) -> Config:
    return Config(features=CONFIG.features, **sections)


def open_shop(folder: Path, config: Config, *, bundle: bool = True) -> Shop:
    models = folder / "models"
    models.mkdir(exist_ok=True)
    if bundle:
        recipe = Recipe(weights=WEIGHTS, bias=(-2.0, -3.0, -4.0))
        recipe.features |= {each.name: each.fingerprint() for each in KNOWN.custom if each.name in WEIGHTS}
        recipe.write(models)
    return Shop(folder / "data", config, models=models)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = open_shop(tmp_path, settings(audit=Audit(share=0.0)))
    yield made
    made.state.close()


def publish(shop: Shop, rows: dict[str, list[float]], expires_ms: int = 1 << 60) -> None:
    """Columns are look 0 and 1, rate."""
    values = np.array(list(rows.values()), np.float32).reshape(-1, 3)
    shop.state.core.stage_published(list(rows), values, first=True)
    shop.state.core.adopt_published([expires_ms] * 3)


def home(shop: Shop, tier: float = NAN, degraded: tuple[str, ...] = (), **request: Any) -> dict[str, Any]:
    body = json.dumps({"surface": "home", "session_id": "s", **request}).encode()
    gathered = Gathered(np.array([tier], np.float32), degraded)
    work = shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4, gathered=gathered)
    reply: dict[str, Any] = json.loads(asyncio.run(work))
    return reply


def test_the_ranker_reads_what_was_published(shop: Shop) -> None:
    assert shop.models.active is not None
    publish(shop, {"i17": [1, 2, 3], "i4": [0, 0, 2], "gone": [0, 0, 9], "i5": [NAN, 4, -1]})
    reply = home(shop, 2.0, k=60, explain=True)
    assert ids(reply)[:2] == ["i17", "i4"] and ids(reply)[-1] == "i5"
    seen = {item["id"]: item["explain"]["features"] for item in reply["items"]}
    assert [seen["i17"][name] for name in ("user_tier", "item_look_0", "item_look_1", "item_rate")] == [2, 1, 2, 3]
    assert [seen["i5"][name] for name in ("item_look_0", "item_look_1", "item_rate")] == [0, 4, -1]
    assert [seen["i1"][name] for name in ("user_tier", "item_look_0", "item_rate")] == [2, 0, 0.5]
    (decision,) = shop.decisions()
    rows = dict(zip(ids(reply), decision["features"], strict=False))
    assert rows["i17"] == [3, 2, 2] and rows["i4"] == [2, 2, 0], "the ranker's columns, filled"


def test_without_anything_the_defaults_are_read_and_counted(shop: Shop) -> None:
    reply = home(shop, degraded=("features:user_batch",), k=10, explain=True)
    assert reply["degraded"] == ["features:user_batch"]
    assert {item["explain"]["features"]["user_tier"] for item in reply["items"]} == {9.0}
    assert {item["explain"]["features"]["item_rate"] for item in reply["items"]} == {0.5}
    publish(shop, {"i17": [1, 2, 3]}, expires_ms=NOON)
    old = home(shop, 1.0, k=60, explain=True)
    (old_item,) = [item for item in old["items"] if item["id"] == "i17"]
    assert old_item["explain"]["features"]["item_rate"] == 0.5, "too old"
    (first, second) = shop.decisions()
    assert first["degraded"] == ["features:user_batch"]
    assert (first["external"]["user"]["values"], second["external"]["user"]["values"]) == ([[None]], [[1.0]])
    counts = {name: (values, nulls) for name, values, nulls in shop.state.feature_counts()}
    assert counts["user_tier"] == (2, 1) and counts["item_rate"] == (70, 70)
    assert "item_price" not in counts, "other features are counted where the audit makes their rows"


def test_a_decision_carries_the_values_of_all_that_it_shows(shop: Shop) -> None:
    publish(shop, {"i17": [1, 2, 3], "i4": [0, 0, 2]})
    reply = home(shop, 2.0, k=60)
    (decision,) = shop.decisions()
    look, rate = KNOWN.published.item
    (tier,) = KNOWN.published.user
    external = decision["external"]
    assert external["user"] == {"columns": [["user_tier", 0, tier.key]], "values": [[2.0]]}
    assert external["items"]["columns"] == [["item_look", 2, look.key], ["item_rate", 0, rate.key]]
    values = dict(zip(ids(reply), external["items"]["values"], strict=True))
    assert (values["i17"], values["i4"], values["i9"]) == ([1, 2, 3], [0, 0, 2], [None, None, None])


def test_a_shard_without_published_features_says_nothing_of_them(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.home(k=3)
    assert [each["external"] for each in shop.decisions()] == [None]
    shop.state.close()


def test_what_is_not_of_the_columns_is_refused(shop: Shop) -> None:
    with pytest.raises(NativeError, match="bad_shape"):
        shop.state.core.stage_published(["i1"], np.zeros((1, 2), np.float32))
    with pytest.raises(NativeError, match="bad_shape"):
        shop.state.core.stage_published(["i1", "i2"], np.zeros((1, 3), np.float32))
    gathered = Gathered(np.zeros(2, np.float32))
    body = b'{"surface": "home", "session_id": "s"}'
    with pytest.raises(NativeError, match="bad_shape"):
        asyncio.run(shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4, gathered=gathered))


def test_vectors_are_the_same_when_everything_was_published_anew_since(tmp_path: Path) -> None:
    """Logged and replayed vectors are equal to the bit, though no table of then is left."""
    config = settings(audit=Audit(share=1.0))
    shop = open_shop(tmp_path, config, bundle=False)
    shop.did("click", "i1", "i2", user="u")
    for n in range(6):
        publish(shop, {f"i{item}": [n, NAN if item % 3 == n % 3 else item / 7, n / (item + 1)] for item in range(40)})
        home(shop, (NAN, 1.0, 2.0)[n % 3], user_id="u", k=30, request_id=f"r{n}")
        shop.did("click", f"i{n}", user="u")
    publish(shop, {f"i{item}": [77, 77, 77] for item in range(60)})
    decisions = shop.decisions()
    tiers = [each["features"][0][NAMES.index("user_tier")] for each in decisions]
    assert tiers == [9, 1, 2, 9, 1, 2]
    rates = {row[NAMES.index("item_rate")] for row in decisions[5]["features"]}
    assert len(rates) > 10 and 77 not in rates
    counts = {name: (values, nulls) for name, values, nulls in shop.state.feature_counts()}
    assert counts["user_tier"] == (6, 2) and counts["item_rate"][0] == counts["item_price"][0] == 180
    assert counts["item_revenue"] == (180, 180) and counts["item_available"] == (180, 180)
    shop.state.close()
    report = replay_and_compare(tmp_path / "data", config, 1.0, 0)
    assert (report.decisions, report.compared, report.different) == (6, 180 * len(NAMES), 0)


def test_what_meant_something_else_is_told_apart(tmp_path: Path) -> None:
    """Under another order of words the tier of then says nothing: the audit would see it, a row has the default."""
    shop = open_shop(tmp_path, settings(audit=Audit(share=1.0), decisions=Decisions(vectors_share=0.0)), bundle=False)
    home(shop, 2.0, k=3)
    shop.decisions()
    shop.state.close()
    turned = parse(TEXT.replace('["silver", "gold"]', '["gold", "silver"]'))
    report = replay_and_compare(
        tmp_path / "data", Config(features=turned.features, audit=Audit(share=1.0)), 1.0, 0, any_plan=True
    )
    assert (report.other_config, report.different) == (1, 0)
