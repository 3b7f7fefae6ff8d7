"""Every neural body: no look at the future, no look at padding, empty sessions, and the last position alone."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch

from rtp_monolith.features.marks import FIRST
from rtp_monolith.training.models.build import ENCODERS, build
from rtp_monolith.training.models.encoder import GAPS, SessionModel
from rtp_monolith.training.settings import Settings

ITEMS, WIDTH, LENGTH_MAX = 23, 8, 9
FORMS = [(body, scoring) for body in sorted(ENCODERS) for scoring in ("dot", "cosine")]


def made(body: str, scoring: str, layers: int = 2) -> SessionModel:
    """A model with weights that are not those of a fresh one, where much is zero."""
    settings = Settings(
        body=body, scoring=scoring, width=WIDTH, heads=2, layers=layers, length_max=LENGTH_MAX, loss="full", dropout=0.0
    )  # type: ignore[arg-type]
    model = build(ITEMS, settings, seed=1)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.3 * torch.randn_like(each))
    return model.eval()


@pytest.mark.parametrize(("body", "scoring"), FORMS)
def test_a_state_is_what_the_session_up_to_it_would_be(body: str, scoring: str) -> None:
    model = made(body, scoring)
    items = torch.randint(ITEMS, (3, LENGTH_MAX), generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([LENGTH_MAX, 4, 1])
    vectors = model.item_vectors()[items]
    vectors = vectors * (torch.arange(LENGTH_MAX) < lengths.unsqueeze(1)).unsqueeze(2)
    with torch.no_grad():
        states = model.body.states(vectors, lengths)
        together = model.body(vectors, lengths)
        for row, length in enumerate(lengths.tolist()):
            torch.testing.assert_close(together[row], states[row, length - 1], atol=1e-5, rtol=1e-5)
            for upto in range(1, length + 1):
                alone = model.body(vectors[row : row + 1, :upto], torch.tensor([upto]))[0]
                torch.testing.assert_close(alone, states[row, upto - 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("body", "scoring"), FORMS)
def test_what_stands_in_the_padding_does_not_matter(body: str, scoring: str) -> None:
    model, lengths = made(body, scoring), torch.tensor([3, 0, 5])
    vectors = torch.randn(3, 7, WIDTH, generator=torch.Generator().manual_seed(3))
    other = vectors.clone()
    other[torch.arange(7) >= lengths.unsqueeze(1)] = 50.0
    with torch.no_grad():
        torch.testing.assert_close(model.body(vectors, lengths), model.body(other, lengths), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("body", "scoring"), FORMS)
def test_an_empty_session_is_zero_and_never_nan(body: str, scoring: str) -> None:
    model = made(body, scoring)
    with torch.no_grad():
        assert model.body(torch.zeros(2, 4, WIDTH), torch.tensor([0, 0])).tolist() == [[0.0] * WIDTH] * 2
        assert model.sessions(model.item_vectors(), [[], []]).abs().sum() == 0


@pytest.mark.parametrize(("body", "scoring"), FORMS)
def test_only_the_latest_items_are_seen(body: str, scoring: str) -> None:
    model, rng = made(body, scoring), np.random.default_rng(4)
    long = rng.integers(ITEMS, size=30).tolist()
    with torch.no_grad():
        vectors = model.item_vectors()
        one, other = model.sessions(vectors, [long, long[-LENGTH_MAX:]])
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("body", sorted(ENCODERS))
def test_cosine_scores_are_cosines_over_the_temperature(body: str) -> None:
    model = made(body, "cosine")
    with torch.no_grad():
        vectors = model.item_vectors()
        session = model.sessions(vectors, [[1, 2, 3]])
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((ITEMS,), 1 / model.settings.temperature))
    assert float(session.norm()) == pytest.approx(1.0, abs=1e-5)


def marked(body: str, scoring: str) -> SessionModel:
    settings = Settings(
        body=body, scoring=scoring, width=WIDTH, heads=2, length_max=LENGTH_MAX, loss="full", dropout=0.0, gaps=True,
        actions=3,
    )  # type: ignore[arg-type]  # fmt: skip
    model = build(ITEMS, settings, seed=1)
    with torch.no_grad():
        for each in model.parameters():
            each.add_(0.3 * torch.randn_like(each))
    return model.eval()


@pytest.mark.parametrize(("body", "scoring"), FORMS)
def test_a_state_knows_the_marks_up_to_it_and_no_later_ones(body: str, scoring: str) -> None:
    model, rng = marked(body, scoring), torch.Generator().manual_seed(2)
    items, lengths = torch.randint(ITEMS, (2, 6), generator=rng), torch.tensor([6, 4])
    marks = torch.stack([torch.randint(GAPS, (2, 6), generator=rng), torch.randint(4, (2, 6), generator=rng)], dim=2)
    vectors = model.item_vectors()[items] * (torch.arange(6) < lengths.unsqueeze(1)).unsqueeze(2)
    with torch.no_grad():
        states = model.body.states(vectors, lengths, marks)
        together = model.body(vectors, lengths, marks)
        for row, length in enumerate(lengths.tolist()):
            torch.testing.assert_close(together[row], states[row, length - 1], atol=1e-5, rtol=1e-5)
            for upto in range(1, length + 1):
                own = vectors[row : row + 1, :upto]
                alone = model.body(own, torch.tensor([upto]), marks[row : row + 1, :upto])[0]
                torch.testing.assert_close(alone, states[row, upto - 1], atol=1e-5, rtol=1e-5)
        for column in (0, 1):
            other = marks.clone()
            other[0, 3, column] = (other[0, 3, column] + 1) % 4
            moved = (model.body.states(vectors, lengths, other) - states).abs().amax(2)[0] > 1e-6
            assert not moved[:3].any() and moved[3:].any(), column


@pytest.mark.parametrize(("body", "scoring"), FORMS)
def test_a_fresh_model_with_marks_is_the_one_without(body: str, scoring: str) -> None:
    settings = Settings(body=body, scoring=scoring, width=WIDTH, heads=2, length_max=LENGTH_MAX, loss="full")  # type: ignore[arg-type]
    plain = build(ITEMS, settings, seed=5).eval()
    other = build(ITEMS, msgspec.structs.replace(settings, gaps=True, actions=2), seed=5).eval()
    state = other.state_dict()
    assert {*state} - {*plain.state_dict()} == {"body.gap", "body.action"}
    for name, value in plain.state_dict().items():
        assert torch.equal(value, state[name]), name
    marks = [np.array([[0, 1], [7, 2]])]
    with torch.no_grad():
        told = other.sessions(other.item_vectors(), [[3, 4]], marks)
        torch.testing.assert_close(told, plain.sessions(plain.item_vectors(), [[3, 4]]))
        with pytest.raises(ValueError, match="reads marks"):
            other.sessions(other.item_vectors(), [[3, 4]])
        with pytest.raises(ValueError, match="reads marks"):
            other.body(torch.zeros(1, 2, WIDTH), torch.tensor([2]))


@pytest.mark.parametrize("body", sorted(ENCODERS))
def test_only_the_latest_marks_are_seen(body: str) -> None:
    model, rng = marked(body, "cosine"), np.random.default_rng(4)
    long = rng.integers(ITEMS, size=30).tolist()
    marks = rng.integers((GAPS, 4), size=(30, 2))
    alone = marks[-LENGTH_MAX:].copy()
    alone[0, 0] = FIRST
    with torch.no_grad():
        vectors = model.item_vectors()
        one, other = model.sessions(vectors, [long, long[-LENGTH_MAX:]], [marks, alone])
    torch.testing.assert_close(one, other)


def test_core_stays_in_the_hull_of_its_items() -> None:
    model = made("core", "cosine", layers=1)
    with torch.no_grad():
        vectors = model.item_vectors()
        same = model.sessions(vectors, [[5], [5, 5, 5]])
    unit = vectors[5] * model.settings.temperature
    torch.testing.assert_close(same, unit.expand(2, -1), atol=1e-5, rtol=1e-5)


def reference(model: SessionModel, items: list[int]) -> np.ndarray:
    """SASRec with dot products for one session, in loops over positions and heads, in float64."""
    w = {name: value.double().numpy() for name, value in model.body.state_dict().items()}
    heads, size = model.settings.heads, WIDTH // model.settings.heads
    x = model.table.ids.detach().double().numpy()[items] * WIDTH**0.5 + w["position"][: len(items)]

    def norm(rows: np.ndarray, name: str) -> np.ndarray:
        spread = np.sqrt(rows.var(1, keepdims=True) + 1e-5)
        return (rows - rows.mean(1, keepdims=True)) / spread * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(rows: np.ndarray, name: str) -> np.ndarray:
        return rows @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def gelu(rows: np.ndarray) -> np.ndarray:
        return rows * 0.5 * (1 + torch.erf(torch.from_numpy(rows) / 2**0.5).numpy())

    for block in (f"blocks.{n}" for n in range(model.settings.layers)):
        normed = norm(x, f"{block}.before_attention")
        query, both = linear(normed, f"{block}.query"), linear(normed, f"{block}.key_value")
        key, value, attended = both[:, :WIDTH], both[:, WIDTH:], np.zeros_like(x)
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            for at in range(len(items)):
                logits = np.array(
                    [
                        query[at, own] @ key[j, own] / size**0.5 + w[f"{block}.by_distance"][head, at - j]
                        for j in range(at + 1)
                    ]
                )
                weights = np.exp(logits - logits.max())
                attended[at, own] = (weights / weights.sum()) @ value[: at + 1, own]
        x = x + linear(attended, f"{block}.out")
        hidden = gelu(linear(norm(x, f"{block}.before_mixing"), f"{block}.mixing.0"))
        x = x + linear(hidden, f"{block}.mixing.2")
    return norm(x, "norm")[-1]


@pytest.mark.parametrize("items", [[3], [1, 2], [4, 4, 0, 22, 7, 1, 9, 3, 2]])
def test_sasrec_is_its_slow_reference(items: list[int]) -> None:
    model = made("sasrec", "dot")
    with torch.no_grad():
        got = model.sessions(model.item_vectors(), [items])[0].double().numpy()
    assert got == pytest.approx(reference(model, items), abs=2e-5)


def test_gru_goes_on_from_its_state() -> None:
    model = made("gru4rec", "dot", layers=1)
    vectors = torch.randn(1, 6, WIDTH, generator=torch.Generator().manual_seed(5))
    recurrence = model.body.recurrence
    with torch.no_grad():
        whole, _ = recurrence(vectors)
        state = None
        for at in range(6):
            step, state = recurrence(vectors[:, at : at + 1], state)
        torch.testing.assert_close(step[0, 0], whole[0, -1])


def test_attributes_join_the_item_by_the_root_of_their_number() -> None:
    attributes: list[list[int]] = [[0, 1], [], [1], [0, 1, 2, 3]]
    model = build(4, Settings(width=4, heads=1, scoring="dot", loss="full"), seed=0, attributes=attributes)
    table = model.table
    assert table.attributes is not None
    with torch.no_grad():
        table.gain.fill_(2.0)
        for item, own in enumerate(attributes):
            want = table.ids[item].clone()
            if own:
                want += 2.0 * table.attributes[own].sum(0) / len(own) ** 0.5
            torch.testing.assert_close(table.all()[item], want)
            torch.testing.assert_close(table.rows(torch.tensor([item, 1]))[0], want)
        torch.testing.assert_close(table.rows(torch.tensor([3, 1, 0])), table.all()[[3, 1, 0]])
        assert table.rows(torch.empty(0, dtype=torch.long)).shape == (0, 4)


def test_the_same_seed_builds_the_same_model() -> None:
    settings = Settings(width=8)
    one, same, other = (build(5, settings, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.table.ids, other.table.ids)


def test_settings_that_cannot_be() -> None:
    for wrong in ({"width": 10, "heads": 3}, {"layers": 0}, {"loss": "bpr", "negatives": 0}, {"length_max": 0}):
        with pytest.raises(ValueError):
            msgspec.structs.replace(Settings(), **wrong)
