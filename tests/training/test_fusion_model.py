"""The fusion as torch has it: it begins as the session, a context as nothing, and serves what torch says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import FORMS, Form
from rtp_monolith.training.fusion import PARITY_MAX
from rtp_monolith.training.fusion_model import FusionModel, Given, fused, fusion_parity
from rtp_monolith.training.wishes import Wishes

D, N = 8, 120
WORDS = ContextWords(device=("phone", "tv"), country=("DE", "FR"), hours=("0-3",))


def cases(seed: int) -> Wishes:
    """With and without a past, a session, and each value of a context."""
    rng = np.random.default_rng(seed)
    static, session = rng.normal(size=(2, N, D))
    static /= np.linalg.norm(static, axis=1, keepdims=True)
    clicks = np.where(rng.random(N) < 0.3, 0, rng.integers(1, 9, N))
    session[clicks == 0] = 0
    static[rng.random(N) < 0.3] = 0
    numbers = np.stack([rng.integers(-1, 2, N), rng.integers(-1, 2, N), np.full(N, -1), rng.integers(-1, 1, N)], 1)
    numbers += np.where(numbers >= 0, [0, 2, 0, 4], 0)
    numbers[rng.random(N) < 0.2] = -1
    return Wishes(
        static.astype(np.float32), np.arange(N), session.astype(np.float32), clicks, np.zeros(N, np.int64),
        np.full((N, 3), -1, np.int64), np.arange(N, dtype=np.int64), numbers,
    )  # fmt: skip


def scrambled(form: Form, words: ContextWords | None = WORDS) -> FusionModel:
    """A model whose weights are all of them something."""
    torch.manual_seed(1)
    model = FusionModel(form, D, 2.0, words)
    with torch.no_grad():
        for value in model.parameters():
            value.add_(0.3 * torch.randn_like(value))
    return model


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("clicks_max", [None, 3])
def test_what_serves_says_what_torch_says_whatever_is_missing(form: Form, alone: bool, clicks_max: int | None) -> None:
    model = scrambled(form)
    model.alone, model.clicks_max = alone, clicks_max
    assert fusion_parity(model, cases(7)) < PARITY_MAX
    assert fusion_parity(scrambled(form, None), cases(7)) < PARITY_MAX


@pytest.mark.parametrize("form", FORMS)
def test_what_is_missing_is_as_documented(form: Form) -> None:
    own, model = cases(6), scrambled(form)
    made = fused(model, own, context=False)
    assert np.isfinite(made).all()
    stranger = ~own.has_past
    np.testing.assert_array_equal(made[stranger], own.session[stranger])
    new = own.has_past & (own.clicks == 0)
    projected = own.pasts[new] @ model.own["project"].detach().numpy().T
    wanted = model.scale * projected / np.linalg.norm(projected, axis=1, keepdims=True)
    np.testing.assert_allclose(made[new], wanted, atol=1e-5)
    unknown = (own.numbers < 0).all(axis=1)
    assert unknown.any()
    np.testing.assert_array_equal(fused(model, own)[unknown], made[unknown])


@pytest.mark.parametrize("form", FORMS)
def test_a_context_begins_as_adding_nothing_and_alone_is_learned(form: Form) -> None:
    own, base = cases(8), scrambled(form, None)
    wide = base.with_context(WORDS)
    np.testing.assert_allclose(fused(wide, own), fused(base, own), atol=1e-5)
    for name, value in wide.own.items():
        assert value.requires_grad == name.startswith("context")
    wide(Given.of(own)).sum().backward()
    gradient = wide.own["context"].grad
    assert gradient is not None and bool(torch.isfinite(gradient).all()) and bool((gradient.abs().sum(1) > 0).all())


@pytest.mark.parametrize("form", FORMS)
def test_it_begins_near_the_session(form: Form) -> None:
    own = cases(8)
    own = own.of(np.flatnonzero(own.has_past & (own.clicks > 0)))
    torch.manual_seed(3)
    made = fused(FusionModel(form, D, 1.0), own)
    session = own.session / np.linalg.norm(own.session, axis=1, keepdims=True)
    assert (made * session).sum(axis=1).min() > 0.85


def test_hiding_is_by_case_and_by_value() -> None:
    given = Given.of(cases(2))
    kept = torch.zeros(N, dtype=torch.bool)
    kept[0] = True
    said = torch.zeros(N, 4, dtype=torch.bool)
    said[:, 1] = True
    hidden = given.showing(kept, kept, said)
    assert not hidden.past[1:].any() and not hidden.present[1:].any()
    assert torch.equal(hidden.numbers[:, 1], given.numbers[:, 1]) and (hidden.numbers[:, 0] == -1).all()
