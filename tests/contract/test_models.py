"""Bundles of a running shard: listed, activated and rolled back over HTTP while lists are asked for, and kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Shard
from tests.contract.conftest import Talk
from tests.ranking.bundles import flipped, make_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny/1` scores low, `tiny/2` high, `tiny/3` is not whole."""
    folder = tmp_path_factory.mktemp("models")
    make_bundle(folder, version="1", bias=(-8.0, -8.0, -8.0))
    make_bundle(folder, version="2", bias=(8.0, 8.0, 8.0))
    flipped(make_bundle(folder, version="3") / "ranker.onnx")
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Talk]:
    folder = tmp_path_factory.mktemp("served")
    config = folder / "shard.toml"
    config.write_text("[limits]\nrank_timeout_ms = 2000\n[cascade]\nrank_budget_ms = 1000\nbreaker_failures = 1000\n")
    options = ["--models", str(models), "--config", str(config)]
    shard = Shard(folder / "data", folder / "shard.log", options).start()
    try:
        talk = Talk(shard)
        talk.put_items(*({"id": f"i{n}", "categories": [f"c{n % 6}"], "price": n} for n in range(60)))
        yield talk
    finally:
        shard.stop()


def activate(talk: Talk, version: str) -> Any:
    return talk.expect(200, "POST", "/v1/models/activate", {"name": "tiny", "version": version})


def named(version: str | None) -> Any:
    return None if version is None else {"name": "tiny", "version": version}


def test_the_newest_that_fits_is_served(served: Talk) -> None:
    listing = served.expect(200, "GET", "/v1/models")
    assert (listing["active"], listing["previous"]) == (named("2"), None)
    assert [(each["version"], each["active"]) for each in listing["bundles"]] == [
        ("1", False),
        ("2", True),
        ("3", False),
    ]
    assert served.recommend("s")["model"] == named("2")
    described = served.expect(200, "GET", "/v1/models/tiny/1")
    assert (described["active"], described["manifest"]["embedding"]["items"]) == (False, 60)
    served.refused(404, "bundle_missing", "GET", "/v1/models/tiny/9")
    text = served.expect(200, "GET", "/metrics").decode()
    assert 'rtp_bundle_active{name="tiny",version="2"} 1.0' in text
    assert "rtp_encoding_misses 0.0" in text
    served.refused(409, "bundle_no_previous", "POST", "/v1/models/rollback")


def test_a_bundle_that_does_not_fit_changes_nothing(served: Talk) -> None:
    before = served.expect(200, "GET", "/v1/models")
    served.refused(409, "bundle_checksum", "POST", "/v1/models/activate", named("3"))
    served.refused(404, "bundle_missing", "POST", "/v1/models/activate", named("4"))
    assert served.expect(200, "GET", "/v1/models") == before
    assert served.recommend("s")["model"] == named("2")


def test_back_and_forth_while_lists_are_asked_for(served: Talk) -> None:
    """No list fails, and each has the scores of the bundle that it names."""
    stop = threading.Event()
    replies: list[tuple[int, Any]] = []

    def ask(session: str) -> None:
        body = {"surface": "home", "session_id": session, "k": 10}
        while not stop.is_set():
            replies.append(served.call("POST", "/v1/recommend", body))

    askers = [threading.Thread(target=ask, args=(f"s{n}",)) for n in range(4)]
    for each in askers:
        each.start()
    try:
        for version, before in (("1", "2"), ("2", "1"), ("1", "2"), ("2", "1")):
            assert activate(served, version) == {"active": named(version), "previous": named(before)}
            assert served.recommend("s")["model"] == named(version)
        rolled = served.expect(200, "POST", "/v1/models/rollback")
        assert rolled == {"active": named("1"), "previous": named("2")}
    finally:
        stop.set()
        for each in askers:
            each.join()
    assert {status for status, _ in replies} == {200}
    assert {reply["model"]["version"] for _, reply in replies} == {"1", "2"}
    for _, reply in replies:
        assert "no_model" not in reply["degraded"] and "ranker_failed" not in reply["degraded"]
        high = {item["score"] > 1.0 for item in reply["items"] if "slot" not in item}
        assert high == {reply["model"]["version"] == "2"}


def test_a_restart_serves_what_was_served(served: Talk) -> None:
    activate(served, "1")
    served.shard.stop()
    served.shard.start()
    listing = served.expect(200, "GET", "/v1/models")
    assert (listing["active"], listing["previous"]) == (named("1"), named("2"))
    assert served.recommend("s")["model"] == named("1")
    assert served.expect(200, "POST", "/v1/models/rollback")["active"] == named("2")


def test_without_models_there_are_none(talk: Talk) -> None:
    assert talk.expect(200, "GET", "/v1/models") == {"active": None, "previous": None, "bundles": []}
    talk.refused(404, "bundle_missing", "POST", "/v1/models/activate", named("1"))
