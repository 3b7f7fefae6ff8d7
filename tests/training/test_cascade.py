"""From a generated log to a bundle, through the command; killed on the way; and twice with one seed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from rtp_monolith.cli.main import run
from rtp_monolith.config import load
from rtp_monolith.errors import BundleError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.declared import declared
from rtp_monolith.features.fusion import FORMS
from rtp_monolith.features.marks import GAP_EDGES_S
from rtp_monolith.ranking import bundle as bundles
from rtp_monolith.ranking.surfaces import compile_surfaces
from rtp_monolith.training.dataset import AFFINITY, SESSION_COLUMNS
from rtp_monolith.training.fusion import WITH_CONTEXT
from rtp_monolith.training.recall_weight import WEIGHTS

ITEMS, EVENTS = "300", "20000"
SMALL = ["--name", "tiny", "--version", "1", "--epochs", "2", "--threads", "1", "--json"]


OWN = """
[features.user.own_clicks]
meaning = "clicks of a day"
aggregate = "count"
where = "event_type == 'click'"
window = "1d"

[features.session.own_clicks]
meaning = "clicks of the session"
aggregate = "count"
where = "event_type == 'click'"
window = "lifetime"

[features.item.own_views]
meaning = "views of a week"
aggregate = "count"
where = "event_type in ['view', 'click']"
window = "7d"

[features.cross.own_brand]
meaning = "clicks on the brand"
interacted = "brand"
window = "1d"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a shard that took a small generated shop."""
    folder = tmp_path_factory.mktemp("shop")
    assert run(["generate", "shop", "--out", str(folder), "--items", ITEMS, "--events", EVENTS, "--seed", "3"]) == 0
    for kind in ("items", "events"):
        assert run(["import", kind, str(folder / f"{kind}.jsonl"), "--data", str(folder / "shard")]) == 0
    return folder / "shard"


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert run(["train", "--data", str(data), "--out", str(out), *SMALL]) == 0
    assert [each.name for each in (out / "tiny").iterdir()] == ["1"], "nothing is left of the work"
    return out / "tiny" / "1"


def document(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def test_the_report_says_what_was_learned(made: Path) -> None:
    report = document(made, "report.json")
    click = report["judged"]["click"]
    assert click["auc"]["model"] > max(click["auc"]["popularity"], 0.55)
    assert report["prerank"]["pools"] > 0 and report["prerank"]["overlap"] > 0.8
    inputs = document(made, "manifest.json")["ranker"]["inputs"]
    assert {gain["feature"] for gain in report["gains"]} == set(inputs)
    assert set(report["without_gain"]) == {g["feature"] for g in report["gains"] if not g["useful"]}
    assert set(report["constant"]) & set(inputs) == set() and AFFINITY in inputs and len(inputs) >= 64
    assert report["parity"]["ranker"] < 1e-5 and report["parity"]["encoder"] < 1e-5
    pools = report["pools"]
    assert pools["train"]["pools"] > 0 and pools["train"]["wanted"] >= pools["train"]["pools"]
    assert pools["stopping"]["pools"] > 0 and all(epoch["pools"] > 0 for epoch in report["epochs"])
    assert report["recall_weight"].keys() == {str(weight) for weight in WEIGHTS}
    for proposed in report["sources"].values():
        assert max(proposed["weights"].values()) == 1.0 and min(proposed["weights"].values()) >= 0.0
    rows = report["rows"]
    assert rows["counts"]["rows"] == sum(rows[name] for name in ("train", "stopping", "calibration", "judged"))


def test_the_graphs_answer_their_probe(made: Path) -> None:
    probe = np.load(made / "probe.npz")
    for file, inputs, output in (
        ("encoder", ("vectors", "lengths", *(("marks",) if "marks" in probe else ())), "session"),
        ("ranker", ("rows",), "probabilities"),
    ):
        session = onnxruntime.InferenceSession(str(made / f"{file}.onnx"), providers=["CPUExecutionProvider"])
        (found,) = session.run([output], {name: probe[name] for name in inputs})
        assert found == pytest.approx(probe[output], abs=1e-6)
        assert np.isfinite(found).all()
    assert probe["lengths"][-1] == 0 and not probe["session"][-1].any(), "the empty session is among them"
    assert ((probe["probabilities"] > 0) & (probe["probabilities"] < 1)).all()


def test_a_shard_takes_it(made: Path) -> None:
    bundle = bundles.load(made)
    assert (bundle.name, bundle.version, len(bundle.items)) == ("tiny", "1", int(ITEMS))


def test_nothing_says_where_it_was_made(made: Path) -> None:
    root = str(Path(__file__).resolve().parents[2]).encode()
    for file in made.iterdir():
        assert root not in file.read_bytes(), file.name


def test_without_the_session_nothing_of_it_is_read(data: Path, tmp_path: Path, made: Path) -> None:
    # With the surfaces of the demo and a team's features; of the log's own bundles there are none.
    surfaces = tmp_path / "shop.toml"
    surfaces.write_text((Path(__file__).resolve().parents[2] / "rtp_monolith" / "demo" / "shop.toml").read_text() + OWN)
    options = [*SMALL, "--drop", "session", "--config", str(surfaces), "--models", str(tmp_path / "none")]
    assert run(["train", "--data", str(data), "--out", str(tmp_path), *options]) == 0
    manifest, pre = (
        document(tmp_path / "tiny" / "1", "manifest.json"),
        document(tmp_path / "tiny" / "1", "prerank.json"),
    )
    read = {*manifest["ranker"]["inputs"], *(column["name"] for column in pre["columns"])}
    assert not read & SESSION_COLUMNS and pre["affinity"] == 0.0
    own = {each.name: each for each in declared(load(surfaces)).custom}
    assert {*own} & read == {"user_own_clicks", "item_own_views", "cross_own_brand"}, "the session's is left out"
    for name in {*own} & read:
        assert manifest["features"][name] == own[name].fingerprint()
    assert bundles.load(tmp_path / "tiny" / "1", declared(load(surfaces)).features).plan.names == [
        *manifest["ranker"]["inputs"]
    ]
    with pytest.raises(BundleError, match="the shard has no feature") as refused:
        bundles.load(tmp_path / "tiny" / "1")
    assert refused.value.code == "bundle_feature_missing"
    assert read & {feature.name for feature in FEATURES if feature.scope == "user"}
    assert document(tmp_path / "tiny" / "1", "report.json")["judged"]["click"]["auc"]["model"] > 0.5
    assert {*manifest["features"]} - {*own} < {*document(made, "manifest.json")["features"]}


HEADS = """
[heads.click]
events = ["click"]
[heads.look]
dwell = "5s"
worth = 0.5
[heads.order]
events = ["add_to_cart", "purchase"]
within = "1h"
worth = 3.0
[users]
static = 64
"""


def test_with_marks_heads_and_users_the_bundle_says_so_and_serves(data: Path, tmp_path: Path, made: Path) -> None:
    heads = tmp_path / "heads.toml"
    heads.write_text(HEADS)
    options = [*SMALL, "--marks", "on", "--config", str(heads), "--calibration", "isotonic"]
    assert run(["train", "--data", str(data), "--out", str(tmp_path), *options]) == 0
    folder = tmp_path / "tiny" / "1"
    assert document(folder, "manifest.json")["ranker"]["heads"] == ["click", "look", "order"]
    said = document(folder, "report.json")
    assert list(said["judged"]) == list(said["calibration"]) == ["click", "look", "order"]
    usual = document(made, "report.json")["judged"]
    assert said["judged"]["click"]["positives"] == usual["click"]["positives"]
    assert said["judged"]["order"]["positives"] >= usual["cart"]["positives"] > 0
    assert said["judged"]["look"]["positives"] > 0 and said["calibration"]["click"]["bends"] > 0
    assert all(0 <= each["ece_judged"] < 0.1 for each in said["calibration"].values())
    compile_surfaces(load(heads))["home"].value.check(["click", "look", "order"])
    marks = document(folder, "manifest.json")["encoder"]["marks"]
    assert marks["gap_edges_s"] == list(GAP_EDGES_S) and {"click", "add_to_cart", "purchase"} <= {*marks["actions"]}
    report = document(folder, "report.json")["encoder"]["marks"]
    assert report == {"asked": "on", "read": True, "actions": marks["actions"]}
    bundle = bundles.load(folder)
    assert bundle.encoder.marking is not None
    assert bundle.fusion is not None and bundle.fusion.form == said["users"]["form"] and said["users"]["parity"] < 1e-5
    tried = {each["name"]: each["ndcg"] for each in said["users"]["tried"]}
    assert [*tried] == ["static", "session", *FORMS, *(form + WITH_CONTEXT for form in FORMS)]
    assert "phone" in bundle.fusion.words.device if bundle.fusion.words else said["users"]["context"] is None
    if bundle.fusion.words is None:
        assert tried[said["users"]["form"]] == max(tried[form] for form in FORMS)
    assert bundle.fusion.clicks_max == said["users"]["clicks_max"]
    assert "fusion" not in document(made, "manifest.json"), "without [users] there is none"
    inputs = {each.name for each in onnxruntime.InferenceSession(str(folder / "encoder.onnx")).get_inputs()}
    assert inputs == {"vectors", "lengths", "marks"}
    # Left to validation, the report says what it said.
    weighed = document(made, "report.json")["encoder"]
    assert weighed["marks"]["asked"] == "auto"
    assert [(each["body"], each["marks"]) for each in weighed["tried"][:2]] == [("sasrec", False), ("core", False)]
    assert weighed["tried"][2]["marks"] is True
    assert weighed["marks"]["read"] == ("marks" in document(made, "manifest.json")["encoder"])
    assert any(each["ndcg"] == weighed["ndcg"] and each["body"] == weighed["body"] for each in weighed["tried"])


def test_counts_of_decisions_are_not_learned_from_a_log_without_any(made: Path) -> None:
    manifest = document(made, "manifest.json")
    served = {feature.name for feature in FEATURES if feature.trials == "served"}
    assert served and not served & {*manifest["ranker"]["inputs"]}


def test_killed_on_the_way_it_goes_on_and_ends_the_same(data: Path, tmp_path: Path, made: Path) -> None:
    command = [sys.executable, "-c", "from rtp_monolith.cli.main import main; main()", "train"]
    command += ["--data", str(data), "--out", str(tmp_path), *SMALL]
    work = tmp_path / "tiny"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    while process.poll() is None and not list(work.glob(".1.work-*/encoder-sasrec.pt")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    assert run(command[3:]) == 0
    for file in made.iterdir():
        assert file.read_bytes() == (work / "1" / file.name).read_bytes(), file.name


def test_a_version_that_exists_is_refused_before_any_work(
    data: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "--data", str(data), "--out", str(made.parents[1]), *SMALL]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["code"] == "bundle_exists"


def test_a_log_without_lists_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text('{"id": "a"}\n')
    assert run(["import", "items", str(items), "--data", str(tmp_path / "shard")]) == 0
    assert run(["train", "--data", str(tmp_path / "shard"), "--out", str(tmp_path / "out"), *SMALL]) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["code"] == "nothing_to_learn"
