"""GRU4Rec against the recurrence in loops, one step per click, and as a small graph that keeps its state outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.models.gru4rec import Gru4Rec
from rtp_monolith.training.settings import Settings
from tests.training.models.slow import gru_cell, layer_norm, linear, shaken, weights_of

WIDTH = 8


def made(scoring: str = "dot", layers: int = 2) -> tuple[SessionModel, Gru4Rec]:
    settings = Settings(body="gru4rec", scoring=scoring, width=WIDTH, layers=layers, length_max=9, loss="full")  # type: ignore[arg-type]
    model = build(23, settings, seed=1)
    shaken(model)
    assert isinstance(model.body, Gru4Rec)
    return model.eval(), model.body


@pytest.mark.parametrize("items", [[3], [1, 2], [4, 4, 0, 22, 7]])
def test_it_is_its_slow_reference(items: list[int]) -> None:
    model, body = made()
    w = weights_of(body)
    states = [np.zeros(WIDTH), np.zeros(WIDTH)]
    for item in items:
        x = model.table.ids.detach().double().numpy()[item] * WIDTH**0.5
        for layer in range(2):
            x = states[layer] = gru_cell(w, x, states[layer], f"_l{layer}", "recurrence.")
    want = layer_norm(w, "norm", linear(w, "out", states[1]))[0]
    with torch.no_grad():
        got = model.sessions(model.item_vectors(), [items])[0].double().numpy()
    assert got == pytest.approx(want, abs=2e-5)


@pytest.mark.parametrize("scoring", ["dot", "cosine"])
def test_a_step_per_click_gives_what_the_whole_session_gives(scoring: str) -> None:
    model, body = made(scoring)
    sessions = [[5, 1, 9, 9, 2], [0, 3, 3, 7, 20]]
    with torch.no_grad():
        vectors, state = model.item_vectors(), body.fresh(2)
        for upto in range(1, 6):
            got, state = body.step(vectors[[each[upto - 1] for each in sessions]], state)
            torch.testing.assert_close(got, model.sessions(vectors, [each[:upto] for each in sessions]))
    assert state.shape == (2, 2, WIDTH)
