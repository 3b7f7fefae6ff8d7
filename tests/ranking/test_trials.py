"""A bundle on trial: who sees it, what it may not touch, what ends it, what a restart remembers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtp_monolith.config import parse
from rtp_monolith.errors import BundleError, InvalidField
from rtp_monolith.ranking import nearest
from rtp_monolith.ranking.trials import Report, Trials
from rtp_monolith.records import read_recommend
from tests.ranking.bundles import BIAS, WEIGHTS, Recipe, clustered, make_bundle

from .conftest import Shop, ids
from .test_models import Place, in_loop, served
from .test_upkeep import until_built

PLAIN = "[surfaces.home.sources.new]\n[surfaces.home.sources.catalogue]\n"
SOON = "[canary]\nlists_min = 20\n"


@pytest.fixture
def place(tmp_path: Path) -> Any:
    made = Place(tmp_path)
    yield made
    made.close()


def two(place: Place, config: str = PLAIN, **second: Any) -> Shop:
    """A shop that serves 1, with 2 beside it in the folder."""
    make_bundle(place.models, version="1", bias=(-8.0, -8.0, -8.0))
    shop = place.open(parse(config))
    make_bundle(place.models, version="2", **({"bias": (8.0, 8.0, 8.0)} | second))
    return shop


def tried(shop: Shop, share: float, role: Any = "canary") -> Report:
    return in_loop(shop, shop.models.try_out(role, "tiny", "2", share))


def versions(shop: Shop, people: int, **request: Any) -> dict[str, str]:
    return {f"p{n}": shop.home(session_id=f"p{n}", **request)["model"]["version"] for n in range(people)}


def test_a_share_of_the_people_see_it_and_always_the_same_ones(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.4)
    first = versions(shop, 60, k=3)
    assert 10 <= list(first.values()).count("2") <= 40
    shop.did("click", "i1", session="p0")
    assert versions(shop, 60, k=3) == first
    in_loop(shop, shop.models.end_trial())
    assert set(versions(shop, 60, k=1).values()) == {"1"}
    tried(shop, 0.4)
    assert versions(shop, 60, k=3) == first, "the same people when it is tried again"


def test_a_list_on_trial_is_the_bundles_own_in_every_stage(place: Place) -> None:
    """What the canary shows is what a shard shows that has activated it: vectors, light model, ranker."""
    flat = {"cascade_affinity": (4.0, 2.0, 1.0)}
    config = "[surfaces.home.sources.ann]\n" + PLAIN
    shop = two(place, config, vectors=clustered(seed=9), weights=flat, bias=(0.0, 0.0, 0.0))
    shop.did("click", "i1", "i7")
    before = ids(shop.home(k=20))
    tried(shop, 1.0)
    on_trial = shop.home(k=20)
    assert on_trial["model"]["version"] == "2"
    in_loop(shop, shop.models.end_trial())
    assert ids(shop.home(k=20)) == before, "and the one in use is untouched"
    in_loop(shop, shop.models.activate("tiny", "2"))
    activated = shop.home(k=20)
    assert ids(activated) == ids(on_trial) and ids(activated) != before
    assert [item["score"] for item in activated["items"]] == [item["score"] for item in on_trial["items"]]


def test_in_a_large_catalogue_it_has_a_graph_of_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "SCAN_ONLY_MAX", 10)
    monkeypatch.setattr(
        nearest.Nearest, "_took_s", lambda self, find, n: float("graph" not in find.__code__.co_freevars)
    )
    shop = two(place, "[surfaces.home.sources.ann]\nquota = 20\n" + PLAIN, vectors=clustered(seed=9))
    graphs, beside = shop.models.upkeep.graphs, shop.models.upkeep.beside
    until_built(shop)
    until_built(shop, beside)
    assert graphs.nearest.graph is not None and beside.nearest.graph is None, "nothing is tried"
    shop.did("click", "i1", "i7")
    before = ids(shop.home(k=20))
    tried(shop, 1.0)
    scanned = ids(shop.home(k=20))
    until_built(shop, beside)
    assert beside.nearest.graph is not None
    asked: list[int] = []
    find = beside.nearest.graph.find
    monkeypatch.setattr(beside.nearest.graph, "find", lambda vector, n: asked.append(n) or find(vector, n))
    assert ids(shop.home(k=20)) == scanned != before and asked == [20]
    shop.put(Shop.item(int(scanned[0][1:]), available=False))
    asyncio.run(shop.models.upkeep.tick())
    assert scanned[0] not in ids(shop.home(k=20)), "it follows the catalogue"
    in_loop(shop, shop.models.end_trial())
    assert beside.nearest.graph is None and graphs.nearest.graph is not None
    until_built(shop, beside)
    assert beside.nearest.graph is None
    assert shop.home(k=20)["model"]["version"] == "1"


def test_its_decisions_name_it_and_it_ranks_given_items(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.5)
    replies = [shop.home(session_id=f"p{n}", request_id=f"q{n}") for n in range(20)]
    replies += [shop.rank(["i1", "i2"], session_id=f"p{n}", request_id=f"g{n}") for n in range(20)]
    decided = {decision["request_id"]: decision["bundle"] for decision in shop.decisions()}
    assert {decided[reply["request_id"]] for reply in replies} == {"tiny/1", "tiny/2"}
    for reply in replies:
        version = reply["model"]["version"]
        assert decided[reply["request_id"]] == f"tiny/{version}" and reply["degraded"] == []
        assert {item["score"] > 1.0 for item in reply["items"]} == {version == "2"}


def test_items_that_come_meanwhile_are_in_both(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.5)
    shop.put({"id": "fresh", "categories": ["shoes"], "price": 3})
    lists = [shop.home(session_id=f"p{n}", k=61) for n in range(10)]
    assert {each["model"]["version"] for each in lists} == {"1", "2"}
    assert all("fresh" in ids(each) for each in lists)


def test_a_restart_goes_on_and_an_end_is_an_end(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.4)
    first = versions(shop, 40, k=1)
    shop = place.open(parse(PLAIN), stocked=False)
    trial = shop.models.trial().trial
    assert trial is not None and (trial.role, trial.version, trial.share) == ("canary", "2", 0.4)
    assert versions(shop, 40, k=1) == first
    in_loop(shop, shop.models.end_trial())
    shop = place.open(parse(PLAIN), stocked=False)
    report = shop.models.trial()
    assert report.trial is None and report.ended is not None and report.ended.reason == "ended by hand"
    assert set(versions(shop, 40, k=1).values()) == {"1"}


def test_a_bundle_that_is_gone_after_a_restart_is_not_tried(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.5)
    place.close()
    (place.models / "tiny" / "2" / "items.npy").write_bytes(b"")
    shop = place.open(parse(PLAIN), stocked=False)
    assert shop.models.trial().trial is None
    assert set(versions(shop, 20, k=1).values()) == {"1"}


def test_an_activation_ends_it(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.5)
    in_loop(shop, shop.models.activate("tiny", "2"))
    report = shop.models.trial()
    assert report.trial is None and report.ended is not None
    assert report.ended.reason == "tiny/2 was activated"
    assert set(versions(shop, 20, k=1).values()) == {"2"}
    in_loop(shop, shop.models.rollback())
    assert set(versions(shop, 20, k=1).values()) == {"1"}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(place: Place, share: float) -> None:
    shop = two(place)
    with pytest.raises(InvalidField) as refused:
        tried(shop, share)
    assert refused.value.code == "out_of_range" and shop.models.trial().trial is None


def test_what_cannot_be_tried(place: Place) -> None:
    shop = two(place)
    tried(shop, 0.5)
    before = versions(shop, 20, k=1)
    for version, code in (("1", "bundle_in_use"), ("3", "bundle_missing")):
        with pytest.raises(BundleError) as refused:
            in_loop(shop, shop.models.try_out("canary", "tiny", version, 0.5))
        assert refused.value.code == code
    (make_bundle(place.models, version="4") / "ranker.onnx").write_bytes(b"broken")
    with pytest.raises(BundleError):
        in_loop(shop, shop.models.try_out("shadow", "tiny", "4", 0.5))
    assert versions(shop, 20, k=1) == before, "what was tried goes on"
    in_loop(shop, shop.models.end_trial())
    with pytest.raises(BundleError) as refused:
        in_loop(shop, shop.models.end_trial())
    assert refused.value.code == "bundle_not_tried"


def watched(shop: Shop, lists: int, after: Callable[[dict[str, Any]], None] = lambda _: None) -> Report:
    """So many lists of as many people, looked at after each."""

    async def play() -> Report:
        for n in range(lists):
            body = json.dumps({"surface": "home", "session_id": f"p{n}", "request_id": f"q{n}", "k": 10}).encode()
            after(json.loads(await shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4)))
            await shop.models.trials.tick()
        return shop.models.trial()

    return in_loop(shop, play())


LIVE = {"cascade_affinity": (1.0, 1.0, 1.0), "cross_minutes_since": (1.0, 1.0, 1.0)}
BELOW = 1_000.0


def ranker_of_logarithms() -> bytes:
    """Passes a probe of small rows, and gives no number for an item that the visitor never had to do with: that is a
    million minutes ago."""
    nodes = [
        helper.make_node("Sub", ["below", "rows"], ["under"]),
        helper.make_node("Log", ["under"], ["logs"]),
        helper.make_node("Gemm", ["logs", "weights"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["shares"]),
        # onnxruntime's sigmoid makes a number of what is none.
        helper.make_node("Mul", ["logits", "nothing"], ["spoiled"]),
        helper.make_node("Add", ["shares", "spoiled"], ["probabilities"]),
    ]
    tables = {
        "below": np.array([BELOW], np.float32),
        "nothing": np.zeros(1, np.float32),
        "weights": np.ones((len(LIVE), 3), np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", len(LIVE)])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(array, name) for name, array in tables.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def test_one_that_fails_is_taken_back_and_the_other_never_suffers(place: Place) -> None:
    shop = two(place, PLAIN + SOON)
    recipe = Recipe(weights=LIVE)
    recipe.files["ranker.onnx"] = ranker_of_logarithms()
    logits = np.log(BELOW - recipe.probe["rows"]).sum(1, keepdims=True)
    recipe.probe["probabilities"] = np.repeat(1 / (1 + np.exp(-logits)), 3, axis=1).astype(np.float32)
    recipe.write(place.models, version="3")
    in_loop(shop, shop.models.try_out("canary", "tiny", "3", 0.5))
    seen: list[dict[str, Any]] = []
    report = watched(shop, 120, seen.append)
    assert report.trial is None and report.ended is not None
    assert report.ended.reason.startswith("errors: 100.0% of its lists")
    stays = [reply for reply in seen if reply["model"]["version"] == "1"]
    assert len(stays) > 60 and all(reply["degraded"] == [] for reply in stays)
    failed = [reply for reply in seen if reply["model"]["version"] == "3"]
    assert 20 <= len(failed) <= 60 and all(len(reply["items"]) == 10 for reply in failed)
    assert all(reply["degraded"] == ["ranker_failed"] for reply in failed)
    assert json.loads(bytes(shop.state.core.trial))["ended"]["reason"] == report.ended.reason


def test_one_that_is_slow_is_taken_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = two(place, PLAIN + SOON + "[cascade]\nrank_budget_ms = 500.0\n")
    tried(shop, 0.5)
    trials: Trials = shop.models.trials
    assert trials.active is not None
    ranker = trials.active.bundle.ranker
    score = ranker.score

    def slow(rows: Any) -> Any:
        shop.clock.advance(40)
        return score(rows)

    monkeypatch.setattr(type(ranker), "score", lambda self, rows: slow(rows) if self is ranker else score(rows))
    report = watched(shop, 120)
    assert report.ended is not None and report.ended.reason.startswith("latency: P95 50 ms")


def test_one_that_is_clicked_less_is_taken_back(place: Place) -> None:
    shop = two(place, PLAIN + SOON)
    tried(shop, 0.5)

    def click(reply: dict[str, Any]) -> None:
        if reply["model"]["version"] == "1":
            person = f"p{reply['request_id'][1:]}"
            shop.did("click", *ids(reply)[:3], session=person)

    report = watched(shop, 120, click)
    assert report.ended is not None and report.ended.reason.startswith("clicks: 0.000% of shown items, 30.")
    assert served(shop) == "1"


def test_one_that_does_as_well_stays(place: Place) -> None:
    shop = two(place, PLAIN + SOON)
    tried(shop, 0.5)
    report = watched(shop, 100, lambda reply: shop.did("click", ids(reply)[0], session=f"p{reply['request_id'][1:]}"))
    assert report.trial is not None and report.stays is not None and report.tried is not None
    assert report.stays.lists + report.tried.lists == 100
    assert (report.stays.clicks, report.tried.clicks) == (report.stays.lists, report.tried.lists)
    assert (report.stays.shown, report.stays.failed) == (10 * report.stays.lists, 0)
    said = shop.metrics.render().decode() if shop.metrics._stats else ""
    assert shop.models.stats()["canary_tried_lists"] == report.tried.lists and "nan" not in said


def test_a_shadow_is_compared_and_never_seen(place: Place) -> None:
    shop = two(place, PLAIN, weights=WEIGHTS, bias=BIAS)
    tried(shop, 1.0, "shadow")
    seen: list[dict[str, Any]] = []
    report = watched(shop, 30, seen.append)
    assert {reply["model"]["version"] for reply in seen} == {"1"}
    assert report.overlap is not None and (report.overlap.lists, report.overlap.failed) == (30, 0)
    assert report.overlap.overlap == report.overlap.first_same == 1.0, "the same ranker but for its bias"
    assert {decision["bundle"] for decision in shop.decisions()} == {"tiny/1"}
    assert len(shop.decisions()) == 30


def test_a_shadow_of_another_opinion_overlaps_less(place: Place) -> None:
    up, down = {"item_ctr_1d": (9.0, 9.0, 9.0)}, {"item_ctr_1d": (-9.0, -9.0, -9.0)}
    make_bundle(place.models, version="1", weights=up, bias=(0.0, 0.0, 0.0))
    shop = place.open(parse(PLAIN))
    for n in range(60):
        shop.did("click", *[f"i{n}"] * (n % 3), session=f"crowd{n}")
    shop.clock.advance(120_000)
    make_bundle(place.models, version="2", weights=down, bias=(0.0, 0.0, 0.0))
    tried(shop, 1.0, "shadow")
    report = watched(shop, 10)
    assert report.overlap is not None and report.overlap.lists == 10
    assert report.overlap.overlap < 0.5 and report.overlap.first_same == 0.0


def test_a_shadow_list_of_somebody_who_went_on_is_not_compared(place: Place) -> None:
    shop = two(place)
    tried(shop, 1.0, "shadow")

    async def play() -> Report:
        body = json.dumps({"surface": "home", "session_id": "p"}).encode()
        await shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4)
        event = {"event_id": "e", "session_id": "p", "event_type": "click", "item_id": "i1", "ts_ms": 1_700_000_000_000}
        await shop.state.ingest("events", json.dumps(event).encode(), "json", trusted=True)
        await shop.models.trials.tick()
        return shop.models.trial()

    report = in_loop(shop, play())
    assert report.overlap is not None and (report.overlap.lists, report.overlap.moved) == (0, 1)


def test_lists_that_nobody_has_time_for_are_not_made_again(place: Place) -> None:
    shop = two(place)
    tried(shop, 1.0, "shadow")

    async def play() -> Report:
        for n in range(70):
            body = json.dumps({"surface": "home", "session_id": f"p{n}", "k": 1}).encode()
            await shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4)
        for _ in range(70):
            await shop.models.trials.tick()
        return shop.models.trial()

    report = asyncio.run(play())
    assert report.overlap is not None and (report.overlap.lists, report.overlap.skipped) == (64, 6)
