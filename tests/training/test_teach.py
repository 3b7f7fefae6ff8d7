"""Distillation: what a teacher expects, by hand; the taught loss against NumPy; a student that keeps most of it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch

from rtp_monolith.clock import WallClock
from rtp_monolith.training.batches import Windows
from rtp_monolith.training.learner import Data
from rtp_monolith.training.learners import Encoder
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.item_knn import ItemKnn
from rtp_monolith.training.objective import Objective, Soft
from rtp_monolith.training.protocols import prefix_cases
from rtp_monolith.training.settings import Settings
from rtp_monolith.training.teach import Taught, expectations

ALL = np.ones(40, dtype=bool)
SMALL = Settings(
    body="gru4rec", scoring="dot", width=16, heads=2, layers=1, epochs=8, negatives=16, batch_tokens=256,
    warmup_steps=10, learning_rate=0.01, loss="full", dropout=0.0, embedding_dropout=0.0,
)  # fmt: skip


def data_of(sessions: list[list[int]], items: int = 40) -> Data:
    return Data(sessions, items, np.ones(items, bool), np.ones(items, bool), None, 5)


def test_expectations_are_the_best_of_the_teacher_before_each_click() -> None:
    sessions = [[0, 1, 2], [1], [2, 0], [0, 1, 3]]
    teacher, data = ItemKnn(sessions, 4), data_of(sessions, 4)
    soft = expectations(teacher, data, named=2)
    assert soft.items.shape == (9, 2)
    for place, history in ((1, [0]), (2, [0, 1]), (5, [2]), (8, [0, 1])):
        scores = teacher.scores(prefix_cases([[*history, 3]], np.ones(4, bool)), len(history) - 1, len(history))[0]
        best = scores.topk(2)
        assert soft.items[place].tolist() == best.indices.tolist()
        assert soft.shares[place] == pytest.approx(best.values.softmax(0).numpy(), rel=1e-5)
    assert soft.shares[[0, 3, 4, 6]].sum() == 0.0
    with pytest.raises(ValueError, match="weight"):
        Soft(soft.items, soft.shares, 1.5)


@pytest.mark.parametrize("loss", ["full", "sampled", "in-batch"])
def test_the_taught_loss_moves_the_target_to_what_was_expected(loss: str) -> None:
    settings = msgspec.structs.replace(SMALL, loss=loss, negatives=40)
    sessions = [[0, 1, 2], [5], [2, 0, 7, 9]]
    windows, model = Windows(sessions, 50, 256), build(40, settings, seed=0).eval()
    rng = np.random.default_rng(0)
    items = rng.integers(40, size=(8, 3)).astype(np.int32)
    shares = rng.dirichlet(np.ones(3), size=8).astype(np.float32)
    batch = windows.batch(np.array([0, 1]))
    with torch.no_grad():
        plain = Objective(model, windows, settings)(batch, rng).item()
        taught = Objective(model, windows, settings, Soft(items, shares, 0.4))(batch, rng).item()
        table = model.item_vectors().double().numpy()
        moved = []
        for session, start in ((sessions[0], 0), (sessions[2], 4)):
            for place in range(1, len(session)):
                state = model.sessions(model.item_vectors(), [session[:place]])[0].double().numpy()
                own = start + place
                expected = sum(share * table[item] for item, share in zip(items[own], shares[own], strict=True))
                moved.append(state @ (table[session[place]] - expected))
    assert taught - plain == pytest.approx(0.4 * np.mean(moved), abs=1e-5)


def test_a_student_of_everything_is_the_cross_entropy_against_the_teacher() -> None:
    """Weight one: what came does not count, only what was expected. With equal scores that costs log(items)."""
    windows, model = Windows([[0, 1]], 50, 256), build(40, SMALL, seed=0).eval()
    with torch.no_grad():
        for each in model.parameters():
            each.zero_()
        soft = Soft(np.array([[0], [3]], np.int32), np.ones((2, 1), np.float32), 1.0)
        loss = Objective(model, windows, SMALL, soft)(windows.batch(np.array([0])), np.random.default_rng(0))
    assert loss.item() == pytest.approx(math.log(40))


def test_the_student_keeps_most_of_the_teacher(chains: list[list[int]]) -> None:
    said: list[str] = []
    clock, data = WallClock(), data_of(chains[:500])
    teacher = Encoder("gru4rec", msgspec.structs.replace(SMALL, width=32, epochs=10), 0, clock)
    student = Encoder("gru4rec", msgspec.structs.replace(SMALL, width=16, epochs=14), 0, clock)
    made = Taught(teacher, student, clock, said.append)
    made.learn(data, prefix_cases(chains[500:], ALL), 1e12, again=False)
    assert made.teacher_ndcg > 0.7 and made.kept > 0.9
    assert made.document()["kept"] == made.kept and "is kept" in said[-1]
