"""Bad input to `rtp evaluate`, `rtp train` and `rtp tune`: each has a code, a message that names the place, exit 1."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rtp_monolith.training import loop

Rtp = Callable[..., tuple[int, Any]]
GOOD = "a b c\nb c a\nc a b\na b c\nb c d\n" * 30


pytestmark = pytest.mark.usefixtures("small_models")


@pytest.mark.parametrize(
    ("train", "test", "code", "said"),
    [
        ("", GOOD, "empty_file", "train.txt has no session"),
        ("\n\n", GOOD, "empty_file", "train.txt"),
        ("a b c\n", GOOD, "too_few_sessions", "one training session"),
        ("a\nb\nc\n" * 200, "a b\n", "nothing_to_learn", "no session has two items"),
        (GOOD, "a\nb\n", "no_cases", "no test session has two items"),
        ("SessionId\tItem\tTime\n1\ta\t1\n", GOOD, "bad_header", "SessionId, ItemId, Time"),
        ("SessionId\tItemId\tTime\n1\ta\tsoon\n", GOOD, "bad_line", "line 2"),
    ],
)
def test_files_that_cannot_be_learned_from(
    rtp: Rtp, tmp_path: Path, train: str, test: str, code: str, said: str
) -> None:
    (tmp_path / "train.txt").write_text(train)
    (tmp_path / "test.txt").write_text(test)
    asked = ("--train", tmp_path / "train.txt", "--test", tmp_path / "test.txt", "--model", "sasrec", "--json")
    exit_code, report = rtp("evaluate", *asked)
    assert exit_code == 1 and report["error"]["code"] == code and said in report["error"]["message"]


TABLE = "SessionId\tItemId\tTime\n1\ta\t1\n1\tb\t2\n2\ta\t3\n2\tb\t5\n"


@pytest.mark.parametrize(("train", "test", "said"), [(TABLE, GOOD, "--test has no times"), (GOOD, TABLE, "--train"),
                                                     (GOOD, GOOD, "--train and --test have no times")])  # fmt: skip
def test_marks_that_a_file_does_not_have(rtp: Rtp, tmp_path: Path, train: str, test: str, said: str) -> None:
    (tmp_path / "train.txt").write_text(train)
    (tmp_path / "test.txt").write_text(test)
    asked = ("--train", tmp_path / "train.txt", "--test", tmp_path / "test.txt", "--model", "sasrec", "--json")
    exit_code, report = rtp("evaluate", *asked, "--marks", "on")
    assert exit_code == 1 and report["error"]["code"] == "marks_missing" and said in report["error"]["message"]


def test_a_file_that_is_cut_off_is_an_error(rtp: Rtp, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(GOOD.encode())[:-20])
    exit_code, report = rtp(
        "evaluate", "--train", tmp_path / "train.txt.gz", "--test", tmp_path / "train.txt.gz", "--json"
    )
    assert exit_code == 1 and report["error"]["code"] in ("bad_compression", "bad_line")


@pytest.mark.parametrize("model", ["popularity", "item-knn", "session-knn", "gru4rec", "bst"])
def test_odd_ids_and_items_nobody_saw_are_no_trouble(rtp: Rtp, tmp_path: Path, model: str) -> None:
    """Ids of any kind, a gap between numbers, sessions of one item, a test item that training never had."""
    lines = "1 1000000000 -5\n1000000000 -5 é/ñ\n1e3 0001 1\n0001\n%20&= 1 1000000000\n" * 40
    (tmp_path / "train.txt").write_text(lines)
    (tmp_path / "test.txt").write_text("1 never-seen 1000000000\nnever-seen 1\nnever-seen other\n")
    (tmp_path / "described.json").write_text(json.dumps({"1": ["x"], "nobody-clicked": ["x", "y"], "é/ñ": []}))
    asked = ("--train", tmp_path / "train.txt", "--test", tmp_path / "test.txt", "--model", model, "--no-refit")
    exit_code, report = rtp("evaluate", *asked, "--attributes", tmp_path / "described.json", "--detail", "--json")
    assert exit_code == 0 and report["n"] == 4
    never = [each for each in report["by_popularity"] if each["name"] == "never clicked"]
    assert never[0]["n"] == 2 and never[0]["hr"] == 0.0


def test_a_loss_that_runs_away_keeps_the_last_good_checkpoint(
    rtp: Rtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.txt").write_text(GOOD)
    step, steps = loop._Run._step, 0

    def runs_away(self: Any, batch: Any, rng: Any) -> float:
        nonlocal steps
        steps += 1
        if self.history.epochs and len(self.history.epochs) == 2:
            return float("nan")
        return step(self, batch, rng)

    monkeypatch.setattr(loop._Run, "_step", runs_away)
    asked = ("train", "--sessions", tmp_path / "train.txt", "--model", "gru4rec", "--out", tmp_path / "out", "--json")
    exit_code, report = rtp(*asked)
    assert exit_code == 1 and report["error"]["code"] == "loss_not_finite"
    assert "learning rate" in report["error"]["message"]
    kept = torch.load(tmp_path / "out" / "first.ckpt", weights_only=True)
    assert kept["epoch"] == 2 and all(torch.isfinite(value).all() for value in kept["model"].values())
    monkeypatch.setattr(loop._Run, "_step", step)
    assert rtp(*asked)[0] == 0 and not (tmp_path / "out" / "first.ckpt").exists()


def test_a_disk_that_fills_keeps_the_last_good_checkpoint(
    rtp: Rtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "train.txt").write_text(GOOD)
    save, calls = torch.save, 0

    def fills(document: object, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(document, target)

    monkeypatch.setattr(torch, "save", fills)
    asked = ("train", "--sessions", tmp_path / "train.txt", "--model", "gru4rec", "--out", tmp_path / "out", "--json")
    exit_code, report = rtp(*asked)
    assert exit_code == 1 and report["error"]["code"] == "disk_refused"
    assert "last good one is kept" in report["error"]["message"]
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["first.ckpt"]
    assert torch.load(tmp_path / "out" / "first.ckpt", weights_only=True)["epoch"] == 1


def test_the_serving_form_of_a_taught_encoder_and_what_has_none(rtp: Rtp, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(GOOD)
    asked = ("train", "--sessions", tmp_path / "train.txt", "--no-refit", "--onnx", "--json")
    exit_code, report = rtp(
        *asked, "--model", "gru4rec", "--teacher", "core+session-knn", "--int8-loss-max", 0.5, "--out", tmp_path / "one"
    )
    assert exit_code == 0 and report["chosen"]["kept"] > 0.5
    assert report["served"]["files"] == ["encoder.onnx", "items.npy", "step.onnx", "encoder.int8.onnx"]
    assert report["served"]["parity"] <= 1e-5 and report["served"]["int8"]["loss"] <= 0.5
    assert all((tmp_path / "one" / each).exists() for each in report["served"]["files"])
    for model in ("core+session-knn", "bst", "item-knn"):
        exit_code, report = rtp(*asked, "--model", model, "--out", tmp_path / model)
        assert exit_code == 1 and report["error"]["code"] == "not_an_encoder"
    for wrong in (("--teacher", "item-knn"), ("--int8-loss-max", 0.1)):
        assert rtp("train", "--sessions", tmp_path / "train.txt", "--model", "core", "--out", tmp_path, *wrong)[0] == 2


def test_tuning_writes_settings_that_evaluate_reads(rtp: Rtp, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(GOOD)
    train, out = tmp_path / "train.txt", tmp_path / "best.json"
    exit_code, report = rtp("tune", "--train", train, "--model", "core", "--trials", 2, "--out", out, "--json")
    assert exit_code == 0 and len(report["trials"]) == 2 and report["ndcg"] >= report["recipe_ndcg"]
    asked = ("evaluate", "--train", train, "--test", train, "--model", "core", "--settings", out, "--detail", "--json")
    exit_code, said = rtp(*asked)
    assert exit_code == 0 and said["chosen"]["settings"] == report["settings"]
    assert rtp("tune", "--train", train, "--model", "item-knn", "--out", out)[0] == 2
    exit_code, error = rtp(
        "tune", "--train", train, "--model", "core", "--trials", 1, "--out", tmp_path / "no" / "x", "--json"
    )
    assert exit_code == 1 and error["error"]["code"] == "disk_refused"
