"""`rtp evaluate` and `rtp train` as commands: options, defaults, exit codes, JSON, and a folder that can be loaded."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.training.saved import load
from tests.conftest import RTP

Rtp = Callable[..., tuple[int, Any]]
LINES = "a b c\nb c a\nc a b\na b c\nb c d\n" * 30


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "sessions.txt"
    path.write_text(LINES)
    return path


pytestmark = pytest.mark.usefixtures("small_models")


def test_the_report_of_the_contract(rtp: Rtp, file: Path) -> None:
    file.write_text("".join(LINES.splitlines(keepends=True)[:50]))
    code, report = rtp("evaluate", "--train", file, "--test", file, "--json")
    assert code == 0
    assert list(report) == [
        *("model", "protocol", "k", "refit", "hr", "mrr", "ndcg", "coverage", "n"),
        *("validation", "train_s", "epochs", "eval_s"),
    ]
    assert (report["model"], report["protocol"], report["k"], report["refit"]) == ("auto", "prefixes", 20, True)
    assert report["n"] == 100 and report["hr"] == 1.0


def test_leave_one_out_needs_no_test_file_and_does_not_refit(rtp: Rtp, file: Path) -> None:
    file.write_text("u a b c d\nv b c a\nw c\n")
    for more in ([], ["--test", file]):
        code, report = rtp(
            *("evaluate", "--train", file, *more, "--protocol", "leave-one-out", "--model", "popularity", "--json")
        )
        assert code == 0
        assert (report["refit"], report["protocol"], report["n"]) == (False, "leave-one-out", 2)


def test_without_json_it_is_a_table(rtp: Rtp, file: Path) -> None:
    code, said = rtp("evaluate", "--train", file, "--test", file, "--model", "item-knn", "--k", 2)
    assert code == 0 and "HR@2" in said and "item-knn" in said


@pytest.mark.parametrize(
    "args",
    [
        ["evaluate"],
        ["evaluate", "--train", "FILE"],
        ["evaluate", "--train", "no such file", "--test", "FILE"],
        ["evaluate", "--train", "FILE", "--test", "FILE", "--model", "sasrek"],
        ["evaluate", "--train", "FILE", "--test", "FILE", "--protocol", "prefix"],
        ["evaluate", "--train", "FILE", "--test", "FILE", "--k", "0"],
        ["evaluate", "--train", "FILE", "--test", "FILE", "--minutes", "0"],
        ["evaluate", "--train", "FILE", "--test", "FILE", "--seed", "x"],
        ["train", "--sessions", "FILE"],
        ["train", "--out", "x"],
        ["train", "--sessions", "FILE", "--out", "x", "--model", "sasrek"],
    ],
)
def test_wrong_use_is_two(rtp: Rtp, file: Path, args: list[str]) -> None:
    assert rtp(*(str(file) if each == "FILE" else each for each in args))[0] == 2


@pytest.mark.parametrize(
    ("text", "more", "wanted"),
    [
        ("", [], "empty_file"),
        ("a b c\n", [], "too_few_sessions"),
        ("a b\nb a\n", ["--protocol", "stream"], "times_missing"),
        ("a\nb\n", [], "no_cases"),
        ("a\nb\na b\n", ["--model", "sasrec"], "nothing_to_learn"),
    ],
)
def test_what_fails_is_one_with_a_code(rtp: Rtp, tmp_path: Path, text: str, more: list[str], wanted: str) -> None:
    path = tmp_path / "odd.txt"
    path.write_text(text)
    code, report = rtp("evaluate", "--train", path, "--test", path, *more, "--json")
    assert (code, report["error"]["code"]) == (1, wanted)


def test_interrupted_is_130(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text(LINES * 60)
    command = [*RTP, "evaluate", "--train", str(path), "--test", str(path), "--model", "sasrec", "--json"]
    # Whoever starts the tests in the background has them ignore interrupts, and what they start inherits that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    while "sasrec: learning" not in process.stderr.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")


def test_a_trained_model_can_be_loaded(rtp: Rtp, file: Path, tmp_path: Path) -> None:
    import torch

    out = tmp_path / "model"
    code, report = rtp("train", "--sessions", file, "--model", "core", "--out", out, "--json")
    assert code == 0 and report["out"] == str(out)
    document, models = load(out)
    assert document.items == ["a", "b", "c", "d"]
    assert report["weights"] == json.loads((out / "model.json").read_text())["weights"]
    assert document.sessions == 150 and document.seed == 0 and document.refit
    assert sorted(each.name for each in out.iterdir()) == ["0-core.pt", "model.json"]
    assert len(document.sessions_sha256) == 64
    (model,) = models
    again = tmp_path / "again"
    assert rtp("train", "--sessions", file, "--model", "core", "--out", again, "--json")[0] == 0
    (same,) = load(again)[1]
    with torch.no_grad():
        assert torch.equal(model.item_vectors(), same.item_vectors())
        scores = model.sessions(model.item_vectors(), [[0]]) @ model.item_vectors().T
    assert torch.isfinite(scores).all()
    (out / "0-core.pt").write_bytes(b"not weights")
    with pytest.raises(Exception, match="holds no model"):
        load(out)


def test_checkpoints_are_gone_when_all_is_done(rtp: Rtp, file: Path, tmp_path: Path) -> None:
    code, _ = rtp("train", "--sessions", file, "--model", "gru4rec", "--out", tmp_path / "m", "--no-refit", "--json")
    assert code == 0
    assert sorted(each.name for each in (tmp_path / "m").iterdir()) == ["0-gru4rec.pt", "model.json"]
    assert load(tmp_path / "m")[0].model == "gru4rec"


def test_models_are_compared_on_the_same_lists(rtp: Rtp, file: Path, tmp_path: Path) -> None:
    drawing = tmp_path / "compared.svg"
    asked = ("evaluate", "--train", file, "--test", file, "--compare", "popularity,item-knn", "--k", 2)
    code, report = rtp(*asked, "--draw", drawing, "--detail", "--json")
    assert code == 0 and [each["model"] for each in report["models"]] == ["popularity", "item-knn"]
    first, second = report["models"]
    assert second["difference"]["hr"] == pytest.approx(second["hr"] - first["hr"])
    assert first["difference_intervals"]["ndcg"] == [0.0, 0.0]
    assert second["verdict"] in ("better", "worse", "no difference shown")
    assert [each["name"] for each in second["by_length"]] == ["1", "2"]
    assert all(f">{report['model']}</text>" in drawing.read_text() for report in (first, second))
    code, shown = rtp(*asked)
    assert code == 0 and "NDCG against popularity" in shown and "●" in shown


def test_a_comparison_with_nobody_is_wrong_use(rtp: Rtp, file: Path, tmp_path: Path) -> None:
    asked = ("evaluate", "--train", file, "--test", file)
    assert rtp(*asked, "--compare", "popularity,sasrek")[0] == 2
    assert rtp(*asked, "--compare", "core,core")[0] == 2
    assert rtp(*asked, "--draw", tmp_path / "x.svg")[0] == 2
    assert rtp(*asked, "--compare", "popularity,item-knn", "--draw", tmp_path / "x.gif")[0] == 1
    code, _ = rtp(*asked, "--compare", "popularity,item-knn", "--draw", tmp_path / "none" / "x.svg", "--json")
    assert code == 1


@pytest.mark.parametrize("loss", ["full", "sampled", "in-batch", "bpr", "bpr-max", "gbce"])
def test_every_loss_can_be_chosen(rtp: Rtp, file: Path, loss: str) -> None:
    asked = ("evaluate", "--train", file, "--test", file, "--model", "gru4rec", "--no-refit", "--detail", "--json")
    code, report = rtp(*asked, "--loss", loss)
    assert code == 0 and report["chosen"]["settings"]["loss"] == loss


def test_settings_come_from_a_file(rtp: Rtp, file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "settings.json"
    asked = ("evaluate", "--train", file, "--test", file, "--model", "core", "--no-refit", "--detail", "--json")
    settings.write_text('{"temperature": 0.2, "epochs": 1}')
    code, report = rtp(*asked, "--settings", settings)
    assert code == 0 and report["epochs"] == 1 and report["chosen"]["settings"]["temperature"] == 0.2
    for wrong in ('{"heat": 1}', '{"epochs": "many"}', '{"width": 7, "heads": 2}', "[1]", "no"):
        settings.write_text(wrong)
        code, error = rtp(*asked, "--settings", settings)
        assert code == 1 and error["error"]["code"] == "bad_settings"
