"""Ranks with ties against us, misses that stay misses, and figures worked out by hand."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
import torch

from rtp_monolith.errors import DataError
from rtp_monolith.training.metrics import MISS, Tally, ranks


def test_an_item_is_behind_all_items_of_equal_score() -> None:
    scores = torch.tensor([[0.5, 0.9, 0.5, 0.5, 0.1]])
    for target, rank in ((1, 1), (0, 4), (2, 4), (3, 4), (4, 5)):
        assert ranks(scores, torch.tensor([target])).tolist() == [rank]


def test_a_constant_score_hits_only_when_the_list_is_the_catalogue() -> None:
    scores = torch.zeros(1, 10)
    assert ranks(scores, torch.tensor([0])).item() == 10


def test_unknown_and_removed_targets_are_misses_whatever_k_is() -> None:
    scores = torch.tensor([[1.0, -torch.inf, 2.0]] * 2)
    tally = Tally(1_000, torch.ones(3, dtype=torch.bool))
    assert tally.add(scores, torch.tensor([-1, 1])).tolist() == [MISS, MISS]
    assert tally.metrics().hr == 0.0 and tally.metrics().n == 2


def test_nan_is_an_error_and_not_a_hit() -> None:
    for scores in (torch.tensor([[0.0, torch.nan]]), torch.tensor([[torch.nan, 0.0]])):
        with pytest.raises(DataError) as error:
            ranks(scores, torch.tensor([0]))
        assert error.value.code == "scores_not_finite"


def test_figures_by_hand() -> None:
    scores = torch.tensor([[4.0, 3.0, 2.0, 1.0, 0.0]] * 4)
    tally = Tally(3, torch.tensor([True, True, True, True, False]))
    assert tally.add(scores, torch.tensor([0, 2, 3, -1])).tolist() == [1, 3, 4, MISS]
    found = tally.metrics()
    assert found.n == 4
    assert found.hr == pytest.approx(2 / 4)
    assert found.mrr == pytest.approx((1 + 1 / 3) / 4)
    assert found.ndcg == pytest.approx((1 + 1 / math.log2(4)) / 4)
    assert found.coverage == pytest.approx(3 / 4)


def test_coverage_counts_training_items_that_were_in_a_list() -> None:
    tally = Tally(2, torch.tensor([True, True, False, True]))
    tally.add(torch.tensor([[0.0, 1.0, 2.0, -torch.inf]]), torch.tensor([0]))
    assert tally.metrics().coverage == pytest.approx(1 / 3)


def test_blocks_add_up_to_the_whole() -> None:
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.integers(0, 6, (50, 30)).astype(np.float32))
    targets = torch.from_numpy(rng.integers(-1, 30, 50))
    whole, parts = Tally(5, torch.ones(30, dtype=torch.bool)), Tally(5, torch.ones(30, dtype=torch.bool))
    whole.add(scores, targets)
    for at in range(0, 50, 7):
        parts.add(scores[at : at + 7], targets[at : at + 7])
    assert msgspec.structs.astuple(parts.metrics()) == pytest.approx(msgspec.structs.astuple(whole.metrics()))
