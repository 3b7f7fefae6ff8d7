"""The training loop: it learns, it repeats itself, it resumes, it keeps to its budget, and it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rtp_monolith.clock import ManualClock
from rtp_monolith.errors import DataError
from rtp_monolith.training import loop
from rtp_monolith.training.batches import Windows
from rtp_monolith.training.models.build import ENCODERS, build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.objective import Objective
from rtp_monolith.training.settings import Settings

Sessions = list[list[int]]
ITEMS = 40
SMALL = Settings(
    width=16, heads=2, layers=1, epochs=6, negatives=16, batch_tokens=256, warmup_steps=10, learning_rate=0.01
)


def follows(model: SessionModel) -> float:
    """The share of items whose best next item is their successor on the ring, or under CORE, whose answer to one item
    is the item itself and has no direction, a neighbour."""
    with torch.no_grad():
        vectors = model.item_vectors()
        scores = model.sessions(vectors, [[item] for item in range(ITEMS)]) @ vectors.T
        scores.fill_diagonal_(-torch.inf)
    steps = (scores.argmax(1) - torch.arange(ITEMS)) % ITEMS
    found = steps == 1 if model.settings.body != "core" else (steps == 1) | (steps == ITEMS - 1)
    return float(found.float().mean())


def trained(sessions: Sessions, settings: Settings, **more: object) -> tuple[SessionModel, loop.History]:
    model = build(ITEMS, settings, seed=0)
    options = {"seed": 0, "clock": ManualClock(), **more}
    return model, loop.train(model, sessions, settings, **options)  # type: ignore[arg-type]


def weights(model: SessionModel) -> torch.Tensor:
    return torch.cat([each.detach().cpu().flatten() for each in model.parameters()])


@pytest.mark.parametrize("body", sorted(ENCODERS))
@pytest.mark.parametrize(("scoring", "loss"), [("cosine", "sampled"), ("dot", "full")])
def test_every_model_learns_what_follows_what(chains: Sessions, body: str, scoring: str, loss: str) -> None:
    settings = msgspec.structs.replace(SMALL, body=body, scoring=scoring, loss=loss, epochs=12)
    model, history = trained(chains, settings)
    assert follows(model) > 0.9
    assert history.epochs[-1].loss < history.epochs[0].loss - 0.5
    assert history.best_epoch == 12 and not history.cut


@pytest.mark.parametrize(("loss", "epochs"), [("in-batch", 12), ("bpr", 12), ("bpr-max", 12), ("gbce", 40)])
def test_every_loss_learns_what_follows_what(chains: Sessions, loss: str, epochs: int) -> None:
    settings = msgspec.structs.replace(
        SMALL, scoring="dot", loss=loss, epochs=epochs, dropout=0.0, embedding_dropout=0.1
    )
    model, _ = trained(chains, settings)
    assert follows(model) > 0.6  # by chance 0.025


def test_the_same_seed_gives_the_same_weights(chains: Sessions) -> None:
    one, same = trained(chains, SMALL)[0], trained(chains, SMALL)[0]
    other = trained(chains, SMALL, seed=1)[0]
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


class Killed(Exception):
    pass


def killing(after: int, before: int = 0) -> Callable[[SessionModel], float]:
    """A judge that likes every epoch better than the one before, and dies at one; `before` were judged by another."""
    calls = before

    def judge(model: SessionModel) -> float:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed
        return float(calls)

    return judge


@pytest.mark.parametrize("loss", ["sampled", "full"])
def test_a_killed_run_goes_on_to_the_same_weights(chains: Sessions, tmp_path: Path, loss: str) -> None:
    settings = msgspec.structs.replace(SMALL, loss=loss)
    whole, history = trained(chains, settings, judge=killing(99))
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        trained(chains, settings, judge=killing(3), checkpoint=path)
    torch.manual_seed(12345)
    resumed, again = trained(chains, settings, judge=killing(99, before=3), checkpoint=path)
    assert torch.equal(weights(whole), weights(resumed))
    assert [each.loss for each in again.epochs] == [each.loss for each in history.epochs]


def test_a_checkpoint_of_another_run_is_refused(chains: Sessions, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    trained(chains, msgspec.structs.replace(SMALL, epochs=1), checkpoint=path)
    with pytest.raises(DataError) as error:
        trained(chains, msgspec.structs.replace(SMALL, epochs=1, dropout=0.5), checkpoint=path)
    assert error.value.code == "checkpoint_of_another_run"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError) as error:
        trained(chains, SMALL, checkpoint=path)
    assert error.value.code == "checkpoint_unreadable"


def test_a_disk_that_refuses_keeps_the_last_good_checkpoint(
    chains: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, save, calls = tmp_path / "run.pt", torch.save, 0

    def full(document: object, target: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(document, target)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(DataError) as error:
        trained(chains, SMALL, checkpoint=path)
    assert error.value.code == "disk_refused"
    assert torch.load(path, weights_only=True)["epoch"] == 2
    assert [each.name for each in tmp_path.iterdir()] == ["run.pt"]


def test_the_best_epoch_is_kept_and_patience_ends_the_run(chains: Sessions) -> None:
    said = iter([0.1, 0.5, 0.4, 0.3, 0.2, 0.1])
    seen: list[torch.Tensor] = []

    def judge(model: SessionModel) -> float:
        seen.append(weights(model).clone())
        return next(said)

    model, history = trained(chains, msgspec.structs.replace(SMALL, patience=2), judge=judge)
    assert (history.best_epoch, len(history.epochs)) == (2, 4)
    assert torch.equal(weights(model), seen[1])
    assert not model.training


def test_stopping_early_walks_the_same_way(chains: Sessions) -> None:
    whole, stopped = [], []
    trained(chains, SMALL, judge=lambda model: whole.append(weights(model).clone()) or 0.0)
    model, history = trained(chains, SMALL, to_run=loop.Pass(6, 2))
    stopped = weights(model)
    assert history.steps < history.steps_planned
    assert torch.equal(stopped, whole[1])


class SlowClock(ManualClock):
    """Every look at it costs a quarter of a second."""

    def monotonic_s(self) -> float:
        self.advance(250)
        return super().monotonic_s()


def test_a_budget_cuts_the_plan_and_the_rate_still_falls_to_zero(chains: Sessions) -> None:
    clock = SlowClock()
    settings = msgspec.structs.replace(SMALL, epochs=500)
    _, history = trained(chains, settings, clock=clock, budget_s=60.0)
    assert history.cut
    assert history.steps == history.steps_planned < 500 * history.steps_per_epoch
    assert 40.0 < clock.monotonic_s() < 66.0


def test_the_budget_keeps_time_for_judgings_that_the_caller_does(chains: Sessions) -> None:
    took_s = []
    for judgings_after in (0.0, 30.0):
        clock = SlowClock()

        def judge(model: SessionModel, clock: SlowClock = clock) -> float:
            clock.advance(1_000)
            return clock.monotonic_s()  # later is better, so patience never ends the run

        settings = msgspec.structs.replace(SMALL, epochs=500)
        trained(chains, settings, clock=clock, budget_s=100.0, judge=judge, judgings_after=judgings_after)
        took_s.append(clock.monotonic_s())
    assert 75.0 < took_s[0] < 106.0
    assert took_s[1] == pytest.approx(took_s[0] - 37.5, abs=12.0)


def test_no_time_at_all_still_gives_a_model(chains: Sessions) -> None:
    model, history = trained(chains, SMALL, clock=SlowClock(), budget_s=0.0)
    assert history.steps >= 1 and torch.isfinite(weights(model)).all()


def test_the_rate_rises_and_falls() -> None:
    rates = [loop.schedule(step, 100, 8) for step in range(100)]
    assert rates[:8] == pytest.approx([(n + 1) / 8 for n in range(8)])
    assert rates[8] == 1.0 and sorted(rates[8:], reverse=True) == rates[8:]
    assert rates[54] == pytest.approx(0.5) and rates[99] < 0.001
    assert loop.schedule(0, 1, 200) == 1.0


@pytest.mark.filterwarnings("ignore")
def test_a_loss_that_is_no_number_is_an_error(chains: Sessions) -> None:
    model = build(ITEMS, SMALL, seed=0)
    with torch.no_grad():
        model.table.ids[3] = torch.nan
    with pytest.raises(DataError) as error:
        loop.train(model, chains, SMALL, seed=0, clock=ManualClock())
    assert error.value.code == "loss_not_finite"


def test_nothing_to_learn_is_an_error() -> None:
    with pytest.raises(DataError) as error:
        trained([[1], [], [2]], SMALL)
    assert error.value.code == "nothing_to_learn"


def told_apart() -> tuple[Sessions, list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Sessions in which the next item depends on the gap before the last click alone; and their marks, and of them
    those without the gap but with an action that says the same."""
    rng, sessions, gaps, actions = np.random.default_rng(2), [], [], []
    for _ in range(800):
        own, late = [int(rng.integers(10))], [0]
        for _ in range(3):
            late.append(int(rng.integers(2)))
            own.append(int(rng.integers(10)))
        sessions.append([*own, 10 + late[-1]])
        late.append(0)
        gaps.append(np.array([[3 + 5 * each, 0] for each in late]))
        actions.append(np.array([[0, 1 + each] for each in late]))
    return sessions, gaps, actions


@pytest.mark.parametrize("which", ["gaps", "actions"])
def test_what_marks_alone_say_is_learned_with_them(which: str) -> None:
    sessions, gaps, actions = told_apart()
    marks, found = gaps if which == "gaps" else actions, {}
    for on in (True, False):
        settings = msgspec.structs.replace(
            SMALL, scoring="dot", loss="full", gaps=on and which == "gaps", actions=2 * (on and which == "actions")
        )
        model, _ = trained(sessions, settings, marks=marks)
        own = [each[:-1] for each in marks] if on else None
        with torch.no_grad():
            vectors = model.item_vectors()
            scores = model.sessions(vectors, [each[:-1] for each in sessions], own) @ vectors[[10, 11]].T
        targets = torch.tensor([each[-1] - 10 for each in sessions])
        found[on] = float((scores.argmax(1) == targets).float().mean())
    assert found[True] > 0.9 and found[False] < 0.65, found


@pytest.mark.parametrize("body", [*sorted(ENCODERS), "bst"])
def test_every_body_learns_of_the_marks_it_read_and_no_others(body: str) -> None:
    settings = msgspec.structs.replace(
        SMALL, body=body, scoring="dot", loss="gbce" if body == "bst" else "full", gaps=True, actions=5
    )
    model = build(ITEMS, settings, seed=0)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.1 * torch.randn_like(each))
    sessions, marks = (
        [[1, 2, 3, 4], [5, 6, 7]],
        [np.array([[0, 1], [4, 2], [9, 1], [20, 4]]), np.array([[0, 2], [6, 3], [21, 5]])],
    )
    windows = Windows(sessions, settings.length_max, settings.batch_tokens, marks)
    loss = Objective(model, windows, settings)(windows.batch(np.array([0, 1])), np.random.default_rng(0))
    loss.backward()  # type: ignore[no-untyped-call]
    assert model.body.gap is not None and model.body.gap.grad is not None
    assert model.body.action is not None and model.body.action.grad is not None
    moved = [each.abs().amax(1).nonzero().flatten().tolist() for each in (model.body.gap.grad, model.body.action.grad)]
    # Those of a target alone are not among them.
    assert moved == [[0, 4, 6, 9], [1, 2, 3]]


@pytest.mark.parametrize("body", [*sorted(ENCODERS), "bst"])
def test_marks_that_no_setting_asks_for_change_no_weight(chains: Sessions, body: str) -> None:
    settings = msgspec.structs.replace(SMALL, body=body, epochs=1, loss="gbce" if body == "bst" else "sampled")
    marks = [np.ones((len(each), 2), np.int64) for each in chains]
    one, other = (trained(chains, settings, **more)[0] for more in ({}, {"marks": marks}))
    assert torch.equal(weights(one), weights(other))
    assert not any(name.endswith((".gap", ".action")) for name in one.state_dict())


def test_a_run_that_had_ended_is_not_trained_further(chains: Sessions, tmp_path: Path) -> None:
    # Stopped early: the judge saw its best in the first epoch.
    settings = msgspec.structs.replace(SMALL, patience=2)
    values: list[float] = []

    def judge(_: SessionModel) -> float:
        values.append(1.0 if not values else 0.5)
        return values[-1]

    one, history = trained(chains, settings, judge=judge, checkpoint=tmp_path / "run.pt")
    assert len(history.epochs) == 3
    other, again = trained(chains, settings, judge=judge, checkpoint=tmp_path / "run.pt")
    assert len(again.epochs) == 3 and torch.equal(weights(one), weights(other))
