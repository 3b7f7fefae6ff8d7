"""Tuning: the recipe is the first trial, nothing of a test file is read, runs repeat themselves and end in time."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtp_monolith.clock import ManualClock, WallClock
from rtp_monolith.errors import DataError
from rtp_monolith.training import auto, evaluate, tune
from rtp_monolith.training.evaluate import Request
from rtp_monolith.training.settings import Settings


@pytest.fixture
def request_(chains: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    path = tmp_path / "train.txt"
    path.write_text("".join(" ".join(map(str, session)) + "\n" for session in chains[:250]))
    sized = auto.recipe

    def recipe(name: str, seen: auto.Profile) -> Settings:
        return msgspec.structs.replace(
            sized(name, seen), width=8, layers=1, epochs=3, negatives=16, learning_rate=0.003
        )

    monkeypatch.setattr(auto, "recipe", recipe)
    return Request(
        train=path, test=path, model="sasrec", protocol="prefixes", attributes=None, refit=False, k=5, seed=0,
        until_s=1e12,
    )  # fmt: skip


def test_the_best_of_the_trials_begins_with_the_recipe(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("tuning asks for no test case")

    monkeypatch.setattr(evaluate, "trial", never)
    said: list[str] = []
    tuned, again = (tune.tune(request_, 4, WallClock(), said.append) for _ in range(2))
    first = tuned.trials[0].changes
    assert (first["width"], first["layers"], first["learning_rate"], first["temperature"]) == (8, 1, 0.003, 0.07)
    assert tuned.ndcg == max(each.ndcg or 0.0 for each in tuned.trials) >= tuned.recipe_ndcg > 0.0
    best = max(tuned.trials, key=lambda each: each.ndcg or 0.0)
    assert all(getattr(tuned.settings, name) == value for name, value in best.changes.items())
    assert [each.changes for each in tuned.trials] == [each.changes for each in again.trials]
    assert [each.ndcg for each in tuned.trials] == [each.ndcg for each in again.trials]
    assert len({str(each.changes) for each in tuned.trials}) == 4 and "trial 4 of 4" in said[-1]


def test_it_ends_when_the_time_is_up(request_: Request) -> None:
    class Slow(ManualClock):
        def monotonic_s(self) -> float:
            self.advance(50)
            return super().monotonic_s()

    said: list[str] = []
    tuned = tune.tune(msgspec.structs.replace(request_, until_s=8.0), 50, Slow(), said.append)
    assert 1 <= len(tuned.trials) < 50 and "time is up" in said[-1]


def test_a_run_away_loss_is_a_trial_that_lost(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    learn, calls = tune.Encoder.learn, 0

    def second_diverges(self: tune.Encoder, *args: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise DataError("the loss is nan", code="loss_not_finite")
        return learn(self, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(tune.Encoder, "learn", second_diverges)
    tuned = tune.tune(request_, 2, WallClock(), lambda _: None)
    assert tuned.trials[1].ndcg is None and tuned.ndcg == tuned.trials[0].ndcg


def test_nothing_to_judge_on_is_an_error(request_: Request) -> None:
    request_.train.write_text("a b\nb a\nc\n")
    with pytest.raises(DataError) as error:
        tune.tune(request_, 1, WallClock(), lambda _: None)
    assert error.value.code == "no_cases"
