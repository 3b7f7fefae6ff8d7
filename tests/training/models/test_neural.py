"""A trained encoder as a scorer: the same scores however the cases are cut into blocks and grouped by length."""

from __future__ import annotations

import pytest
import torch

from rtp_monolith.training.models import encoder, neural
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.neural import Neural
from rtp_monolith.training.protocols import Cases, prefix_cases
from rtp_monolith.training.settings import Settings

ITEMS = 17
SETTINGS = Settings(width=8, heads=2, layers=1, length_max=6, loss="full")


def cases(count: int) -> Cases:
    """Sessions of very different lengths, some longer than the model reads."""
    rng = torch.Generator().manual_seed(count)
    sizes = torch.randint(1, 15, (count,), generator=rng).tolist()
    sessions = [torch.randint(ITEMS, (size,), generator=rng).tolist() for size in sizes]
    return prefix_cases(sessions, torch.ones(ITEMS, dtype=torch.bool).numpy())


def test_blocks_and_groups_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = build(ITEMS, SETTINGS, seed=3), cases(40)
    monkeypatch.setattr(neural, "AHEAD", 16)
    monkeypatch.setattr(encoder, "GROUP_TOKENS", 20)
    scorer = Neural(model)
    with torch.inference_mode():
        vectors = model.item_vectors()
        alone = torch.cat([model.sessions(vectors, [asked.history(case)]) for case in range(len(asked))]) @ vectors.T
    for size in (1, 7, 16, 50):
        starts = range(0, len(asked), size)
        blocks = [scorer.scores(asked, start, min(start + size, len(asked))).clone() for start in starts]
        torch.testing.assert_close(torch.cat(blocks), alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(scorer.scores(asked, 5, 9), alone[5:9], atol=1e-5, rtol=1e-5)


def test_other_cases_are_not_answered_from_those_before() -> None:
    scorer, one, other = Neural(build(ITEMS, SETTINGS, seed=3)), cases(12), cases(13)
    first = scorer.scores(one, 0, 8).clone()
    assert not torch.equal(scorer.scores(other, 0, 8), first)
    torch.testing.assert_close(scorer.scores(one, 0, 8), first)


def test_groups_hold_every_session_once_and_are_small() -> None:
    sessions = [[0] * size for size in (3, 900, 1, 0, 40, 41, 40, 2_000, 7)]
    groups = list(encoder.alike(sessions, length_max=1_000))
    assert sorted(place for group in groups for place in group) == list(range(len(sessions)))
    for group in groups:
        longest = max(min(1_000, len(sessions[place])) for place in group)
        assert len(group) == 1 or len(group) * longest <= encoder.GROUP_TOKENS
