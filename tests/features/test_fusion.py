"""Static and session vector as one: what is missing, what each form computes, what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from rtp_monolith.features.fusion import FORMS, Form, Fusion, said_of_length, shapes

D = 4


def weights(form: Form, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes(form, D).items()}
    return made | {"scale": np.array([2.0], np.float32)}


def unit(seed: int) -> NDArray[np.float32]:
    vector = np.random.default_rng(seed).normal(size=D).astype(np.float32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.mark.parametrize("form", FORMS)
def test_what_is_missing(form: Form) -> None:
    own = weights(form)
    fusion, static, session = Fusion(form, own), unit(1), 3 * unit(2)
    assert fusion.fuse(None, None, 0) is None
    assert fusion.fuse(None, session, 3) is session, "without a past the session's vector, to the bit"
    alone = fusion.fuse(static, None, 0)
    assert alone is not None
    projected = own["project"] @ static
    np.testing.assert_allclose(alone, 2.0 * projected / np.linalg.norm(projected), rtol=1e-6)
    both = fusion.fuse(static, session, 3)
    assert both is not None and both.dtype == np.float32 and np.isfinite(both).all()
    assert math.isclose(float(np.linalg.norm(both)), 2.0, rel_tol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_against_plain_loops(form: Form) -> None:
    """Number by number, from the formulas of the docstring."""
    own = {name: value.astype(float) for name, value in weights(form).items()}
    s, d, n = unit(1).astype(float), unit(2).astype(float), said_of_length(3)
    p = [sum(own["project"][i, j] * s[j] for j in range(D)) for i in range(D)]
    if form == "concatenation":
        both = [*s, *d]
        made = [sum(own["mix"][i, j] * both[j] for j in range(2 * D)) + own["bias"][i] for i in range(D)]
    elif form == "gated":
        read = [*p, *d, n]
        logits = [sum(own["gate"][i, j] * read[j] for j in range(2 * D + 1)) + own["bias"][i] for i in range(D)]
        gate = [1 / (1 + math.exp(-x)) for x in logits]
        made = [g * y + (1 - g) * x for g, x, y in zip(gate, p, d, strict=True)]
    else:
        e = []
        for at, vector in enumerate((p, d)):
            hidden = [math.tanh(sum(k * x for k, x in zip(row, vector, strict=True))) for row in own["key"]]
            said = sum(q * h for q, h in zip(own["query"], hidden, strict=True))
            e.append(said + own["bias"][at] + n * own["length"][at])
        share = math.exp(e[0]) / (math.exp(e[0]) + math.exp(e[1]))
        made = [share * x + (1 - share) * y for x, y in zip(p, d, strict=True)]
    wanted = 2.0 * np.array(made) / np.linalg.norm(made)
    found = Fusion(form, weights(form)).fuse(unit(1), (5 * d).astype(np.float32), 3)
    assert found is not None
    np.testing.assert_allclose(found, wanted, atol=2e-6)


def test_zeros_and_great_numbers_stay_finite() -> None:
    for form in FORMS:
        great = {name: np.full(shape, 1e4, np.float32) for name, shape in shapes(form, D).items()}
        none = {name: np.zeros(shape, np.float32) for name, shape in shapes(form, D).items()}
        for own in (great, none):
            for session in (np.zeros(D, np.float32), np.full(D, 1e6, np.float32), None):
                found = Fusion(form, own).fuse(unit(1), session, 7)
                assert found is not None and np.isfinite(found).all()


def test_length_says_between_nothing_and_one() -> None:
    assert (said_of_length(0), said_of_length(50), said_of_length(5_000)) == (0.0, 1.0, 1.0)
    assert 0 < said_of_length(1) < said_of_length(2) < 0.5


def test_weights_that_do_not_fit_are_refused() -> None:
    own = weights("gated")
    for change, said in (
        ({"gate": own["gate"][:, :-1]}, "gate is float32"),
        ({"bias": own["bias"].astype(np.float64)}, "bias is float64"),
        ({"project": np.full((D, D), np.nan, np.float32)}, "project holds"),
    ):
        with pytest.raises(ValueError, match=said):
            Fusion("gated", own | change)
    with pytest.raises(ValueError, match="project is missing"):
        Fusion("attention", {})
    with pytest.raises(ValueError, match="mix is missing"):
        Fusion("concatenation", own)
