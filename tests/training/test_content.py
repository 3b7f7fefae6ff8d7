"""Vectors from content: nearer than chance for items that were not learned from, safe where something is missing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from rtp_monolith.errors import DataError
from rtp_monolith.features.content import ROWS_MIN, Described, bags
from rtp_monolith.training.content import (
    ContentModel,
    ContentSettings,
    NextItems,
    TrainedContent,
    chance,
    gain,
    next_items,
    rows_for,
    train_content,
    vectors_of,
)
from rtp_monolith.training.export_content import content_graph, content_parity
from rtp_monolith.training.models.build import build
from rtp_monolith.training.settings import Settings

SETTINGS = ContentSettings(epochs=6, batch=128, negatives=128, rows_max=1 << 11)
KINDS, BRANDS, D = 8, 6, 16


class World:
    """Items of a kind and a brand that stand at the sum of two directions, and people who want what is near them."""

    def __init__(self, seed: int = 0, items: int = 240) -> None:
        rng = np.random.default_rng(seed)
        kinds, brands = rng.normal(size=(KINDS, D)), rng.normal(size=(BRANDS, D))
        kind, brand = rng.integers(KINDS, size=items), rng.integers(BRANDS, size=items)
        truth = kinds[kind] + brands[brand] + 0.3 * rng.normal(size=(items, D))
        self.vectors = (2 * truth / np.linalg.norm(truth, axis=1, keepdims=True)).astype(np.float32)
        self.items = [
            Described(title=f"thing of kind{k}", categories=[f"all > k{k}"], brand=f"b{b}")
            for k, b in zip(kind.tolist(), brand.tolist(), strict=True)
        ]
        targets = rng.integers(items, size=3000)
        states = self.vectors[targets] + 0.5 * rng.normal(size=(3000, D))
        self.wishes = NextItems(torch.from_numpy(states.astype(np.float32)), torch.from_numpy(targets))

    def without(self, hidden: int) -> tuple[list[Described], NDArray[np.float32], NextItems]:
        """The world before its last items came."""
        known = len(self.items) - hidden
        mine = self.wishes.targets < known
        return self.items[:known], self.vectors[:known], NextItems(self.wishes.states[mine], self.wishes.targets[mine])


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def trained(world: World) -> TrainedContent:
    items, vectors, wishes = world.without(40)
    return train_content(items, vectors, wishes, SETTINGS, seed=0)


def test_hidden_items_are_ranked_far_better_than_by_chance(world: World, trained: TrainedContent) -> None:
    made = vectors_of(trained.model, bags(world.items[200:], trained.rows))
    asked = world.wishes.targets >= 200
    found = gain(world.wishes.states[asked], world.wishes.targets[asked] - 200, made)
    assert found > 2.5 * chance(40)
    assert trained.gain > 1.5 * trained.chance, "of the items that chose the epoch"
    cosine = (made * world.vectors[200:]).sum(1) / np.linalg.norm(made, axis=1) / 2
    assert cosine.mean() > 0.7


def test_lengths_are_those_of_trained_vectors_whatever_is_said(world: World, trained: TrainedContent) -> None:
    odd = [Described(), Described(title="never seen " * 50), Described(brand="b1"), world.items[0]]
    lengths = np.linalg.norm(vectors_of(trained.model, bags(odd, trained.rows)), axis=1)
    np.testing.assert_allclose(lengths, 2.0, rtol=0.01)


def test_a_missing_field_does_little_harm(world: World, trained: TrainedContent) -> None:
    def near(items: list[Described]) -> float:
        made = vectors_of(trained.model, bags(items, trained.rows))
        return float(((made * world.vectors[200:]).sum(1) / np.linalg.norm(made, axis=1) / 2).mean())

    whole = world.items[200:]
    titleless = [msgspec.structs.replace(item, title=None) for item in whole]
    bare = [Described(brand=item.brand) for item in whole]
    assert near(titleless) > near(whole) - 0.1
    assert near(bare) > 0.3


def test_a_token_that_was_never_seen_adds_nothing(trained: TrainedContent) -> None:
    seen = {token for item in World().items[:200] for token in bags([item], trained.rows).tokens[0].tolist()}
    rows = trained.model.table.detach().numpy()
    unseen = [row for row in range(trained.rows) if row not in seen]
    assert len(unseen) > 100 and np.abs(rows[unseen]).max() == 0.0


def test_the_seed_decides(world: World, trained: TrainedContent) -> None:
    items, vectors, wishes = world.without(40)
    again = train_content(items, vectors, wishes, SETTINGS, seed=0)
    assert content_graph(again.model) == content_graph(trained.model)
    assert content_graph(train_content(items, vectors, wishes, SETTINGS, seed=1).model) != content_graph(trained.model)


def test_the_graph_says_what_the_model_says(world: World, trained: TrainedContent) -> None:
    graph = content_graph(trained.model)
    said = bags([*world.items[:20], Described()], trained.rows)
    assert content_parity(graph, trained.model, said) < 1e-5
    other = ContentModel(trained.rows, D, SETTINGS.hidden, 1.0, 1.0)
    with pytest.raises(DataError) as refused:
        content_parity(graph, other.eval(), said)
    assert refused.value.code == "parity"


def test_wishes_are_what_came_next_after_every_place() -> None:
    settings = Settings(width=8, heads=2, layers=1, length_max=4, loss="full")
    model = build(5, settings, 0, None).eval()
    found = next_items(model, [[0, 1, 2], [3, 4], [2, 0, 1, 3, 4]])
    assert sorted(found.targets.tolist()) == sorted([1, 2, 4, 1, 3, 4])
    with torch.no_grad():
        alone = model.sessions(model.item_vectors(), [[3]])[0]
    place = next(n for n, state in enumerate(found.states) if torch.allclose(state, alone, atol=1e-5))
    assert int(found.targets[place]) == 4
    assert next_items(model, []).states.shape == (0, 8)


def test_gain_counts_ties_against_us() -> None:
    states = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    candidates = np.array([[1.0, 0.0], [0.5, 0.0], [0.0, 1.0]], np.float32)
    targets = torch.tensor([1, 0])
    assert gain(states, targets, candidates, k=2) == pytest.approx(0.5 / np.log2(3))
    assert chance(4, k=2) == pytest.approx((1 + 1 / np.log2(3)) / 4)


def test_the_table_has_room_for_what_is_said() -> None:
    assert rows_for([Described()], 1 << 14) == ROWS_MIN
    many = [Described(title=f"word{n}") for n in range(500)]
    assert 1 << 11 <= rows_for(many, 1 << 14) <= 1 << 14
    assert rows_for(many, 1 << 9) == 1 << 9
