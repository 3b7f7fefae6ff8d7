"""Definitions that come, change and go: what is counted from when, what is refused; and the audit finds no skew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtp_monolith.config import Audit, Config, Log
from rtp_monolith.errors import FeatureError
from rtp_monolith.monitoring.skew import replay_and_compare
from rtp_monolith.state.rebuild import rebuild, verify

from .scene import NOON, Scene, click, event
from .test_aggregates import LIKES, STARS, config
from .test_equality import live, make_config


def test_a_new_feature_is_counted_from_the_beginning_of_a_whole_log(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config({}))
    for step in (event("like", "a", user=None), event("like", "b"), *STARS):
        step(scene)
    scene.shard.close()
    with_likes = {"user": {"likes": {"aggregate": "count", "where": LIKES, "window": "7d"}}}
    scene.config = config(with_likes)
    scene.open()
    assert scene.value("user_likes") == 2
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal

    changed = {"user": {"likes": {**with_likes["user"]["likes"], "where": "event_type in ['like', 'rated']"}}}
    scene.config = config(changed)
    with pytest.raises(FeatureError, match="version 1 did; make it version = 2") as refused:
        scene.open()
    assert (refused.value.code, refused.value.field) == ("feature_changed", "features.user.likes")
    changed["user"]["likes"]["version"] = 2
    scene.config = config(changed)
    scene.open()
    assert scene.value("user_likes") == 2 + 3
    scene.shard.close()
    scene.config = config(with_likes)
    scene.open()
    assert scene.value("user_likes") == 2, "the version that was there before means what it meant"
    scene.shard.close()
    scene.config = config({})
    scene.open()
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal
    rebuild(tmp_path, scene.config)
    assert verify(tmp_path, scene.config).equal


def audited(partitions: int = 256) -> Config:
    """The traffic of the equality tests with a team's features."""
    features = {
        "user": {
            "carts": {"aggregate": "count", "where": "event_type == 'add_to_cart'", "window": "1d"},
            "dear": {"aggregate": "mean", "of": "item.price", "where": "item.price > 20", "window": "7d"},
            "money": {"aggregate": "sum", "of": "line.value", "window": "7d", "ttl": "3d"},
            "kinds": {"aggregate": "distinct", "of": "event_type", "window": "1d"},
        },
        "session": {"latest": {"aggregate": "last", "of": "props.price"}},
        "item": {
            "rate": {
                "aggregate": "rate",
                "hits": "event_type == 'like'",
                "trials": "event_type == 'click'",
                "window": "7d",
                "prior_rate": 0.2,
                "prior_strength": 5.0,
            },
            "top": {"aggregate": "max", "of": "props.price", "window": "7d"},
        },
        "category": {"skips": {"aggregate": "decayed", "where": "event_type == 'skip'", "half_life": "1d"}},
        "seller": {"since": {"aggregate": "minutes_since", "where": "event_type == 'purchase'"}},
        "context": {"likes": {"aggregate": "count", "where": LIKES, "window": "7d", "dimension": "country"}},
        "cross": {"same": {"interacted": "brand", "window": "1d"}},
    }
    plain = make_config(partitions)
    return msgspec.structs.replace(plain, features=config(features).features)


@pytest.mark.parametrize("seed", range(3))
def test_the_audit_finds_no_skew(seed: int, tmp_path: Path) -> None:
    live(tmp_path, audited(), seed, rounds=40)
    report = replay_and_compare(tmp_path, audited(), 1.0, 0)
    assert report.compared > 10_000
    assert (report.different, report.other_plan, report.other_config) == (0, 0, 0), report.examples
    assert verify(tmp_path, audited()).equal


def test_a_definition_that_changed_is_another_plan_and_no_skew(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config({"user": {"f": {"aggregate": "count", "window": "1d"}}}, audit=Audit(share=1.0)))
    digest = scene.shard.plan.digest
    scene.shard.close()
    for change in ({"where": LIKES, "version": 2}, {"window": "7d", "version": 3}):
        scene.config = config({"user": {"f": {"aggregate": "count", "window": "1d", **change}}})
        scene.open()
        assert scene.shard.plan.digest != digest
        scene.shard.close()


def test_without_the_beginning_of_the_log_a_new_feature_begins_where_it_is_declared(tmp_path: Path) -> None:
    """Kept ones go on, new ones start empty, and one that comes back does not find what it counted before the gap."""
    likes = {"aggregate": "count", "where": LIKES, "window": "lifetime"}
    small = {"log": Log(segment_bytes=1 << 16)}
    scene = Scene(tmp_path, config({"user": {"likes": likes}}, **small))
    event("like", "a")(scene)
    for n in range(400):
        scene.send(
            [
                {
                    "event_type": "click",
                    "user_id": f"x{n}",
                    "session_id": "s",
                    "item_id": "a",
                    "ts_ms": NOON,
                    "props": {"filler": "x" * 400},
                }
            ]
        )
    scene.shard._flusher.flush()
    assert scene.shard.log.retain(max_bytes=1 << 16, older_than_ms=None, keep_from=scene.shard.core.applied) > 0
    event("like", "b")(scene)
    scene.shard.close()
    with_clicks = {"likes": likes, "clicks": {**likes, "where": "event_type == 'click'"}}
    with_clicks["all"] = with_clicks.pop("clicks")
    scene.config = config({"user": with_clicks}, **small)
    scene.open()
    assert scene.shard.log.start() > 0
    assert [scene.value("user_likes"), scene.value("user_all")] == [2, 0]
    click("a")(scene)
    assert [scene.value("user_likes"), scene.value("user_all")] == [2, 1]
    since = dict(scene.shard.core.aggregates())
    assert sorted(offset > 0 for offset in since.values()) == [False, True]
    scene.shard.close()

    scene.config = config({"user": {"all": with_clicks["all"]}}, **small)
    scene.open()
    assert scene.value("user_all") == 1
    event("like", "c")(scene)
    scene.shard.close()
    scene.config = config({"user": with_clicks}, **small)
    scene.open()
    assert [scene.value("user_likes"), scene.value("user_all")] == [0, 1], "counts with a gap are not counts"
    scene.reopen()
    assert [scene.value("user_likes"), scene.value("user_all")] == [0, 1]
    scene.shard.close()

    scene.config = config({}, **small)
    with pytest.raises(FeatureError, match="is --config missing") as refused:
        scene.open()
    assert refused.value.code == "feature_removed"
