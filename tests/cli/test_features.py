"""`rtp features`: what it prints, and the exit codes that a build relies on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.cli.main import run
from rtp_monolith.config import parse
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.declared import declared
from rtp_monolith.state.introduced import introduce

LIKES = """\
[features.user.likes_7d]
meaning = "likes of a week"
owner = "search"
aggregate = "count"
where = "event_type == 'like'"
window = "7d"
"""
VIEWS = """\
[features.item.views]
meaning = "views of a day"
aggregate = "count"
where = "event_type == 'view'"
window = "1d"
"""


def write(tmp_path: Path, text: str, name: str) -> str:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_list_says_scope_version_owner_and_meaning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, LIKES + VIEWS, "shard.toml")
    assert run(["features", "list", "--config", config, "--json"]) == 0
    document = said(capsys)
    assert [each["name"] for each in document["features"]] == [
        *(each.name for each in FEATURES),
        "item_views",
        "user_likes_7d",
    ]
    assert document["features"][-1] == {
        "name": "user_likes_7d",
        "scope": "user",
        "version": 1,
        "owner": "search",
        "meaning": "likes of a week",
        "default": 0.0,
        "ttl_ms": 0,
        "fingerprint": declared(parse(LIKES)).custom[0].fingerprint(),
    }
    assert document["accumulators"] == 2
    assert run(["features", "list", "--own", "--config", config]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["feature", "item_views", "user_likes_7d"]


def test_show_gives_the_definition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write(tmp_path, LIKES, "shard.toml")
    assert run(["features", "show", "user_likes_7d", "--config", config, "--json"]) == 0
    document = said(capsys)
    (accumulator,) = document["accumulators"]
    assert document["definition"]["key"] == accumulator["key"]
    assert accumulator["where"]["test"]["op"] == {"test": "in", "values": ["like"]}
    assert run(["features", "show", "user_likes", "--config", config, "--json"]) == 1
    assert said(capsys)["error"]["code"] == "unknown_feature"
    assert run(["features", "show", "item_ctr_1d"]) == 0
    assert '"hits": "click"' in capsys.readouterr().out


def test_lint_tells_every_fault_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write(tmp_path, LIKES + VIEWS, "good.toml")
    assert run(["features", "lint", good]) == 0
    assert capsys.readouterr().out == f"{good}: 2 features fit\n"
    bad = write(tmp_path, (LIKES + VIEWS).replace("'like'", "'lkie'").replace('"1d"', '"2d"'), "bad.toml")
    assert run(["features", "lint", bad]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{bad}:5", f"{bad}:11"]
    assert run(["features", "lint", bad, "--json"]) == 1
    document = said(capsys)
    assert document["fits"] is False
    assert document["faults"][0]["place"] == "features.user.likes_7d.where"


CHANGED = LIKES.replace("'like'", "'dislike'")


@pytest.mark.parametrize(
    ("new", "code", "changes", "refused"),
    [
        (LIKES, 0, {}, []),
        (LIKES.replace("a week", "seven days"), 0, {}, []),
        (LIKES + VIEWS, 0, {"added": ["item_views"]}, []),
        (VIEWS, 0, {"added": ["item_views"], "removed": ["user_likes_7d"]}, []),
        (CHANGED, 1, {"changed": ["user_likes_7d"]}, [{"code": "feature_changed", "feature": "user_likes_7d"}]),
        (CHANGED + "version = 2\n", 0, {"renewed": ["user_likes_7d"]}, []),
    ],
)
def test_diff_of_two_files(
    new: str, code: int, changes: dict[str, Any], refused: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing: dict[str, list[str]] = {"added": [], "removed": [], "renewed": [], "changed": []}
    files = [write(tmp_path, LIKES, "old.toml"), write(tmp_path, new, "new.toml")]
    assert run(["features", "diff", *files, "--json"]) == code
    assert said(capsys) == {**nothing, **changes, "refused": refused}
    assert run(["features", "diff", *files]) == code
    told = capsys.readouterr()
    assert told.out.splitlines() == [f"{kind}: {name}" for kind, names in changes.items() for name in names]
    assert ("feature_changed: user_likes_7d" in told.err) == bool(refused)


def test_diff_against_a_folder_knows_every_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    (data / "log").mkdir(parents=True)
    introduce(data, declared(parse(LIKES)).custom)
    introduce(data, declared(parse(CHANGED + "version = 2\n")).custom)
    for text, code in ((LIKES, 0), (CHANGED + "version = 2\n", 0), (CHANGED + "version = 3\n", 0), (CHANGED, 0)):
        changed = text == CHANGED
        assert run(["features", "diff", str(data), write(tmp_path, text, "new.toml"), "--json"]) == code or changed
        assert bool(said(capsys)["changed"]) == changed, text


def bundle(models: Path, version: str, features: dict[str, str]) -> Path:
    folder = models / "shop" / version
    folder.mkdir(parents=True)
    files = ("items.txt", "items.npy", "encoder.onnx", "ranker.onnx", "prerank.json", "probe.npz")
    manifest = {
        "format": 1,
        "name": "shop",
        "version": version,
        "files": {name: {"sha256": "0" * 64, "bytes": 1} for name in files},
        "features": features,
        "embedding": {"version": "0" * 16, "dimension": 1, "items": 1},
        "encoder": {"file": "encoder.onnx", "length": 1},
        "ranker": {"file": "ranker.onnx", "inputs": list(features), "heads": ["click"]},
        "prerank": {"file": "prerank.json"},
        "probe": {"file": "probe.npz"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_what_a_bundle_reads_cannot_be_removed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (likes,) = declared(parse(LIKES)).custom
    folder = bundle(
        tmp_path / "models", "7", {likes.name: likes.fingerprint(), "item_price": FEATURES[0].fingerprint()}
    )
    old, new = write(tmp_path, LIKES, "old.toml"), write(tmp_path, VIEWS, "new.toml")
    assert run(["features", "diff", old, new, "--models", str(tmp_path / "models"), "--json"]) == 1
    refusal = {"code": "feature_removed", "feature": likes.name, "bundles": ["shop/7"]}
    assert said(capsys)["refused"] == [refusal]
    assert run(["features", "diff", str(folder), new, "--json"]) == 1
    document = said(capsys)
    assert refusal in document["refused"]
    assert document["changed"] == ["item_price"], "what a bundle was trained on must not change at all"
    assert run(["features", "diff", old, old, "--models", str(tmp_path / "models"), "--json"]) == 0


def test_a_file_that_does_not_fit_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, bad = write(tmp_path, LIKES, "old.toml"), write(tmp_path, LIKES.replace('"count"', '"cuont"'), "bad.toml")
    assert run(["features", "diff", old, bad, "--json"]) == 1
    error = said(capsys)["error"]
    assert error["code"] == "bad_definition" and f"{bad}:4: " in error["message"]
