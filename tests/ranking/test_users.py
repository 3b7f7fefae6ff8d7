"""The past of a user in lists: a known user's first list before any click, the source `ann_user`, what is missing."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith._native import SurfacePlan
from rtp_monolith.config import parse
from rtp_monolith.errors import BundleError, FeatureError, NativeError
from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.declared import declared
from rtp_monolith.ranking.bundle import load
from rtp_monolith.ranking.faults import Fault
from rtp_monolith.records import read_recommend
from rtp_monolith.state.online.reader import Gathered
from tests.ranking.bundles import DIMENSION, Recipe, clustered, edited, halves, placed
from tests.ranking.conftest import Shop, ids

CONFIG = """
[users]
static = 8

[surfaces.home]
rank = "off"
diversity = 0.0
[surfaces.home.sources]
ann = { quota = 10, weight = 1.0 }
ann_user = { quota = 10, weight = 1.0 }
"""
NAN = float("nan")
WORDS = ContextWords(country=("DE", "FR"))


def countries() -> dict[str, np.ndarray]:
    """DE wants what is like i5, FR what is like i8."""
    return placed(clustered()[[5, 8]])


def open_shop(folder: Path, config: str = CONFIG, **recipe: Any) -> Shop:
    Recipe(**{"fusion": halves(), **recipe}).write(folder / "models")
    return Shop(folder / "data", parse(config), models=folder / "models")


def home(shop: Shop, static: np.ndarray | None, space: float | None = None, **request: Any) -> dict[str, Any]:
    """A list of somebody of whom that vector is published."""
    assert shop.models.active is not None
    row = np.full(DIMENSION + 1, NAN, np.float32)
    if static is not None:
        row[:-1], row[-1] = static, shop.models.active.bundle.space if space is None else space
    body = json.dumps({"surface": "home", "session_id": "s", "k": 5, **request}).encode()
    work = shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4, gathered=Gathered(row))
    reply: dict[str, Any] = json.loads(asyncio.run(work))
    return reply


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    made = open_shop(tmp_path)
    yield made
    made.state.close()


def test_a_user_who_comes_back_has_a_list_of_their_own_before_any_click(shop: Shop) -> None:
    vectors = clustered()
    for item in (3, 4):
        reply = home(shop, vectors[item])
        wanted = np.argsort(-(vectors @ vectors[item]), kind="stable")[:5]
        assert ids(reply) == [f"i{n}" for n in wanted], "in the order of the past alone"
        assert all("ann_user" in each["source"] for each in reply["items"]) and reply["degraded"] == []


def test_a_stranger_has_no_such_source(shop: Shop) -> None:
    shop.did("click", "i3")
    for reply in (home(shop, None), home(shop, clustered()[4], space=1.0), shop.home(k=5)):
        found = {source for each in reply["items"] for source in each["source"]}
        assert found == {"ann"}, "nor one whose vector is among the items of another bundle"


def near(vector: np.ndarray, k: int = 5) -> list[str]:
    return [f"i{n}" for n in np.argsort(-(clustered() @ vector), kind="stable")[:k]]


def test_a_stranger_whose_country_is_known_has_its_items(tmp_path: Path) -> None:
    shop = open_shop(tmp_path, fusion=countries(), words=WORDS)
    for country, item in (("DE", 5), ("FR", 8)):
        for reply in (
            home(shop, None, context={"country": country}),
            shop.home(k=5, context={"country": country, "device": "tv"}),
        ):
            assert ids(reply) == near(clustered()[item])
            assert {source for each in reply["items"] for source in each["source"]} == {"ann_user"}
    for said in ({"country": "US"}, {}):
        reply = home(shop, None, context=said)
        assert {source for each in reply["items"] for source in each["source"]} == {"catalogue"}, "nothing is known"
    shop.state.close()


def test_past_session_and_context_are_put_together(tmp_path: Path) -> None:
    shop = open_shop(tmp_path, fusion=countries(), words=WORDS)
    vectors = clustered()
    known, both = home(shop, vectors[4], context={"country": "FR"}), vectors[4] + vectors[8]
    assert ids(known) == near(both), "the past and the country"
    assert ids(home(shop, vectors[4], context={"country": "US"})) == ids(home(shop, vectors[4])) == near(vectors[4])
    shop.did("click", "i3")
    assert shop.models.active is not None and shop.models.active.bundle.fusion is not None
    fusion, core = shop.models.active.bundle.fusion, shop.state.core
    for static, country in ((vectors[4], "FR"), (None, "DE")):
        fused = fusion.fuse(static, vectors[3], 1, fusion.context_of((None, country, None), 0))
        assert fused is not None
        found, _ = core.nearest(fused, 10)
        reply = home(shop, static, k=40, context={"country": country})
        by_user = {each["id"] for each in reply["items"] if "ann_user" in each["source"]}
        assert by_user == {f"i{n}" for n in found} - {"i3"}
    shop.state.close()


def test_a_context_answers_alone_only_where_the_bundle_says_so(tmp_path: Path) -> None:
    shop = open_shop(tmp_path, fusion=countries(), words=WORDS, alone=False)
    said = {"country": "DE"}
    reply = home(shop, None, context=said)
    assert {source for each in reply["items"] for source in each["source"]} == {"catalogue"}
    assert ids(home(shop, clustered()[4], context=said)) == near(clustered()[4] + clustered()[5])
    shop.state.close()


def test_both_are_put_together(shop: Shop) -> None:
    vectors = clustered()
    shop.did("click", "i3")
    assert shop.models.active is not None and shop.models.active.bundle.fusion is not None
    fused = shop.models.active.bundle.fusion.fuse(vectors[4], vectors[3], 1)
    assert fused is not None
    core = shop.state.core
    near, _ = core.nearest(fused, 10)
    reply = home(shop, vectors[4], k=40)
    by_user = {each["id"] for each in reply["items"] if "ann_user" in each["source"]}
    assert by_user == {f"i{n}" for n in near} - {"i3"}, "what was clicked is not shown again"
    assert {each["id"] for each in reply["items"] if "ann" in each["source"]} - by_user


def test_a_failing_source_is_left_out_and_named(shop: Shop) -> None:
    shop.did("click", "i3")
    shop.faults.switch(Fault("ann_user"))
    reply = home(shop, clustered()[4])
    assert reply["degraded"] == ["source_failed:ann_user"]
    assert {source for each in reply["items"] for source in each["source"]} == {"ann"}
    shop.faults.switch(Fault("ann_user", off=True))
    shop.clock.advance(60_000)
    assert home(shop, clustered()[4])["degraded"] == []


def test_the_source_keeps_to_its_quota_its_weight_and_the_filter(tmp_path: Path) -> None:
    shop = open_shop(tmp_path, CONFIG.replace("ann_user = { quota = 10, weight = 1.0 }", "ann_user = { quota = 4 }"))
    reply = home(shop, clustered()[3], k=10)
    assert sum("ann_user" in each["source"] for each in reply["items"]) == 4
    only = {"field": "categories", "op": "contains", "value": "hats"}
    filtered = home(shop, clustered()[3], k=4, filter=only)
    assert [each["source"] for each in filtered["items"]] == [["ann_user"]] * 4, "hats alone, as many as may be"
    shop.state.close()


def test_the_ranker_reads_the_fused_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"cascade_affinity_user": (1.0, 0.0, 0.0), "cascade_affinity": (0.0, 0.0, 0.0)}
    shop = open_shop(tmp_path, CONFIG.replace('rank = "off"', 'value = "click"'), weights=weights)
    assert shop.models.active is not None
    bundle, read = shop.models.active.bundle, list[np.ndarray]()
    score = bundle.ranker.score
    monkeypatch.setattr(bundle.ranker, "score", lambda rows: (read.append(rows.copy()), score(rows))[1])
    shop.did("click", "i3")
    vectors, fusion = clustered(), bundle.fusion
    assert fusion is not None
    fused = fusion.fuse(vectors[4], vectors[3], 1)
    assert fused is not None
    for static, against in ((vectors[4], fused), (None, vectors[3])):
        reply = home(shop, static, k=50)
        mine, of_session = read[-1].T
        known = {round(float(vectors[n] @ vectors[3]), 4): float(vectors[n] @ against) for n in range(60)}
        assert mine == pytest.approx([known[round(float(each), 4)] for each in of_session], abs=1e-5)
        best = max((n for n in range(60) if n != 3), key=lambda n: float(vectors[n] @ against))
        assert ids(reply)[0] == f"i{best}", "the ranker goes by it alone"
    shop.state.close()


def test_the_native_side_refuses_other_vectors(shop: Shop) -> None:
    plan = SurfacePlan("home", [("ann_user", 5, 1.0)], hide_clicked=False, hide_bought=False, diversity=0.0,
                       counts_served=False)  # fmt: skip
    core = shop.state.core
    ask = core.ask(plan, "u", "s", shop.clock.now_ms())
    with pytest.raises(NativeError, match="3 values"):
        core.set_user_vector(ask, np.zeros(3, np.float32))
    with pytest.raises(NativeError, match="not a finite"):
        core.set_user_vector(ask, np.full(DIMENSION, np.inf, np.float32))
    assert len(core.recall(ask)) == 0, "without a vector the source brings nothing"
    core.set_user_vector(ask, clustered()[2])
    assert len(core.recall(ask)) == 5
    core.set_nearest(ask, np.array([7, 9], np.uint32), np.array([2.0, 1.0], np.float32), user=True)
    assert [item for item, _, _ in core.shown(core.recall(ask))] == ["i7", "i9"], "what a graph found comes first"


def spoiled(**change: Any) -> dict[str, Any]:
    return halves() | change


def spoil(recipe: Recipe, folder: Path, change: dict[str, np.ndarray]) -> None:
    """Puts other arrays into the recipe's fusion."""
    stored_at = folder / "stored.npz"
    with np.load(_bytes(stored_at, recipe.files["fusion.npz"])) as stored:
        np.savez(stored_at, **{**stored, **change})
    recipe.files["fusion.npz"] = stored_at.read_bytes()


def test_older_bundles_load_and_spoiled_ones_are_refused(tmp_path: Path) -> None:
    assert load(Recipe().write(tmp_path, version="0")).fusion is None
    assert load(Recipe(fusion=halves()).write(tmp_path, version="1")).fusion is not None
    cases = {
        "bundle_shape": {"gate": np.zeros((DIMENSION, 3), np.float32)},
        "bundle_not_finite": {"bias": np.full(DIMENSION, np.nan, np.float32)},
        "bundle_probe": {"bias": np.full(DIMENSION, 2.0, np.float32)},
    }
    for number, (code, change) in enumerate(cases.items(), start=2):
        recipe = Recipe(fusion=halves())
        spoil(recipe, tmp_path, change)
        with pytest.raises(BundleError) as refused:
            load(recipe.write(tmp_path, version=str(number)))
        assert refused.value.code == code
    recipe = Recipe(fusion=halves())
    recipe.files["fusion.npz"] = b"no archive"
    with pytest.raises(BundleError) as refused:
        load(recipe.write(tmp_path, version="9"))
    assert refused.value.code == "bundle_format"


def test_spoiled_contexts_are_refused(tmp_path: Path) -> None:
    own = Recipe(fusion=countries(), words=WORDS)
    assert load(own.write(tmp_path, version="0")).fusion is not None
    far = np.full((4, 4), 2, np.int64)
    arrays: dict[str, dict[str, np.ndarray]] = {
        "bundle_shape": {"context": np.zeros((3, DIMENSION), np.float32)},
        "bundle_not_finite": {"context": np.full((2, DIMENSION), np.inf, np.float32)},
        "bundle_probe": {"context": np.ones((2, DIMENSION), np.float32)},
        "bundle_shape ": {"probe_context": far},
        "bundle_shape  ": {"probe_context": far[:, :3]},
    }
    for number, (code, change) in enumerate(arrays.items(), start=1):
        recipe = Recipe(fusion=countries(), words=WORDS)
        spoil(recipe, tmp_path, change)
        with pytest.raises(BundleError) as refused:
            load(recipe.write(tmp_path, version=str(number)))
        assert refused.value.code == code.strip()
    values: dict[str, Any] = {
        "bundle_format": {"country": ["DE", "DE"]},
        "bundle_shape": {"country": ["DE", "FR", "US"]},
        "bundle_format ": {"hours": ["noon"]},
    }
    for number, (code, said) in enumerate(values.items(), start=10):
        folder = Recipe(fusion=countries(), words=WORDS).write(tmp_path, version=str(number))
        edited(folder, lambda manifest, said=said: manifest["fusion"]["context"].update(values=said))
        with pytest.raises(BundleError) as refused:
            load(folder)
        assert refused.value.code == code.strip()


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_team_s_feature_may_not_take_the_name() -> None:
    taken = '[users]\nstatic = 8\n[features.user.static]\npublished = "number"\nmeaning = "x"\n'
    with pytest.raises(FeatureError, match="user_static"):
        declared(parse(taken))
    assert [each.name for each in declared(parse(CONFIG)).published.user] == ["user_static", "user_static_space"]
    assert not any(each.name.startswith("user_static") for each in declared(parse(CONFIG)).features)
