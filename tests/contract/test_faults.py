"""Every stage of a list failing or stalling, alone and in pairs, over HTTP: 200 in time, named, over when it ends."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Shard
from tests.contract.conftest import Talk, event
from tests.ranking.bundles import make_bundle

BUDGET_MS, DEADLINE_MS = 4, 400
STAGES = ("encode", "recall", "prerank", "rank", "rerank", "explore", "log", "ann", "covis", "popular")
CONFIG = f"""
[limits]
rank_timeout_ms = {DEADLINE_MS}
[cascade]
breaker_cooldown_ms = 20
encode_budget_ms = {BUDGET_MS}
prerank_budget_ms = {BUDGET_MS}
rank_budget_ms = {BUDGET_MS}
rerank_budget_ms = {BUDGET_MS}
explore_budget_ms = {BUDGET_MS}
log_budget_ms = {BUDGET_MS}
recall_budget_ms = {2 * BUDGET_MS}
[surfaces.home]
diversity = 0.2
explore = {{ slot = 4 }}
[surfaces.home.sources]
ann = {{}}
session_knn = {{}}
covis = {{}}
popular = {{}}
new = {{}}
catalogue = {{}}
"""
WORDS = {
    "encode": ("encoder_failed", "encoder_slow"),
    "ann": ("ann_failed", "ann_slow"),
    "recall": ("recall_failed", "recall_slow"),
    "prerank": ("prerank_failed", "prerank_slow"),
    "rank": ("ranker_failed", "ranker_slow"),
    "rerank": ("rerank_failed", "rerank_slow"),
    "explore": ("explore_failed", "explore_slow"),
    "log": ("decision_not_logged", "decision_not_logged"),
}
BEHIND_RECALL = {"ann", "covis", "popular", "prerank", "rank", "rerank", "explore"}


@pytest.fixture(scope="module")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """A shard with a bundle and `--faults`, 60 items, and a visitor `v` with a past."""
    folder = tmp_path_factory.mktemp("drill")
    config: Path = folder / "shard.toml"
    config.write_text(CONFIG)
    make_bundle(folder / "models")
    options = ["--config", str(config), "--models", str(folder / "models"), "--faults"]
    shard = Shard(folder / "data", folder / "shard.log", options).start()
    try:
        talk = Talk(shard)
        talk.put_items(*({"id": f"i{n}", "categories": [f"c{n % 6}"], "price": n} for n in range(60)))
        for n in range(4):
            talk.send(*(event(session_id=f"others{n}", item_id=f"i{each}") for each in (n, n + 6, n + 12)))
        talk.send(event(session_id="v", item_id="i1"))
        talk.recommend("v")
        yield talk
    finally:
        shard.stop()


def switch(talk: Talk, **fault: Any) -> None:
    talk.expect(200, "POST", "/v1/faults", fault)


def recover(talk: Talk) -> None:
    """All faults off: within a second the list lacks nothing again."""
    switch(talk, off=True)
    until = time.monotonic() + 5
    while (degraded := talk.recommend("v")["degraded"]) and time.monotonic() < until:
        time.sleep(0.02)
    assert degraded == []


def word(stage: str, mode: str) -> str:
    return WORDS.get(stage, (f"source_failed:{stage}",) * 2)[mode == "stall"]


def check(talk: Talk, faults: dict[str, str]) -> None:
    for stage, mode in faults.items():
        switch(talk, stage=stage, mode=mode, stall_ms=60_000)
    struck = {stage: mode for stage, mode in faults.items() if "recall" not in faults or stage not in BEHIND_RECALL}
    expected = {word(*each) for each in struck.items()}
    # On a busy machine a stage may just have overrun by itself: until it is tried again, its word is that of then.
    until = time.monotonic() + 5
    while not expected <= (named := set(talk.recommend("v")["degraded"])) and time.monotonic() < until:
        time.sleep(0.02)
    assert expected <= named, (faults, named)
    for session in ("v", "v", "w"):
        reply = talk.recommend(session)
        for stage in struck:
            assert {word(stage, "fail"), word(stage, "stall")} & {*reply["degraded"]}, (faults, reply["degraded"])
        assert len({item["id"] for item in reply["items"]}) == 20
        assert reply["took_ms"] < DEADLINE_MS, (faults, reply["stages"])
        assert reply["state_version"] == (session == "v")
    recover(talk)


@pytest.mark.parametrize("mode", ["fail", "stall"])
def test_one_stage(drill: Talk, mode: str) -> None:
    for stage in drill.expect(200, "GET", "/v1/faults")["stages"]:
        if stage in STAGES:
            check(drill, {stage: mode})


@pytest.mark.parametrize(("mode", "other"), list(itertools.product(("fail", "stall"), repeat=2)))
def test_two_stages(drill: Talk, mode: str, other: str) -> None:
    for first, second in itertools.combinations(STAGES, 2):
        check(drill, {first: mode, second: other})


def test_everything_at_once(drill: Talk) -> None:
    stages = drill.expect(200, "GET", "/v1/faults")["stages"]
    for mode in ("fail", "stall"):
        for stage in stages:
            switch(drill, stage=stage, mode=mode)
        for _ in range(5):
            reply = drill.recommend("v")
            assert len(reply["items"]) == 20 and reply["took_ms"] < DEADLINE_MS
            assert {word("recall", mode), word("log", mode)} <= set(reply["degraded"])
        recover(drill)


def test_given_items_are_ranked_whatever_fails(drill: Talk) -> None:
    given = [f"i{n}" for n in range(30)]
    for stage in ("encode", "rank", "log", "covis"):
        switch(drill, stage=stage)
        reply = drill.rank("v", given)
        assert sorted(item["id"] for item in reply["items"]) == sorted(given)
        assert stage == "covis" or word(stage, "fail") in reply["degraded"]
        recover(drill)


def test_events_are_taken_meanwhile(drill: Talk) -> None:
    switch(drill, stage="log", mode="fail")
    switch(drill, stage="recall", mode="stall")
    before = drill.recommend("x")["state_version"]
    drill.send(event(session_id="x", item_id="i2"))
    reply = drill.recommend("x")
    assert reply["state_version"] == before + 1
    assert "i2" not in {item["id"] for item in reply["items"]}
    recover(drill)


def test_without_the_option_there_are_no_faults(talk: Talk) -> None:
    talk.refused(404, "not_found", "POST", "/v1/faults", {"stage": "rank"})
