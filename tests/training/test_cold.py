"""Items hidden from training: nothing knows them, and content finds them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rtp_monolith.cli.main import run
from rtp_monolith.errors import DataError
from rtp_monolith.training.cold import ColdCases, ColdSplit, cold_split, overlap, random_measures, ranks, tuned_overlap


def sessions(people: int = 400, items: int = 60, seed: int = 0) -> tuple[list[list[str]], dict[str, list[str]]]:
    """People who stay within a taste; items of it share an attribute."""
    rng = np.random.default_rng(seed)
    described = {f"i{n}": [f"taste{n % 6}", f"shade{n % 4}"] for n in range(items)}
    made = []
    for _ in range(people):
        taste = int(rng.integers(6))
        own = rng.permutation(np.arange(taste, items, 6))[: int(rng.integers(4, 8))]
        made.append([f"i{n}" for n in own])
    return made, described


def test_hidden_items_are_in_nothing_that_is_learned() -> None:
    lines, described = sessions()
    split = cold_split(lines, described, 0.2, 0)
    assert (len(split.ids), split.warm, len(split.held)) == (60, 48, 5)
    assert all(item < split.warm for session in split.sessions for item in session)
    assert all(target < split.warm and max(own) < split.warm for own, target in split.validation)
    hidden = set(split.ids[split.warm :])
    wanted = [line[-1] for line in lines if line[-1] in hidden]
    assert [split.ids[target] for target in split.asked.targets] == wanted
    assert set(split.chosen.targets.tolist()) <= set(split.held.tolist())
    number = {item: at for at, item in enumerate(split.ids)}
    first = next(line for line in lines if line[-1] in hidden)
    assert split.asked.seen[0] == [number[item] for item in first[:-1]]
    assert split.asked.histories[0] == [number[item] for item in first[:-1] if item not in hidden]
    again, other = cold_split(lines, described, 0.2, 0), cold_split(lines, described, 0.2, 1)
    assert again.ids == split.ids and other.ids != split.ids


def test_items_of_which_nothing_is_said_are_not_hidden() -> None:
    lines, described = sessions()
    del described["i3"]
    split = cold_split(lines, described, 0.5, 0)
    assert split.ids.index("i3") < split.warm
    with pytest.raises(DataError) as refused:
        cold_split([["a", "b", "c"]], {}, 0.5, 0)
    assert refused.value.code == "no_cases"


def test_ranks_leave_out_what_a_person_had_and_count_ties_against_us() -> None:
    cases = ColdCases([[0], [0]], np.array([5, 7]), [[0, 6], [0]], np.array([5, 6, 7]))
    scores = torch.tensor([[1.0, 2.0, 1.0], [3.0, 2.0, 2.0]])
    assert ranks(scores, cases).tolist() == [2, 3]
    expected = random_measures(cases, 1)
    assert expected["hr"].tolist() == pytest.approx([1 / 2, 1 / 3])
    whole = random_measures(cases, 3)
    assert whole["hr"].tolist() == pytest.approx([1.0, 1.0])
    assert whole["mrr"][1] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_attribute_overlap_is_tuned_on_other_items_than_it_is_asked_for() -> None:
    lines, described = sessions()
    split = cold_split(lines, described, 0.2, 0)
    scores, parameters = tuned_overlap(split, described, 3)
    by_overlap = float((ranks(scores, split.asked) <= 3).mean())
    assert by_overlap > 2 * float(random_measures(split.asked, 3)["hr"].mean())
    assert parameters["held_hr"] > 0.5


def test_plain_overlap_is_the_mean_jaccard_likeness_to_the_session() -> None:
    cases = ColdCases([[0, 1], []], np.array([2, 3]), [[0, 1], []], np.array([2, 3]))
    split = ColdSplit(["a", "b", "c", "d"], 2, np.array([0]), [], [], cases, cases)
    described = {"a": ["x", "y"], "b": ["y"], "c": ["y", "z"]}
    assert overlap(split, described).tolist() == [[pytest.approx((1 / 3 + 1 / 2) / 2), 0.0], [0.0, 0.0]]


def test_the_command_finds_hidden_items_by_what_is_said_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines, described = sessions(800, 120)
    train, attributes, settings = (tmp_path / name for name in ("train.txt", "attributes.json", "small.json"))
    train.write_text("".join(f"u{n} {' '.join(line)}\n" for n, line in enumerate(lines)))
    attributes.write_text(json.dumps(described))
    settings.write_text(json.dumps({"width": 16, "layers": 1, "epochs": 4, "batch_tokens": 256}))
    asked = ["evaluate", "--train", str(train), "--protocol", "leave-one-out", "--model", "sasrec", "--k", "5"]
    told = ["--attributes", str(attributes), "--settings", str(settings), "--threads", "1", "--cold", "0.2"]
    assert run([*asked, *told, "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["candidates"] == 24 and report["n"] > 50
    assert report["against_random"] > 1.8
    low, high = report["content"]["intervals"]["hr"]
    assert low <= report["content"]["hr"] <= high and low > report["random"]["hr"]
    assert run([*asked, "--cold", "0.2"]) == 2, "nothing is said of the items"
