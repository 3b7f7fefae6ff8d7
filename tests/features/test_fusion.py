"""Static and session vector as one: what is missing, what each form computes, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import FORMS, Form, Fusion, context_shapes, said_of_length, shapes

D = 4
WORDS = ContextWords(device=("phone",), country=("DE", "FR"))


def weights(form: Form, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    made = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes(form, D).items()}
    return made | {"scale": np.array([2.0], np.float32)}


def with_context(form: Form, **change: Any) -> Fusion:
    """The same weights and those of a context."""
    rng = np.random.default_rng(4)
    more = {name: rng.normal(size=shape).astype(np.float32) for name, shape in context_shapes(form, D, 3).items()}
    rows = change.pop("rows", more["context"])
    scale = {"context_scale": np.array([3.0], np.float32)}
    return Fusion(form, weights(form) | more | scale | {"context": rows}, WORDS, **change)


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


@pytest.mark.parametrize("form", FORMS)
def test_without_a_known_context_the_answer_is_the_one_without(form: Form) -> None:
    plain, fusion, session = Fusion(form, weights(form)), with_context(form, alone=True), 3 * unit(2)
    unknown = fusion.context_of(("watch", None, "web"), 0)
    assert unknown is None and plain.context_of(("phone", "DE", None), 0) is None
    for static, dynamic, clicks in ((unit(1), session, 3), (unit(1), None, 0)):
        was = plain.fuse(static, dynamic, clicks)
        assert was is not None
        np.testing.assert_array_equal(fusion.fuse(static, dynamic, clicks, unknown), was)
    assert fusion.fuse(None, session, 3, unknown) is session and fusion.fuse(None, None, 0, unknown) is None
    zeros = with_context(form, rows=np.zeros((3, D), np.float32), alone=True)
    assert zeros.context_of(("phone", "DE", None), 0) is None, "a value that adds nothing is as one that is unknown"


@pytest.mark.parametrize("form", FORMS)
def test_a_context_is_added_to_whatever_is_there(form: Form) -> None:
    fusion, session = with_context(form, alone=True), 3 * unit(2)
    context = fusion.context_of(("phone", "FR", None), 0)
    assert context is not None
    np.testing.assert_allclose(context, fusion.summed([0, 2, -1, -1]), atol=0)
    lengths = {"both": 2.0, "past": 2.0, "session": 3.0}
    pairs = {"both": (unit(1), session), "past": (unit(1), None), "session": (None, session), "context": (None, None)}
    for name, (static, dynamic) in pairs.items():
        made = fusion.fuse(static, dynamic, 3 if dynamic is not None else 0, context)
        assert made is not None and made.dtype == np.float32
        if name in lengths:
            assert math.isclose(float(np.linalg.norm(made)), lengths[name], rel_tol=1e-5), name
        was = fusion.fuse(static, dynamic, 3 if dynamic is not None else 0)
        assert was is None or not np.allclose(made, was), name
    assert with_context(form).fuse(None, None, 0, context) is None, "alone only where training says so"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("there", ["both", "past", "session", "context"])
def test_with_a_context_against_plain_formulas(form: Form, there: str) -> None:
    fusion = with_context(form, alone=True)
    own = {name: value.astype(float) for name, value in fusion.weights.items()}
    s, d = unit(1).astype(float), unit(2).astype(float)
    has_past, has_session = there in ("both", "past"), there in ("both", "session")
    n = said_of_length(3) if has_session else 0.0
    p, x = own["project"] @ s * has_past, d * has_session
    c = own["context"][0] + own["context"][1]
    if form == "attention":
        parts = [v for v, yes in ((p, has_past), (x, has_session), (c, True)) if yes]
        biases, lengths = np.append(own["bias"], own["context_bias"]), np.append(own["length"], own["context_length"])
        places = [at for at, yes in enumerate((has_past, has_session, True)) if yes]
        said = zip(places, parts, strict=True)
        e = [own["query"] @ np.tanh(own["key"] @ v) + biases[at] + n * lengths[at] for at, v in said]
        share = np.exp(e) / np.exp(e).sum()
        made = sum(a * v for a, v in zip(share, parts, strict=True))
    else:
        base = p + x
        if there == "both" and form == "concatenation":
            base = own["mix"] @ np.concatenate([s, d]) + own["bias"]
        elif there == "both":
            gate = 1 / (1 + np.exp(-(own["gate"] @ np.concatenate([p, d, [n]]) + own["bias"])))
            base = gate * d + (1 - gate) * p
        if form == "concatenation":
            made = base + own["context_mix"] @ c
        else:
            h = 1 / (1 + np.exp(-(own["context_gate"] @ np.concatenate([p, x, [n]]) + own["context_bias"])))
            made = base + h * c
    length = 5.0 if there == "session" else 2.0
    wanted = 3.0 * made if there == "context" else length * made / np.linalg.norm(made)
    found = fusion.fuse(
        unit(1) if has_past else None, (5 * d).astype(np.float32) if has_session else None, 3 if has_session else 0,
        fusion.context_of(("phone", "DE", None), 0),
    )  # fmt: skip
    assert found is not None
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_beyond_its_clicks_the_session_answers_alone(form: Form) -> None:
    fusion, session = with_context(form, clicks_max=2), 3 * unit(2)
    context = fusion.context_of(("phone", "DE", None), 0)
    assert fusion.fuse(unit(1), session, 3, context) is session is fusion.fuse(None, session, 3, context)
    short = fusion.fuse(unit(1), session, 2, context)
    assert short is not None and short is not session


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
    with pytest.raises(ValueError, match="context is missing"):
        Fusion("gated", own, WORDS)
    with pytest.raises(ValueError, match=r"context is float32\[2, 4\]"):
        with_context("gated", rows=np.zeros((2, D), np.float32))
