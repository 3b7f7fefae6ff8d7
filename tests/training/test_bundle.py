"""The folder of a bundle: what stands in it, that its bytes depend on its parts alone, that a version never changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from rtp_monolith.errors import DataError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.bundle import Parts, next_version, write_bundle

PRERANK = {
    "bias": 0.5, "affinity": 1.0, "recall": 0.0, "sources": {},
    "columns": [{"name": "item_price", "mean": 1.0, "deviation": 2.0, "weight": 0.25}],
}  # fmt: skip


def parts() -> Parts:
    return Parts(
        items=["a", 'b"\n', "ü"],
        vectors=np.arange(6, dtype=np.float32).reshape(3, 2),
        encoder=b"encoder",
        length=50,
        ranker=b"ranker",
        inputs=["item_clicks_1d", "cascade_affinity"],
        heads=["click", "cart", "purchase"],
        prerank=json.dumps(PRERANK).encode(),
        probe={"rows": np.zeros((1, 2), np.float32)},
        metrics={"click_auc": 0.75},
        report={"seed": 3},
        seed=3,
    )


def test_the_manifest_says_what_the_files_are(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "shop", "1", parts())
    assert folder == tmp_path / "shop" / "1" and [each.name for each in folder.parent.iterdir()] == ["1"]
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert set(manifest["files"]) == {each.name for each in folder.iterdir()} - {"manifest.json"}
    for file, said in manifest["files"].items():
        content = (folder / file).read_bytes()
        assert said == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    known = {feature.name: feature.fingerprint() for feature in FEATURES}
    # The pre-rank's columns are read too; the cascade's own have no fingerprint.
    assert manifest["features"] == {name: known[name] for name in ("item_clicks_1d", "item_price")}
    embedding = hashlib.sha256((folder / "items.npy").read_bytes() + (folder / "items.txt").read_bytes()).hexdigest()
    assert manifest["embedding"] == {"version": embedding[:16], "dimension": 2, "items": 3}
    assert [json.loads(line) for line in (folder / "items.txt").read_text().splitlines()] == ["a", 'b"\n', "ü"]
    assert np.array_equal(np.load(folder / "items.npy"), parts().vectors)
    assert (manifest["format"], manifest["seed"], manifest["index"]) == (1, 3, None)


def test_equal_parts_make_equal_bytes(tmp_path: Path) -> None:
    one, other = (write_bundle(tmp_path / name, "shop", "1", parts()) for name in ("one", "other"))
    for file in one.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes(), file.name


def test_a_version_never_changes(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "shop", "1", parts())
    with pytest.raises(DataError, match="never changes") as refused:
        write_bundle(tmp_path, "shop", "1", msgspec.structs.replace(parts(), seed=4))
    assert refused.value.code == "bundle_exists"
    assert json.loads((folder / "manifest.json").read_bytes())["seed"] == 3


def test_what_an_interrupted_writer_left_is_no_bundle_and_in_nobodys_way(tmp_path: Path) -> None:
    draft = tmp_path / "shop" / ".1.draft"
    draft.mkdir(parents=True)
    (draft / "items.txt").write_text("half")
    folder = write_bundle(tmp_path, "shop", "1", parts())
    assert not draft.exists() and (folder / "manifest.json").exists()


@pytest.mark.parametrize("word", ["", ".", "..", "a/b", "-x", "x" * 65])
def test_names_are_safe_as_folders(tmp_path: Path, word: str) -> None:
    for name, version in ((word, "1"), ("shop", word)):
        with pytest.raises(DataError) as refused:
            write_bundle(tmp_path, name, version, parts())
        assert refused.value.code == "bad_name"
    assert not any(tmp_path.iterdir())


def test_the_next_version_is_one_above_the_highest(tmp_path: Path) -> None:
    assert next_version(tmp_path, "shop") == "1"
    for version in ("2", "10", "rc1"):
        write_bundle(tmp_path, "shop", version, parts())
    assert next_version(tmp_path, "shop") == "11"
