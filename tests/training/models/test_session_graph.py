"""SR-GNN against graphs in dictionaries, its edges by hand, and what it may not depend on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.models.session_graph import graph
from rtp_monolith.training.settings import Settings
from tests.training.models.slow import gru_cell, layer_norm, linear, shaken, sigmoid, weights_of

WIDTH = 8


def made(layers: int = 1) -> SessionModel:
    settings = Settings(body="session-graph", scoring="dot", width=WIDTH, layers=layers, length_max=9, loss="full")
    model = build(23, settings, seed=1)
    shaken(model)
    return model.eval()


def reference(model: SessionModel, items: list[int]) -> np.ndarray:
    w, table = weights_of(model.body), model.table.ids.detach().double().numpy() * WIDTH**0.5
    nodes = list(dict.fromkeys(items))
    edges = set(pairwise(items))
    states = {item: table[item] for item in nodes}
    for _ in range(model.settings.layers):
        before = dict(states)
        for item in nodes:
            sources = [a for a, b in edges if b == item]
            targets = [b for a, b in edges if a == item]
            into = sum((linear(w, "along", before[a]) / len(sources) for a in sources), np.zeros(WIDTH))
            out = sum((linear(w, "against", before[b]) / len(targets) for b in targets), np.zeros(WIDTH))
            states[item] = gru_cell(w, np.concatenate([into, out]), before[item], name="gate.")
    latest, total = states[items[-1]], np.zeros(WIDTH)
    for item in items:
        asked = sigmoid(linear(w, "latest", latest) + linear(w, "each", states[item]))
        total += linear(w, "weight", asked)[0] * states[item]
    return layer_norm(w, "norm", linear(w, "joined", np.concatenate([latest, total])))[0]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("items", [[3], [1, 2], [4, 4], [1, 2, 1, 3, 1, 2], [5, 6, 7, 8, 9, 10, 11, 12, 13]])
def test_it_is_its_slow_reference(items: list[int], layers: int) -> None:
    model = made(layers)
    with torch.no_grad():
        got = model.sessions(model.item_vectors(), [items])[0].double().numpy()
    assert got == pytest.approx(reference(model, items), abs=2e-5)


def test_edges_by_hand() -> None:
    vectors = torch.eye(3)[torch.tensor([[0, 1, 0, 1, 2, 0], [1, 1, 0, 0, 0, 0]])]
    node, edges = graph(vectors, torch.tensor([5, 2]))
    assert node.argmax(2).tolist() == [[0, 1, 0, 1, 4, 0], [0, 0, 2, 2, 2, 2]]
    assert [tuple(pair) for pair in edges[0].nonzero().tolist()] == [(0, 1), (1, 0), (1, 4)]
    assert [tuple(pair) for pair in edges[1].nonzero().tolist()] == [(0, 0)]
    assert edges.max() == 1.0


def test_edges_walked_twice_count_once() -> None:
    model = made()
    with torch.no_grad():
        vectors = model.item_vectors()
        node, edges = graph(vectors[torch.tensor([[1, 2, 1, 2]])], torch.tensor([4]))
    assert edges.sum() == 2 and node[0, 2, 0] == 1
