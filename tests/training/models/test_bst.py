"""BST against loops over positions and heads, what it may not see, and the shortlist that it orders."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.errors import DataError
from rtp_monolith.training.export import export_encoder
from rtp_monolith.training.models.bst import Bst, Shortlisted
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.models.item_knn import ItemKnn
from rtp_monolith.training.protocols import prefix_cases
from rtp_monolith.training.settings import Settings
from tests.training.models.slow import gelu, layer_norm, linear, norm, shaken, weights_of

ITEMS, WIDTH, HEADS, LENGTH_MAX = 23, 8, 2, 9


def made(layers: int = 1, scoring: str = "dot") -> tuple[SessionModel, Bst]:
    settings = Settings(
        body="bst", scoring=scoring, width=WIDTH, heads=HEADS, layers=layers, length_max=LENGTH_MAX, loss="gbce",
        negatives=5,
    )  # type: ignore[arg-type]  # fmt: skip
    model = build(ITEMS, settings, seed=1)
    shaken(model)
    assert isinstance(model.body, Bst)
    return model.eval(), model.body


def reference(model: SessionModel, items: list[int], candidate: int) -> float:
    """One layer, one candidate: the candidate is one more row of the block's input."""
    w, table = weights_of(model.body), model.table.ids.detach().double().numpy() * WIDTH**0.5
    size = WIDTH // HEADS
    x = table[items] + w["position"][: len(items)]
    rows = np.concatenate([x, (table[candidate] + w["asking"])[None]])
    normed = layer_norm(w, "final.before_attention", rows)
    query, both = linear(w, "final.query", normed[-1]), linear(w, "final.key_value", normed)
    attended, shares = np.zeros(WIDTH), np.zeros(len(rows))
    for head in range(HEADS):
        own = slice(head * size, (head + 1) * size)
        logits = np.array(
            [
                query[own] @ both[j, :WIDTH][own] / size**0.5 + w["by_distance"][head, len(items) - j]
                for j in range(len(rows))
            ]
        )
        weights = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        attended[own] = weights @ both[:, WIDTH:][:, own]
        shares += weights / HEADS
    state = rows[-1] + linear(w, "final.out", attended)
    hidden = gelu(linear(w, "final.mixing.0", layer_norm(w, "final.before_mixing", state)))
    state = state + linear(w, "final.mixing.2", hidden)[0]
    top = linear(w, "top.0", layer_norm(w, "norm", np.concatenate([state, x[-1]])))
    mean = shares[:-1] @ table[items] / shares[:-1].sum()
    alike = float(w["gain"]) * float((norm(mean) * norm(table[candidate] / WIDTH**0.5)).sum())
    return alike + float(linear(w, "top.2", np.where(top > 0, top, 0.01 * top))[0, 0])


def test_it_is_its_slow_reference() -> None:
    model, body = made()
    sessions = [[3], [1, 2], [4, 4, 0, 22, 7, 1, 9, 3, 2]]
    with torch.no_grad():
        vectors = model.item_vectors()
        padded, lengths = model.padded(sessions)
        candidates = torch.tensor([[5, 3], [0, 2], [22, 11]])
        got = body.against(vectors[padded], torch.arange(3), lengths, vectors[candidates])
        shared = body.against(vectors[padded], torch.arange(3), lengths, vectors[candidates[:1]])
    for row, items in enumerate(sessions):
        want = [reference(model, items, candidate) for candidate in candidates[row].tolist()]
        assert got[row].numpy() == pytest.approx(want, abs=5e-5)
    assert shared[2].numpy() == pytest.approx([reference(model, sessions[2], c) for c in (5, 3)], abs=5e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_position_sees_what_came_before_it_and_no_padding(layers: int) -> None:
    _, body = made(layers)
    vectors, candidates = torch.randn(1, 7, WIDTH), torch.randn(1, 4, WIDTH)
    row = torch.zeros(7, dtype=torch.long)
    with torch.no_grad():
        every = body.against(vectors, row, torch.arange(1, 8), candidates)
        for upto in range(1, 8):
            other = vectors.clone()
            other[:, upto:] = 50.0
            alone = body.against(other, row[:1], torch.tensor([upto]), candidates)
            torch.testing.assert_close(alone[0], every[upto - 1], atol=1e-5, rtol=1e-5)


def test_the_shortlist_is_ordered_by_the_model_and_the_rest_stays_behind() -> None:
    rng = np.random.default_rng(0)
    sessions = [rng.integers(ITEMS, size=5).tolist() for _ in range(40)]
    (model, _), base = made(), ItemKnn(sessions, ITEMS)
    cases = prefix_cases(sessions[:6], np.ones(ITEMS, bool))
    found, under = Shortlisted(model, base, 5).scores(cases, 3, 9), base.scores(cases, 3, 9)
    for row in range(6):
        first = under[row].topk(5).indices.tolist()
        ordered = found[row].argsort(descending=True, stable=True).tolist()
        assert set(ordered[:5]) == set(first)
        assert ordered[5:] == [i for i in under[row].argsort(descending=True, stable=True).tolist() if i not in first]
        want = [reference(model, cases.history(3 + row), item) for item in ordered[:5]]
        assert want == sorted(want, reverse=True)
    assert torch.isfinite(found).all()


def test_an_empty_session_gives_numbers() -> None:
    model, body = made()
    padded, lengths = model.padded([[], []])
    with torch.no_grad():
        logits = body.against(torch.zeros(2, 1, WIDTH), torch.arange(2), lengths, torch.randn(1, 3, WIDTH))
    assert padded.shape == (2, 1) and torch.isfinite(logits).all()


def test_it_has_no_encoder_to_export(tmp_path: object) -> None:
    model, _ = made()
    with pytest.raises(DataError) as error:
        export_encoder(model, tmp_path / "e.onnx")  # type: ignore[operator]
    assert error.value.code == "not_an_encoder"


def test_losses_that_read_the_whole_catalogue_are_refused() -> None:
    for loss in ("full", "in-batch"):
        with pytest.raises(ValueError, match="BST"):
            Settings(body="bst", loss=loss)  # type: ignore[arg-type]
