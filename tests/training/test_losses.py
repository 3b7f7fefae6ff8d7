"""Each loss against NumPy in float64, its gradient against autograd or differences, and a case with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from rtp_monolith.training import losses
from rtp_monolith.training.models.build import build
from rtp_monolith.training.settings import Settings

N, C, D = 7, 11, 5


def given(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """states, columns, positives, own: some targets are among the columns."""
    made = torch.Generator().manual_seed(seed)
    states, columns = torch.randn(N, D, generator=made), torch.randn(C, D, generator=made)
    own = torch.tensor([0, 3, -1, 10, -1, 3, 5])
    positives = torch.randn(N, D, generator=made)
    inside = own >= 0
    positives[inside] = columns[own[inside]]
    return states, columns, positives, own


def logits(states: Tensor, columns: Tensor, positives: Tensor, own: Tensor) -> list[tuple[float, np.ndarray]]:
    """Per state: the positive's logit and those of its negatives, in float64."""
    h, c, p = (each.double().numpy() for each in (states, columns, positives))
    return [
        (float(h[i] @ p[i]), np.array([h[i] @ c[j] for j in range(len(c)) if j != int(own[i])])) for i in range(len(h))
    ]


def softplus(x: np.ndarray | float) -> np.ndarray:
    return np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)


@pytest.mark.parametrize("block", [1, 3 * C, 1 << 20])
def test_softmax_is_the_cross_entropy_of_numpy(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(losses, "BLOCK_ELEMENTS", block)
    states, columns, positives, own = given()
    bias = torch.linspace(-1, 1, C)
    want = []
    for row, (positive, negatives) in enumerate(logits(states, columns, positives, own)):
        kept = np.delete(bias.numpy(), int(own[row])) if own[row] >= 0 else bias.numpy()
        want.append(math.log(math.exp(positive) + np.exp(negatives + kept).sum()) - positive)
    assert losses.softmax(states, columns, positives, own, bias).item() == pytest.approx(np.mean(want), rel=1e-5)


def test_gradients_of_softmax_are_those_of_autograd() -> None:
    states, columns, positives, own = (each.double() if each.is_floating_point() else each for each in given(1))
    bias = torch.linspace(-1, 1, C, dtype=torch.double)
    ours = [each.clone().requires_grad_() for each in (states, columns, positives)]
    theirs = [each.clone().requires_grad_() for each in (states, columns, positives)]
    (3.0 * losses.softmax(*ours, own, bias)).backward()
    h, c, p = theirs
    scores = (h @ c.T + bias).masked_fill(own.unsqueeze(1) == torch.arange(C), -torch.inf)
    positive = (h * p).sum(1)
    (3.0 * (torch.cat([scores, positive.unsqueeze(1)], 1).logsumexp(1) - positive).mean()).backward()
    for mine, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)


def test_full_cross_entropy_is_that_of_torch() -> None:
    states, table, _, _ = given(2)
    targets = torch.tensor([0, 1, 2, 3, 3, 9, 10])
    want = torch.nn.functional.cross_entropy(states @ table.T, targets)
    assert losses.full_cross_entropy(states, table, targets).item() == pytest.approx(want.item(), rel=1e-5)


def test_huge_logits_do_not_overflow() -> None:
    states, table = torch.full((2, 1), 300.0), torch.tensor([[1.0], [0.0], [-1.0]])
    assert losses.full_cross_entropy(states, table, torch.tensor([0, 0])).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.full_cross_entropy(states, table, torch.tensor([1, 1])).item() == pytest.approx(300.0)


def test_equal_scores_cost_the_logarithm_of_their_number() -> None:
    zeros = torch.zeros(3, 2)
    assert losses.full_cross_entropy(zeros, torch.zeros(9, 2), torch.tensor([0, 4, 8])).item() == pytest.approx(
        math.log(9)
    )
    assert losses.bpr(zeros, zeros, zeros, torch.tensor([0, 1, -1])).item() == pytest.approx(math.log(2))


def test_the_sampled_sum_of_exponentials_is_unbiased() -> None:
    rng = np.random.default_rng(5)
    states, table, _, _ = given(3)
    targets = torch.tensor([0, 1, 2, 3, 4, 5, 6])
    inclusion = torch.from_numpy(rng.uniform(0.2, 1.0, C).astype(np.float32))
    mass = torch.zeros(N)
    draws = 20_000
    for _ in range(draws):
        drawn = torch.from_numpy(np.flatnonzero(rng.random(C) < inclusion.numpy()))
        scores = states @ table[drawn].T - inclusion[drawn].log()
        mass += scores.exp().masked_fill(targets.unsqueeze(1) == drawn, 0.0).sum(1)
    want = (states @ table.T).exp().masked_fill(targets.unsqueeze(1) == torch.arange(C), 0.0).sum(1)
    torch.testing.assert_close(mass / draws, want, rtol=0.03, atol=0.0)


def test_a_sample_of_everything_is_the_full_cross_entropy() -> None:
    states, table, _, _ = given(4)
    targets = torch.tensor([0, 1, 2, 3, 3, 9, 10])
    sampled = losses.sampled_softmax(states, table, table[targets], targets, torch.zeros(C))
    assert sampled.item() == pytest.approx(losses.full_cross_entropy(states, table, targets).item(), rel=1e-6)


def test_in_batch_corrects_each_column_by_its_chance_to_be_there() -> None:
    states, table, _, _ = given(5)
    targets = torch.tensor([2, 2, 7, 1, 2, 7, 4])
    share = np.full(C, 1 / C)
    chance = 1 - (1 - share) ** N
    want = []
    for row in range(N):
        h = states[row].double().numpy()
        positive = float(h @ table[targets[row]].double().numpy())
        others = [j for j in (1, 2, 4, 7) if j != int(targets[row])]
        mass = sum(math.exp(h @ table[j].double().numpy() - math.log(chance[j])) for j in others)
        want.append(math.log(math.exp(positive) + mass) - positive)
    got = losses.in_batch(states, table[targets], targets, torch.from_numpy(np.log(share)).float())
    assert got.item() == pytest.approx(np.mean(want), rel=1e-4)


def test_bpr_is_that_of_numpy() -> None:
    states, columns, positives, own = given(6)
    want = [softplus(negatives - positive).mean() for positive, negatives in logits(states, columns, positives, own)]
    assert losses.bpr(states, columns, positives, own).item() == pytest.approx(np.mean(want), rel=1e-5)


def test_bpr_max_is_that_of_numpy() -> None:
    states, columns, positives, own = given(7)
    want = []
    for positive, negatives in logits(states, columns, positives, own):
        weight = np.exp(negatives - negatives.max())
        weight /= weight.sum()
        won = (weight / (1 + np.exp(negatives - positive))).sum()
        want.append(-math.log(won) + 0.7 * (weight * negatives**2).sum())
    got = losses.bpr_max(states, columns, positives, own, regularization=0.7)
    assert got.item() == pytest.approx(np.mean(want), rel=1e-5)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce_is_that_of_numpy(calibration: float) -> None:
    states, columns, positives, own = given(8)
    alpha = C / 99
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)
    want = [
        float(beta * softplus(-positive) + softplus(negatives).sum())
        for positive, negatives in logits(states, columns, positives, own)
    ]
    got = losses.gbce(states, columns, positives, own, items=100, calibration=calibration)
    assert got.item() == pytest.approx(np.mean(want), rel=1e-5)
    if calibration == 0.0:
        assert beta == pytest.approx(1.0)


def test_known_answers_of_the_binary_and_the_pairwise_losses() -> None:
    """Nothing known: every comparison is even. Everything known: bpr costs nothing, bpr-max its regularization."""
    zeros, own = torch.zeros(3, 2), torch.tensor([-1, -1, -1])
    assert losses.bpr_max(zeros, zeros, zeros, own).item() == pytest.approx(math.log(2))
    # Three negatives of 13 possible: α = 1/4, so β at t = 1 is 1/4 · (1 - 4) + 1 = 1/4.
    assert losses.gbce(zeros, zeros, zeros, own, items=13, calibration=1.0).item() == pytest.approx(3.25 * math.log(2))
    sure = torch.tensor([[40.0, 0.0]])
    columns, positives = torch.tensor([[-1.0, 0.0]]), torch.tensor([[1.0, 0.0]])
    assert losses.bpr(sure, columns, positives, torch.tensor([-1])).item() == pytest.approx(0.0, abs=1e-6)
    assert losses.bpr_max(sure, columns, positives, torch.tensor([-1])).item() == pytest.approx(1600.0)
    assert losses.gbce(sure, columns, positives, torch.tensor([-1]), items=9).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_cosine_softmax_with_a_temperature(temperature: float) -> None:
    """Against NumPy through a model's own scaling; and a session that is its target among items at right angles."""
    settings = Settings(width=D, heads=1, body="gru4rec", scoring="cosine", temperature=temperature, loss="full")
    model = build(C, settings, seed=0)
    states, _, _, _ = given(9)
    targets = torch.tensor([0, 1, 2, 3, 3, 9, 10])
    with torch.no_grad():
        got = losses.full_cross_entropy(model.body.finish(states), model.item_vectors(), targets).item()
        h, table = states.double().numpy(), model.table.ids.detach().double().numpy()
        cosines = (h @ table.T) / (np.linalg.norm(h, axis=1)[:, None] * np.linalg.norm(table, axis=1))
        logits_ = cosines / temperature
        want = np.log(np.exp(logits_).sum(1)) - logits_[np.arange(N), targets.numpy()]
        assert got == pytest.approx(want.mean(), rel=1e-4)
        model.table.ids.zero_()[:D] = torch.eye(D)
        session = model.body.finish(7.0 * torch.eye(D)[:1])
        known = losses.full_cross_entropy(session, model.item_vectors()[:D], torch.tensor([0])).item()
    assert known == pytest.approx(math.log(1 + (D - 1) * math.exp(-1 / temperature)), rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("loss", ["bpr", "bpr-max", "gbce", "sampled"])
def test_losses_of_logits_are_those_of_dot_products(loss: str) -> None:
    states, columns, positives, own = given(10)
    counts = own.unsqueeze(1) != torch.arange(C)
    got = losses.of_logits((states * positives).sum(1, keepdim=True), states @ columns.T, counts, loss, 100)
    want = {
        "bpr": lambda: losses.bpr(states, columns, positives, own),
        "bpr-max": lambda: losses.bpr_max(states, columns, positives, own),
        "gbce": lambda: losses.gbce(states, columns, positives, own, 100),
        "sampled": lambda: losses.softmax(states, columns, positives, own),
    }[loss]()
    assert got.item() == pytest.approx(want.item(), rel=1e-5)
