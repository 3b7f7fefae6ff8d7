"""The mixture against its formula in NumPy, and which columns it takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.training.models.mmoe import Columns, Mmoe, MmoeSettings, fit_columns
from tests.training.rankers import NAMES, REQUEST, made_rows

SETTINGS = MmoeSettings(experts=3, hidden=5, expert_out=4, tower=2, positions=3, dropout=0.0)


def model() -> tuple[Mmoe, np.ndarray]:
    rows = made_rows(40)
    columns, used = fit_columns(rows.features, rows.names, REQUEST)
    made = Mmoe(columns, 3, SETTINGS, torch.Generator().manual_seed(3))
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(weight.numel())) * 0.1)
    return made.eval(), rows.features[:, used]


def reference(made: Mmoe, row: np.ndarray) -> list[float]:
    """One row's logits, head by head, as the paper says it."""
    w = {name: value.detach().numpy().astype(np.float64) for name, value in made.state_dict().items()}
    x = np.array(
        [np.log1p(max(v, 0.0)) if log else v for v, log in zip(row.astype(np.float64), w["logs"], strict=True)]
    )
    x = (np.clip(x, w["low"], w["high"]) - w["mean"]) / w["deviation"]
    experts = []
    for e in range(3):
        own = slice(5 * e, 5 * e + 5)
        hidden = np.maximum(x @ w["expert_in"][:, own] + w["expert_in_bias"][own], 0)
        experts.append(np.maximum(hidden @ w["expert_out"][e], 0))
    logits = []
    for head in range(3):
        own = slice(3 * head, 3 * head + 3)
        gate = np.exp(x @ w["gate"][:, own] + w["gate_bias"][own])
        mixed = sum(g * expert for g, expert in zip(gate / gate.sum(), experts, strict=True))
        tower = np.maximum(mixed @ w["tower_in"][head] + w["tower_in_bias"][head], 0)
        logits.append(float(tower @ w["tower_out"][head] + w["tower_out_bias"][head]))
    return logits


def test_the_forward_pass_is_the_papers() -> None:
    made, rows = model()
    with torch.no_grad():
        logits = made(torch.from_numpy(np.ascontiguousarray(rows[:20]))).numpy()
    for row, found in zip(rows, logits, strict=False):
        assert found == pytest.approx(reference(made, row), abs=1e-5)


def test_a_position_adds_the_same_to_every_row_and_the_last_stands_for_later_ones() -> None:
    made, _ = model()
    bias = made.shown_at(torch.tensor([0, 1, 2, 3, 99]))
    assert torch.equal(bias[:3], made.position_bias)
    assert torch.equal(bias[3], made.position_bias[2]) and torch.equal(bias[4], made.position_bias[2])


def test_columns_are_grouped_and_constant_ones_are_left_out() -> None:
    rows = made_rows(200)
    columns, used = fit_columns(rows.features, rows.names, REQUEST)
    assert columns.names == ["session_clicks", "item_ctr_7d", "cross_clicked", "noise", "item_price"]
    assert (columns.request, columns.plain) == (1, 3)
    assert [NAMES[at] for at in used] == columns.names
    assert columns.logs.tolist() == [True, False, False, False, True]
    price = np.log1p(rows.features[:, 1].astype(np.float64))
    assert columns.mean[4] == pytest.approx(price.mean()) and columns.deviation[4] == pytest.approx(price.std())
    with pytest.raises(ValueError, match="nothing to learn"):
        fit_columns(np.ones((3, 2), np.float32), ["a", "b"], REQUEST)


def test_what_was_never_seen_is_clipped_to_what_was() -> None:
    columns = Columns(["a", "b"], 0, 1, [1.0, 0.0], [2.0, 1.0], [-1.0, 0.0], [3.0, 2.0])
    made = Mmoe(columns, 3, SETTINGS, torch.Generator().manual_seed(0))
    x = made.normalise(torch.tensor([[9.0, -5.0], [-9.0, 1e9]]))
    assert x.tolist() == [[1.0, 0.0], [-1.0, 2.0]]


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        MmoeSettings(experts=0)
    with pytest.raises(ValueError, match="positions"):
        MmoeSettings(positions=65)
