"""Features of the scope `arm`: which list an event belongs to, by literal values and plain loops, and that what is
served comes out of the log again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtp_monolith._native import Ask, SurfacePlan
from rtp_monolith.config import Bots, Config, FeatureTable, State
from rtp_monolith.features.declared import declared
from rtp_monolith.monitoring.skew import replay_and_compare
from rtp_monolith.state.rebuild import verify
from rtp_monolith.training.replay import RowCounts, RowSettings, replay_lists
from tests.oracles.arms import ArmOracle, Shown
from tests.oracles.features import in_window, rate

from .scene import DAY, HOUR, MINUTE, NOON, Scene, Step, event

CLICKS = "event_type == 'click'"


def tables(dimension: str) -> dict[str, dict[str, Any]]:
    keys = {"window": "1d", "dimension": dimension}
    prior = {"prior_rate": 0.1, "prior_strength": 10.0}
    seen = "event_type == 'impression'"
    return {
        f"{dimension}_clicks": {"aggregate": "count", "where": CLICKS, **keys},
        f"{dimension}_rate": {"aggregate": "rate", "hits": CLICKS, "trials": seen, **keys, **prior},
        f"{dimension}_orders": {"aggregate": "count", "where": "event_type == 'purchase'", **keys},
    }


def config(**other: Any) -> Config:
    every = {**tables("surface"), **tables("bundle"), **tables("explored")}
    own = {name: msgspec.convert({"meaning": "m", **keys}, FeatureTable) for name, keys in every.items()}
    return Config(features={"arm": own}, **other)


def ask_on(scene: Scene, surface: str, bundle: str = "", session: str = "s1", user: str | None = "u1") -> Ask:
    plan = SurfacePlan(surface, [], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False)
    scene.shard.load_request(user, session)
    ask = scene.shard.core.ask(plan, user, session, scene.shard.now_ms())
    ask.made_with(bundle)
    return ask


def decide(scene: Scene, ask: Ask, request_id: str, bundle: str, items: Sequence[str], rows: bool = False) -> None:
    core, log = scene.shard.core, scene.shard.log
    ranked, unknown = core.rank_given(ask, list(items))
    assert unknown == []
    core.decide(log, ask, ranked, request_id=request_id, config_digest=int(scene.config.digest(), 16), seed=0,
                bundle=bundle, context=b"{}", degraded=[], plan=scene.shard.plan if rows else None)  # fmt: skip
    core.submit_decisions(log)
    assert log.wait_durable(log.end(), 10_000)
    core.advance(log, scene.shard.now_ms())


def shown(request_id: str, surface: str = "home", bundle: str = "m/1", session: str = "s1",
          user: str | None = "u1") -> Step:  # fmt: skip
    return lambda scene: decide(scene, ask_on(scene, surface, bundle, session, user), request_id, bundle, ["a", "b"])


def told(kind: str, item: str | None, request_id: str | None = None, **more: Any) -> Step:
    """An event that names its list."""

    def happen(scene: Scene) -> None:
        body: dict[str, object] = {"event_type": kind, "session_id": "s1", "user_id": "u1", "ts_ms": NOON}
        named = {} if request_id is None else {"request_id": request_id}
        scene.send([{**body, **({} if item is None else {"item_id": item}), **named, **more}])

    return happen


def value(scene: Scene, feature: str, surface: str = "home", bundle: str = "m/1", item: str = "a") -> float:
    ask = ask_on(scene, surface, bundle)
    row = scene.shard.core.vectors_of(ask, [item], scene.shard.plan)[0]
    return float(row[scene.shard.plan.names.index(f"arm_{feature}")])


ORDER = {"props": {"items": '[{"item_id":"c"},{"item_id":"a"}]'}}
HERE = [shown("r1"), told("click", "a", "r1")]
CASES: dict[str, tuple[Sequence[Step], str, dict[str, str], float]] = {
    "a click on a list of the surface": (HERE, "surface_clicks", {}, 1),
    "and of the bundle": (HERE, "bundle_clicks", {}, 1),
    "not of another surface": (HERE, "surface_clicks", {"surface": "product"}, 0),
    "nor of another bundle": (HERE, "bundle_clicks", {"bundle": "m/2"}, 0),
    "the bundle's on any surface": (HERE, "bundle_clicks", {"surface": "product"}, 1),
    "lists without a bundle are an arm": (
        [shown("r1", bundle=""), told("click", "a", "r1")], "bundle_clicks", {"bundle": ""}, 1),
    "a click that names no list": ([shown("r1"), told("click", "a")], "surface_clicks", {}, 0),
    "a list that nobody knows": ([shown("r1"), told("click", "a", "r2")], "surface_clicks", {}, 0),
    "a list of another session": (
        [shown("r1", session="s2"), told("click", "a", "r1")], "surface_clicks", {}, 0),
    "what was taken from a list is bought from it": ([*HERE, told("purchase", "a")], "surface_orders", {}, 1),
    "what was not is not": ([*HERE, told("purchase", "b")], "surface_orders", {}, 0),
    "an order is of the list of its first item that has one": (
        [*HERE, told("purchase", None, **ORDER)], "surface_orders", {}, 1),
    "and of the list that it names": (
        [*HERE, shown("r2", "cart"), told("purchase", None, "r2", **ORDER)], "surface_orders", {"surface": "cart"}, 1),
    "the later of two lists": (
        [*HERE, shown("r2", "product"), told("click", "a", "r2"), told("purchase", "a")],
        "surface_orders", {"surface": "product"}, 1),
    "rates are of what was seen there": (
        [*HERE, told("impression", "a", "r1"), told("impression", "b", "r1"), told("impression", "c", "r9")],
        "surface_rate", {}, pytest.approx((1 + 1) / (2 + 10))),
    "a visitor's list is his session's after signing in": (
        [shown("r1", user=None), event("search", None, user=None), told("click", "a", "r1")], "surface_clicks", {}, 1),
    "before it is known who he is": (
        [shown("r1", user=None),
         lambda scene: scene.send([{"event_type": "click", "session_id": "s1", "item_id": "a", "ts_ms": NOON,
                                    "request_id": "r1"}])],
        "surface_clicks", {}, 1),
    "one of sixteen lists": (
        [shown("r1"), *[shown(f"x{n}", "product") for n in range(15)], told("click", "a", "r1")],
        "surface_clicks", {}, 1),
    "longer ago than sixteen lists": (
        [shown("r1"), *[shown(f"x{n}", "product") for n in range(16)], told("click", "a", "r1")],
        "surface_clicks", {}, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_event_counts_for_the_arm_of_its_list(case: str, tmp_path: Path) -> None:
    steps, feature, arm, expected = CASES[case]
    scene = Scene(tmp_path, config(state=State(users_cached_max=1)))
    for step in steps:
        step(scene)
    for _ in range(2):
        assert value(scene, feature, **arm) == expected
        scene.reopen()
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


@pytest.mark.parametrize("before", ["the click", "the purchase"])
def test_which_list_it_was_survives_a_restart(before: str, tmp_path: Path) -> None:
    scene = Scene(tmp_path, config())
    shown("r1")(scene)
    if before == "the click":
        scene.reopen()
    told("click", "a", "r1")(scene)
    scene.reopen()
    told("purchase", "a")(scene)
    assert (value(scene, "surface_clicks"), value(scene, "bundle_orders")) == (1, 1)
    scene.shard.close()


def test_the_explored_item_has_what_it_did_where_it_was_drawn(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config())
    scene.put(*[{"id": f"p{n}"} for n in range(8)])
    core, log = scene.shard.core, scene.shard.log
    core.rebuild_lists(scene.shard.now_ms())
    ask = ask_on(scene, "home")
    ranked, _ = core.rank_given(ask, ["a", "b", "c"])
    assert core.explore(ask, ranked, k=3, slot=1, pool_max=5, impressions_max=50, prior_clicks=1.0,
                        prior_impressions=20.0, seed=1) is not None  # fmt: skip
    drawn = core.shown(ranked)[1][0]
    core.decide(log, ask, ranked, request_id="r1", config_digest=0, seed=0, bundle="", context=b"{}", degraded=[])
    for item in ("a", drawn, drawn):
        told("click", item, "r1")(scene)
    shown("r2")(scene)
    told("click", drawn, "r2")(scene)
    clicks = {item: value(scene, "explored_clicks", item=item) for item in ("a", "c", drawn)}
    assert clicks == {"a": 0, "c": 0, drawn: 2}, "neither the ranked ones nor what it did on another list"
    assert value(scene, "explored_rate", item=drawn) == pytest.approx((2 + 1) / (2 + 10)), "no fewer trials than hits"
    assert value(scene, "explored_rate", item="c") == pytest.approx(0.1)
    scene.reopen()
    assert value(scene, "explored_clicks", item=drawn) == 2
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


def test_no_session_is_remembered_for_lists_that_nothing_counts(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Config())
    shown("r1", session="never")(scene)
    scene.shard.core.evict(0)
    assert dict(scene.shard.core.stats())["users_in_memory"] == 0
    scene.shard.close()


@pytest.mark.parametrize("seed", range(3))
def test_random_streams_count_like_plain_loops_and_come_out_of_the_log(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    uncapped = Bots(contributions_per_item_per_hour_max=255, contributions_per_hour_max=65_535)
    scene = Scene(tmp_path, config(bots=uncapped, state=State(users_cached_max=2)))
    oracle = ArmOracle()
    compared = 0
    names = scene.shard.plan.names
    for number in range(240):
        scene.clock.advance(draw.choice([0, 1_000, MINUTE, 20 * MINUTE, 2 * HOUR]))
        now = scene.clock.now_ms()
        session = draw.choice(["s1", "s2", "s3"])
        user = draw.choice([None, "u1"])
        if number % 3 == 0:
            surface, bundle = draw.choice(["home", "product"]), draw.choice(["", "m/1", "m/2"])
            request_id = f"r{draw.randrange(number + 1)}"
            ask = ask_on(scene, surface, bundle, session, user)
            items = draw.sample("abcd", 3)
            row = scene.shard.core.vectors_of(ask, [items[0]], scene.shard.plan)[0].tolist()
            got = dict(zip(names, row, strict=True))
            for dimension, arm in (("surface", surface), ("bundle", bundle)):
                counts = {k: in_window(oracle.times[dimension, arm, k], "1d", now) for k in ("click", "impression")}
                assert got[f"arm_{dimension}_clicks"] == counts["click"], (number, dimension)
                want = rate(counts["click"], counts["impression"], 0.1, 10)
                assert got[f"arm_{dimension}_rate"] == pytest.approx(want, rel=1e-5), (number, dimension)
                compared += counts["click"] > 0
            decide(scene, ask, request_id, bundle, items, rows=number % 2 == 0)
            oracle.show(session, Shown(request_id, {"surface": surface, "bundle": bundle}))
        named = draw.choice([None, *[one.request_id for one in oracle.lists[session]][-5:], "r1"])
        kind, item = draw.choice(["impression", "click", "click", "view"]), draw.choice("abcd")
        late = draw.choice([0, 0, draw.randrange(3 * HOUR)])
        body: dict[str, object] = {"session_id": session, "event_type": kind, "item_id": item, "ts_ms": now - late}
        body |= {key: given for key, given in (("request_id", named), ("user_id", user)) if given is not None}
        scene.send([body])
        oracle.add(session, kind, item, now - late, named)
        if number % 70 == 69:
            scene.reopen()
    scene.shard.close()
    assert compared > 40
    assert verify(tmp_path, scene.config).equal
    report = replay_and_compare(tmp_path, scene.config, 1.0, 0)
    assert report.compared > 1000 and report.different == 0, report.examples


def test_training_rows_have_the_values_of_the_moment(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config())
    features = declared(scene.config).features
    at = [each.name for each in features].index("arm_bundle_clicks")
    expected = {}
    for number in range(6):
        bundle = f"m/{number % 2}"
        ask = ask_on(scene, "home", bundle)
        expected[f"r{number}"] = scene.shard.core.vectors_of(ask, ["a"], scene.shard.plan)[0][at]
        decide(scene, ask, f"r{number}", bundle, ["a"])
        scene.clock.advance(MINUTE)
        for kind in ("impression", "click"):
            told(kind, "a", f"r{number}", ts_ms=scene.clock.now_ms())(scene)
    scene.clock.advance(DAY)
    told("click", "b", ts_ms=scene.clock.now_ms())(scene)
    scene.shard.close()
    rows = replay_lists(tmp_path, scene.config, RowSettings(), RowCounts(), features=features)
    found = {one.seen.request_id: float(one.features[0][at]) for one in rows}
    assert found == expected
    assert sorted(expected.values()) == [0, 0, 1, 1, 2, 2]
