"""A bundle is served only when it is whole, meant for this catalogue, finite and what it was where it was made."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith.errors import BUNDLE_CODES, BundleError
from rtp_monolith.features.marks import Marks
from rtp_monolith.ranking.bundle import load
from rtp_monolith.ranking.bundle_files import folder_of, list_bundles
from tests.ranking.bundles import (
    DIMENSION,
    HEADS,
    LENGTH,
    WEIGHTS,
    Recipe,
    clustered,
    edited,
    encoder_graph,
    flipped,
    item_ids,
    make_bundle,
    npy,
    ranker_graph,
    shortened,
)

FILES = ("items.txt", "items.npy", "encoder.onnx", "ranker.onnx", "prerank.json", "probe.npz")


def code_of(folder: Path) -> str:
    with pytest.raises(BundleError) as refused:
        load(folder)
    assert refused.value.status == BUNDLE_CODES[refused.value.code]
    return refused.value.code


def test_a_whole_bundle_is_loaded_and_answers(tmp_path: Path) -> None:
    bundle = load(make_bundle(tmp_path))
    assert (bundle.name, bundle.version, bundle.items) == ("tiny", "1", item_ids())
    assert np.array_equal(bundle.vectors, clustered())
    assert bundle.plan.names == list(WEIGHTS)
    assert (bundle.ranker.heads, bundle.encoder.length, bundle.encoder.dimension) == (HEADS, LENGTH, DIMENSION)
    bundle.warm()
    assert bundle.ranker.score(np.zeros((2, len(WEIGHTS)), np.float32)).shape == (2, 3)


def test_any_id_makes_an_item(tmp_path: Path) -> None:
    items = ["a b", "ü\n", '"', "\u2028line", "x" * 128]
    assert load(make_bundle(tmp_path, items=items)).items == items


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_or_gone_is_refused(tmp_path: Path, name: str) -> None:
    folder = make_bundle(tmp_path)
    shortened(folder / name)
    assert code_of(folder) == "bundle_truncated"
    (folder / name).unlink()
    assert code_of(folder) == "bundle_truncated"


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_one_other_bit_is_refused(tmp_path: Path, name: str) -> None:
    folder = make_bundle(tmp_path)
    flipped(folder / name)
    assert code_of(folder) == "bundle_checksum"


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert code_of(tmp_path / "tiny" / "1") == "bundle_missing"


def _no_file(manifest: dict[str, Any]) -> None:
    del manifest["files"]["probe.npz"]


def _climbs_out(manifest: dict[str, Any]) -> None:
    manifest["files"]["../../secret"] = manifest["files"]["items.txt"]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("ranker"),
        lambda m: m.update(format=2),
        lambda m: m.update(name="other"),
        lambda m: m.update(version="2"),
        lambda m: m["files"]["items.npy"].update(sha256="short"),
        lambda m: m["encoder"].update(length=0),
        lambda m: m["ranker"].update(heads=[]),
        lambda m: m["encoder"].update(file="../encoder.onnx"),
        lambda m: m["features"].pop("session_clicks"),
        lambda m: (m["features"].pop("item_ctr_1d"), m["ranker"].update(inputs=["session_clicks"])),
        _no_file,
        _climbs_out,
    ],
)
def test_a_manifest_that_does_not_say_what_it_must_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    folder = make_bundle(tmp_path)
    edited(folder, lambda manifest: (change(manifest), None)[1])
    assert code_of(folder) == "bundle_format"


def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    (folder / "manifest.json").write_text("{")
    assert code_of(folder) == "bundle_format"


def test_features_must_mean_what_they_meant(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.features["item_ctr_1d"] = "0" * 16
    assert code_of(recipe.write(tmp_path)) == "bundle_feature_differs"
    recipe = Recipe()
    recipe.features["item_ctr_1y"] = "0" * 16
    assert code_of(recipe.write(tmp_path, version="2")) == "bundle_feature_missing"
    recipe = Recipe(weights={**WEIGHTS, "cascade_mood": (0, 0, 0)})
    assert code_of(recipe.write(tmp_path, version="3")) == "bundle_feature_missing"


def test_every_number_must_be_one(tmp_path: Path) -> None:
    spoiled = clustered()
    spoiled[7, 3] = np.nan
    assert code_of(make_bundle(tmp_path, version="1", vectors=spoiled)) == "bundle_not_finite"
    weights = {**WEIGHTS, "session_clicks": (0.0, float("nan"), 0.0)}
    assert code_of(make_bundle(tmp_path, version="2", weights=weights)) == "bundle_not_finite"
    recipe = Recipe()
    recipe.files["prerank.json"] = recipe.files["prerank.json"].replace(b'"affinity": 2.0', b'"affinity": 1e999')
    assert code_of(recipe.write(tmp_path, version="3")) in ("bundle_not_finite", "bundle_format")


def test_the_light_model_must_be_one(tmp_path: Path) -> None:
    for version, change in enumerate(
        (
            lambda model: model["columns"][0].update(deviation=0.0),
            lambda model: model.pop("bias"),
            lambda model: model["sources"].update(nobody=1.0),
            lambda model: model["columns"][0].update(name="session_clicks"),
        )
    ):
        recipe = Recipe()
        model = json.loads(recipe.files["prerank.json"])
        change(model)
        recipe.files["prerank.json"] = json.dumps(model).encode()
        assert code_of(recipe.write(tmp_path, version=str(version))) == "bundle_format", version


def test_the_graphs_must_give_what_they_gave(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.probe["probabilities"][2, 1] += 2e-4
    assert code_of(recipe.write(tmp_path, version="1")) == "bundle_probe"
    recipe = Recipe()
    recipe.probe["session"][0, 0] += 2e-4
    assert code_of(recipe.write(tmp_path, version="2")) == "bundle_probe"
    recipe = Recipe()
    recipe.probe["session"][0, 0] += 5e-5
    assert load(recipe.write(tmp_path, version="3")).version == "3"
    recipe = Recipe()
    recipe.probe["probabilities"][0, 0] = np.nan
    assert code_of(recipe.write(tmp_path, version="4")) == "bundle_probe"


def test_shapes_must_fit(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.files["items.npy"] = npy(clustered().astype(np.float64))
    assert code_of(recipe.write(tmp_path, version="1")) == "bundle_shape"
    recipe = Recipe()
    recipe.files["items.npy"] = npy(clustered()[:-1])
    assert code_of(recipe.write(tmp_path, version="2")) == "bundle_shape"
    recipe = Recipe()
    recipe.files["items.txt"] = b'"i0"\n' * 60
    assert code_of(recipe.write(tmp_path, version="3")) == "bundle_shape"
    recipe = Recipe()
    recipe.files["encoder.onnx"] = encoder_graph(DIMENSION + 1)
    assert code_of(recipe.write(tmp_path, version="4")) == "bundle_shape"
    recipe = Recipe()
    recipe.files["ranker.onnx"] = ranker_graph({"a": (1, 2, 3)}, (0, 0, 0))
    assert code_of(recipe.write(tmp_path, version="5")) == "bundle_shape"
    recipe = Recipe()
    recipe.probe["rows"] = recipe.probe["rows"][:, :-1]
    assert code_of(recipe.write(tmp_path, version="6")) == "bundle_shape"


def test_an_encoder_of_one_frozen_length_is_refused(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.files["encoder.onnx"] = encoder_graph(frozen=True)
    assert code_of(recipe.write(tmp_path)) == "bundle_shape"


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    for version, name in enumerate(
        ("items.npy", "items.txt", "encoder.onnx", "ranker.onnx", "prerank.json", "probe.npz")
    ):
        recipe = Recipe()
        recipe.files[name] = b"\x00 something else"
        assert code_of(recipe.write(tmp_path, version=str(version))) == "bundle_format", name


def test_the_embedding_must_be_the_one_of_the_manifest(tmp_path: Path) -> None:
    recipe = Recipe()
    recipe.manifest["embedding"] = {"version": "0" * 16, "dimension": DIMENSION, "items": 60}
    assert code_of(recipe.write(tmp_path)) == "bundle_checksum"


def test_bundles_are_listed_with_the_newest_last(tmp_path: Path) -> None:
    for version in ("2", "10", "1.9", "1.10", "9"):
        make_bundle(tmp_path, version=version, items=["a"])
    (tmp_path / "tiny" / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("x")
    assert [version for _, version in list_bundles(tmp_path)] == ["1.9", "1.10", "2", "9", "10"]
    assert list_bundles(tmp_path / "tiny") == []


@pytest.mark.parametrize(
    ("name", "version"), [("..", "1"), ("a/b", "1"), ("tiny", "../../etc"), ("", "1"), ("tiny", "")]
)
def test_a_name_that_is_a_path_is_no_bundle(tmp_path: Path, name: str, version: str) -> None:
    with pytest.raises(BundleError) as refused:
        folder_of(tmp_path, name, version)
    assert refused.value.code == "bundle_missing"


MARKS = Marks((1, 60), ("click", "purchase"))


def test_a_bundle_that_reads_marks_is_loaded(tmp_path: Path) -> None:
    encoder = load(make_bundle(tmp_path, marks=MARKS)).encoder
    assert encoder.marking is not None and encoder.marking.marks == MARKS
    item = np.zeros((1, DIMENSION), np.float32)
    assert encoder.encode(item, np.array([[3, 2]])).tolist() == pytest.approx([0.05] * DIMENSION)
    assert load(make_bundle(tmp_path, name="plain")).encoder.marking is None


@pytest.mark.parametrize(
    ("change", "code"),
    [
        # Of the encoder's entry in the manifest: what it reads is not what the graph takes.
        (lambda entry: entry.pop("marks"), "bundle_shape"),
        (lambda entry: entry["marks"].update(gap_edges_s=[1, 60, 90]), "bundle_shape"),
        (lambda entry: entry["marks"].update(gap_edges_s=[1]), "bundle_shape"),
        (lambda entry: entry["marks"].update(actions=["click", "purchase", "view"]), "bundle_shape"),
        (lambda entry: entry["marks"].update(actions=["click", "buy"]), "bundle_format"),
        (lambda entry: entry["marks"].update(actions=["click", "click"]), "bundle_format"),
        (lambda entry: entry["marks"].update(gap_edges_s=[60, 1]), "bundle_format"),
        (lambda entry: entry["marks"].update(gap_edges_s=[], actions=[]), "bundle_format"),
        (lambda entry: entry["marks"].pop("actions"), "bundle_format"),
        (lambda entry: entry.update(marks=True), "bundle_format"),
    ],
)
def test_marks_that_do_not_fit_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], code: str
) -> None:
    folder = make_bundle(tmp_path, marks=MARKS)
    edited(folder, lambda manifest: (change(manifest["encoder"]), None)[1])
    assert code_of(folder) == code


def test_marks_of_an_encoder_that_takes_none_are_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path)
    edited(folder, lambda m: m["encoder"].update(marks={"gap_edges_s": [1], "actions": ["click"]}))
    assert code_of(folder) == "bundle_shape"


def test_a_probe_without_its_marks_is_refused(tmp_path: Path) -> None:
    recipe = Recipe(marks=MARKS)
    del recipe.probe["marks"]
    assert code_of(recipe.write(tmp_path)) == "bundle_format"
