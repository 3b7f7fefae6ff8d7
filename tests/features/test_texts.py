"""Texts as numbers: how well the request's words match an item, how long a text or a list is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.config import Audit, Config
from rtp_monolith.errors import FeatureError
from rtp_monolith.features.declared import declared
from rtp_monolith.monitoring.skew import replay_and_compare

from .scene import Scene, event, put, put_user
from .test_aggregates import config

TITLES = {"a": "red running shoes", "b": "red hat", "c": "blue shoes, blue laces", "d": "a kettle"}
DESCRIPTIONS = {"a": "for the road", "b": "made of wool, not of shoes"}


def titled(path: Path, features: dict[str, dict[str, Any]], **other: Any) -> Scene:
    scene = Scene(path, config({"cross": features}, **other))
    for item, title in TITLES.items():
        put(item, title=title, description=DESCRIPTIONS.get(item), categories=["shoes > red"] if item == "d" else [])(
            scene
        )
    return scene


def bm25(query: list[str], field: list[str], texts: list[list[str]]) -> float:
    """One field without regard to its length; rarity over all texts."""
    score = 0.0
    for word in query:
        found = sum(word in text for text in texts)
        weight = math.log(1 + (len(texts) - found + 0.5) / (found + 0.5)) if found else 0.0
        count = field.count(word)
        score += weight * 2.2 * count / (count + 1.2)
    return score


WORDS = [["red", "running", "shoes", "for", "the", "road", "b1"],
         ["red", "hat", "made", "of", "wool", "not", "of", "shoes", "b1"],
         ["blue", "shoes", "blue", "laces", "b2"],
         ["a", "kettle", "shoes", "red"]]  # fmt: skip


def test_a_title_is_matched_by_bm25(tmp_path: Path) -> None:
    scene = titled(tmp_path, {"f": {"matches": "title", "with": "query", "default": -1.0}})
    query = {"query": "Red blue SHOES unknown"}
    got = [scene.value("cross_f", item, query) for item in "abcd"]
    fields = [["red", "running", "shoes"], ["red", "hat"], ["blue", "shoes", "blue", "laces"], ["a", "kettle"]]
    want = [bm25(["red", "blue", "shoes"], field, WORDS) for field in fields]
    assert got == pytest.approx(want, rel=1e-5) and want[3] == 0
    assert [scene.value("cross_f", item) for item in "ab"] == [-1, -1], "without a query there is nothing to match"
    assert scene.value("cross_f", "a", {"query": "unknown"}) == 0
    scene.shard.close()


def test_of_everything_the_score_is_the_searchs(tmp_path: Path) -> None:
    scene = titled(tmp_path, {"f": {"matches": "text", "with": "query"}})
    core = scene.shard.core
    for query in ("red shoes", "wool of hat ", "blue b1 "):
        found = dict(core.search_text(query + " ", 10))
        assert found and [scene.value("cross_f", item, {"query": query}) for item in "abcd"] == pytest.approx(
            [found.get(item, 0.0) for item in "abcd"], rel=1e-5
        )
    scene.shard.close()


@pytest.mark.parametrize(("field", "hits"), [("brand", "ab"), ("category", "d"), ("description", "b")])
def test_the_other_fields(field: str, hits: str, tmp_path: Path) -> None:
    scene = titled(tmp_path, {"f": {"matches": field, "with": "campaign"}})
    text = {"brand": "b1", "category": "red", "description": "wool"}[field]
    assert [item for item in "abcd" if scene.value("cross_f", item, {"campaign": text}) > 0] == list(hits)
    scene.shard.close()


def test_an_item_that_changes_or_goes_is_matched_as_it_is(tmp_path: Path) -> None:
    scene = titled(tmp_path, {"f": {"matches": "title", "with": "query"}})
    query = {"query": "kettle"}
    before = scene.value("cross_f", "d", query)
    assert before > 0 == scene.value("cross_f", "b", query)
    put("b", title="kettle")(scene)
    assert 0 < scene.value("cross_f", "d", query) < before, "the word is less rare"
    put("d", title="a kettle", available=False)(scene)
    assert scene.value("cross_f", "d", query) == 0 < scene.value("cross_f", "b", query)
    scene.shard.close()


def test_the_last_query_is_what_the_user_searched_for(tmp_path: Path) -> None:
    scene = titled(tmp_path, {"f": {"matches": "title", "with": "last_query"}})
    assert scene.value("cross_f", "d") == 0
    event("search", None, query="kettle")(scene)
    assert scene.value("cross_f", "d") > 0
    assert scene.value("cross_f", "d", {"query": "hat"}) == 0, "the request's own query comes first"
    scene.shard.close()


def test_a_replay_finds_the_same_matches(tmp_path: Path) -> None:
    """Items change between the decisions, so the words' rarity does too."""
    scene = titled(tmp_path, {"f": {"matches": "text", "with": "query"}}, audit=Audit(share=1.0))
    for number, title in enumerate(("kettle red", "red", "shoes of wool")):
        put("c", title=title)(scene)
        ask = scene.ask("u1", "s1", {"query": "red wool shoes"})
        core, log = scene.shard.core, scene.shard.log
        ranked, _ = core.rank_given(ask, list("abcd"))
        digest = int(scene.config.digest(), 16)
        context = json.dumps({"query": "red wool shoes"}).encode()
        core.decide(
            log, ask, ranked, request_id=f"r{number}", config_digest=digest, seed=0, bundle="", context=context,
            degraded=[], plan=scene.shard.plan,
        )  # fmt: skip
        assert log.wait_durable(log.end(), 10_000)
        core.advance(log, scene.clock.now_ms())
        core.submit_decisions(log)
    scene.shard.close()
    report = replay_and_compare(tmp_path, scene.config, 1.0, 0)
    assert (report.decisions, report.different, report.other_plan) == (3, 0, 0), report.examples
    assert report.compared == 3 * 4 * len(scene.shard.plan)


SIZES = {
    "item": [("title", 3), ("description", 4), ("categories", 2), ("attributes.tags", 2), ("attributes.colour", 2)],
    "user": [("attributes.about", 3), ("attributes.likes", 2)],
    "context": [("query", 2)],
}


@pytest.mark.parametrize("scope", SIZES)
def test_sizes(scope: str, tmp_path: Path) -> None:
    tables = {f"f{n}": {"size": key, "default": -1.0} for n, (key, _) in enumerate(SIZES[scope])}
    scene = Scene(tmp_path, config({scope: tables}))
    names = [f"{scope}_{name}" for name in tables]
    before = [scene.value(name, "d") for name in names]
    assert before == ([-1, -1, 0, -1, -1] if scope == "item" else [-1] * len(names))
    put("d", title="One two-three", description="l'eau is not men's", categories=["x > y", "z"],
        attributes={"tags": ["new", "old"], "colour": "light blue"})(scene)  # fmt: skip
    event("click", "a")(scene)
    put_user(about="likes red hats", likes=["a", "b"])(scene)
    assert [scene.value(name, "d", {"query": "two words"}) for name in names] == [want for _, want in SIZES[scope]]
    scene.shard.close()


@pytest.mark.parametrize(
    ("scope", "keys", "place", "words"),
    [
        ("item", {"matches": "title", "with": "query"}, "features.item.f.matches", "of the scope `cross`"),
        ("cross", {"matches": "titel", "with": "query"}, "features.cross.f.matches", "did you mean `title`?"),
        ("cross", {"matches": "title"}, "features.cross.f", "`with` is missing"),
        ("cross", {"matches": "title", "with": "qeury"}, "features.cross.f.with", "did you mean `query`?"),
        ("cross", {"size": "title"}, "features.cross.f.size", "the scope `cross` has no texts"),
        ("item", {"size": "attributes.kg"}, "features.item.f.size", "unknown `attributes.kg`"),
        ("item", {"size": "title", "ttl": "1d"}, "features.item.f.ttl", "is of aggregates"),
        ("user", {"size": "about"}, "features.user.f.size", "attributes.<name>"),
        ("context", {"size": "device"}, "features.context.f.size", "unknown `device`"),
    ],
)
def test_what_does_not_fit_is_refused(scope: str, keys: dict[str, Any], place: str, words: str) -> None:
    with pytest.raises(FeatureError) as refused:
        declared(config({scope: {"f": keys}}))
    assert refused.value.field == place and words in str(refused.value)


def test_a_file_says_it_too(tmp_path: Path) -> None:
    from rtp_monolith.config import parse

    text = '[features.cross.f]\nmeaning = "m"\nmatches = "title"\nwith = "query"\n'
    assert isinstance(parse(text), Config) and declared(parse(text)).custom[0].key == "query"
