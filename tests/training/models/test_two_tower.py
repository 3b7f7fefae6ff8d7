"""Two towers against their formula in NumPy, and the item tower under every way to ask for vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.models.two_tower import FORGET
from rtp_monolith.training.settings import Settings
from tests.training.models.slow import Rows, Weights, gelu, layer_norm, linear, shaken, weights_of

WIDTH = 8


def made(attributes: list[list[int]] | None = None) -> SessionModel:
    settings = Settings(body="two-tower", scoring="dot", width=WIDTH, length_max=9, loss="in-batch")
    model = build(23, settings, seed=1, attributes=attributes)
    shaken(model)
    return model.eval()


def tower(w: Weights, name: str, rows: Rows) -> Rows:
    return linear(w, f"{name}.2", gelu(linear(w, f"{name}.0", rows)))


@pytest.mark.parametrize("items", [[3], [1, 2], [4, 4, 0, 22, 7]])
def test_both_towers_are_their_slow_reference(items: list[int]) -> None:
    model = made([[n % 3] for n in range(23)])
    w = weights_of(model.body)
    rows = model.table.all().detach().double().numpy()
    vectors = rows + tower(w, "item_tower", rows)
    with torch.no_grad():
        assert model.item_vectors().numpy() == pytest.approx(vectors, abs=2e-5)
        assert model.rows(torch.tensor([7, 2])).numpy() == pytest.approx(vectors[[7, 2]], abs=2e-5)
        got = model.sessions(model.item_vectors(), [items])[0].double().numpy()
    own = vectors[items] * WIDTH**0.5
    weights = np.array([FORGET ** (len(items) - 1 - place) for place in range(len(items))])
    parts = [own.mean(0), weights @ own / weights.sum(), own[-1]]
    mixed = sum(share * part for share, part in zip(w["shares"], parts, strict=True))
    want = layer_norm(w, "norm", mixed + tower(w, "session_tower", np.concatenate(parts)))[0]
    assert got == pytest.approx(want, abs=2e-5)


def test_fresh_towers_pass_their_input_on() -> None:
    settings = Settings(body="two-tower", scoring="dot", width=WIDTH, loss="in-batch")
    model = build(5, settings, seed=0).eval()
    torch.testing.assert_close(model.item_vectors(), model.table.ids)
