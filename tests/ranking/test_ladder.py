"""The ladder of answers: what a list is made of when a stage fails or stalls, alone and in pairs, and that it recovers.

Time stands still here except while a stall holds it, so what a list took is exact. Only the native recall looks at a
clock of its own, so it has more time here than by default.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any

import pytest

from rtp_monolith.ranking.faults import FAULTY, Fault
from rtp_monolith.records import read_recommend

from .conftest import OpenShop, Shop, ids

HOME = """
[cascade]
recall_budget_ms = 200
[surfaces.home]
diversity = 0.2
explore = { slot = 4 }
[surfaces.home.sources]
ann = {}
ann_user = {}
bought_together = {}
same_brand = {}
trending_context = {}
history = {}
session_knn = {}
covis = {}
same_category = {}
text = {}
trending = {}
popular = {}
popular_context = {}
new = {}
catalogue = {}
"""
FAILED = {
    "encode": "encoder_failed",
    "ann": "ann_failed",
    "recall": "recall_failed",
    "prerank": "prerank_failed",
    "rank": "ranker_failed",
    "rerank": "rerank_failed",
    "explore": "explore_failed",
    "log": "decision_not_logged",
}
SLOW = {stage: code.replace("_failed", "_slow") for stage, code in FAILED.items()}
DEADLINE_MS = 250.0


def code_of(stage: str, mode: str) -> str:
    return (FAILED if mode == "fail" else SLOW).get(stage, f"source_failed:{stage}")


def busy(open_shop: OpenShop) -> Shop:
    """A shop with a past, and a visitor who has had a list and clicked since."""
    shop = open_shop(HOME)
    for n in range(5):
        shop.did("click", f"i{n}", f"i{n + 6}", f"i{n + 12}", session=f"others{n}", props={"device": "phone"})
    ask(shop)
    shop.did("click", "i1", "i7")
    return shop


def ask(shop: Shop, **request: Any) -> dict[str, Any]:
    return shop.home(context={"device": "phone", "query": "boots"}, **request)


def recovered(shop: Shop) -> None:
    shop.faults.switch(Fault(off=True))
    shop.clock.advance(1_001)
    for _ in range(2):
        reply = ask(shop)
    assert reply["degraded"] == []


def check_list(reply: dict[str, Any]) -> None:
    """Every list, whatever went wrong."""
    found = ids(reply)
    assert len(set(found)) == len(found) == 20
    assert not {"i1", "i7"} & set(found), "what was clicked is not shown"
    assert [item["position"] for item in reply["items"]] == list(range(20))
    assert reply["took_ms"] < DEADLINE_MS
    assert (reply["model"]["name"], reply["state_version"]) == ("tiny", 2)


@pytest.mark.parametrize("mode", ["fail", "stall"])
def test_every_stage_alone_and_in_pairs(open_shop: OpenShop, mode: str) -> None:
    shop = busy(open_shop)
    for first, second, other in [
        *((one, one, mode) for one in FAULTY),
        *((one, two, other) for one, two in itertools.combinations(FAULTY, 2) for other in ("fail", "stall")),
    ]:
        shop.faults.switch(Fault(first, mode))  # type: ignore[arg-type]
        shop.faults.switch(Fault(second, other))  # type: ignore[arg-type]
        expected = {code_of(first, mode), code_of(second, other)}
        if "recall" in (first, second):
            # Without recall no source is asked, and the last list is shown as it was.
            expected -= {code_of(each, m) for each in (first, second) for m in ("fail", "stall") if hidden(each)}
        for _ in range(2):
            reply = ask(shop)
            check_list(reply)
            assert expected <= set(reply["degraded"]), (first, mode, second, other, reply["degraded"])
        recovered(shop)


def hidden(stage: str) -> bool:
    """Whether a list that falls back on the last one no longer comes to this stage."""
    return stage not in FAILED or stage in ("ann", "prerank", "rank", "rerank", "explore")


def test_after_three_stalls_nobody_waits(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    shop.faults.switch(Fault("rank", "stall"))
    took = [ask(shop)["took_ms"] for _ in range(6)]
    assert took == [15, 15, 15, 0, 0, 0]


def test_without_the_ranker_the_light_model_orders(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    shop.faults.switch(Fault("rank"))
    shop.faults.switch(Fault("rerank"))
    shop.faults.switch(Fault("explore"))
    items = ask(shop, k=20, explain=True)["items"]
    light = [item["explain"]["scores"]["prerank"] for item in items]
    assert light == sorted(light, reverse=True)
    assert [item["score"] for item in items] == light
    assert {int(item["id"][1:]) % 6 for item in items[:3]} == {1}, "and is personal"


def test_without_both_the_sources_order(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    for stage in ("prerank", "rank", "rerank", "explore"):
        shop.faults.switch(Fault(stage))
    items = ask(shop, k=20, explain=True)["items"]
    merged = [item["explain"]["scores"].get("recall", 0.0) for item in items]
    assert merged == sorted(merged, reverse=True) and merged[0] > 0


def test_without_recall_the_visitor_has_the_last_list_and_others_what_is_popular(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    before = ids(ask(shop))
    shop.did("click", before[3])
    shop.faults.switch(Fault("recall"))
    left = [item for item in before if item != before[3]]
    for _ in range(5):
        reply = ask(shop)
        assert ids(reply)[:19] == left
        assert before[3] != ids(reply)[19] and len(set(ids(reply))) == 20
        assert all("slot" not in item for item in reply["items"])
    stranger = shop.home(session_id="stranger")
    assert len(set(ids(stranger))) == 20
    assert "recall_failed" in stranger["degraded"]


def test_a_source_that_fails_is_left_out_and_the_others_are_asked(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    assert any("covis" in item["source"] for item in ask(shop)["items"])
    shop.faults.switch(Fault("covis"))
    reply = ask(shop)
    assert reply["degraded"] == ["source_failed:covis"]
    assert not any("covis" in item["source"] for item in reply["items"])
    assert any("session_knn" in item["source"] for item in reply["items"])


def test_without_time_the_list_is_short_of_stages_and_still_a_list(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    body = json.dumps({"surface": "home", "session_id": "s"}).encode()
    reply = json.loads(asyncio.run(shop.pipeline.recommend(read_recommend(body), deadline_ms=0.5)))
    check_list(reply)
    assert reply["degraded"] == ["encoder_slow", "recall_slow"], "the last list, as it was"
    body = json.dumps({"surface": "home", "session_id": "stranger"}).encode()
    reply = json.loads(asyncio.run(shop.pipeline.recommend(read_recommend(body), deadline_ms=0.5)))
    assert len(set(ids(reply))) == 20
    lacking = ("encoder_slow", "recall_slow", "prerank_slow", "ranker_slow", "rerank_slow", "explore_slow")
    assert tuple(reply["degraded"]) == lacking


def test_a_share_of_the_requests_fails(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    shop.faults.switch(Fault("rank", share=0.25))
    assert [len(ask(shop)["degraded"]) for _ in range(8)] == [0, 0, 0, 1, 0, 0, 0, 1]


def test_what_is_missing_is_counted(open_shop: OpenShop) -> None:
    shop = busy(open_shop)
    shop.faults.switch(Fault("covis"))
    ask(shop)
    text = shop.metrics.render().decode()
    assert 'rtp_lists_degraded_total{code="source_failed:covis"} 1.0' in text
