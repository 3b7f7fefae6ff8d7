"""Static, dynamic and context vector of a user as one: what they have wanted all along, what they want in this session,
and what is wanted where and when they ask.

With the session alone the fused vector is the session's, to the bit; with the static one alone its projection into the
space of sessions. A context that is missing or unknown leaves the answer as it is without one; one that is all there is
answers where training found it worth something. Weights come from training. Products of numpy, no graph. Invariant: a
finite answer for finite vectors, of the length that sessions have unless a context is all there is. It does not know
where any vector comes from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.context_words import ContextNumbers, ContextWords

Form = Literal["concatenation", "gated", "attention"]
FORMS: tuple[Form, ...] = ("concatenation", "gated", "attention")
CLICKS_FULL = 50
"""A session of so many clicks has said all that length can say."""
ATTENTION_WIDTH = 16
NORM_MIN = 1e-6

Vector = NDArray[np.float32]


def shapes(form: Form, d: int, values: int = 0) -> dict[str, tuple[int, ...]]:
    """The weights of a form by name, for vectors of `d` numbers; with `values` of contexts those of the context too."""
    made: dict[str, tuple[int, ...]] = {"project": (d, d), "scale": (1,)}
    if form == "concatenation":
        made |= {"mix": (d, 2 * d), "bias": (d,)}
    elif form == "gated":
        made |= {"gate": (d, 2 * d + 1), "bias": (d,)}
    else:
        made |= {"key": (ATTENTION_WIDTH, d), "query": (ATTENTION_WIDTH,), "bias": (2,), "length": (2,)}
    return made | context_shapes(form, d, values)


def context_shapes(form: Form, d: int, values: int) -> dict[str, tuple[int, ...]]:
    """Those of the context alone; none without values."""
    if values == 0:
        return {}
    made: dict[str, tuple[int, ...]] = {"context": (values, d), "context_scale": (1,)}
    if form == "concatenation":
        return made | {"context_mix": (d, d)}
    if form == "gated":
        return made | {"context_gate": (d, 2 * d + 1), "context_bias": (d,)}
    return made | {"context_bias": (1,), "context_length": (1,)}


def said_of_length(clicks: int) -> float:
    """From 0 without a click to 1 with CLICKS_FULL, logarithmic."""
    return min(1.0, math.log1p(clicks) / math.log1p(CLICKS_FULL))


class Fusion:
    """One form with its weights, float32 as `shapes` says. Raises ValueError for others, or that are not finite.

    concatenation: W [s; d] + b. gated: g ⊙ d + (1 - g) ⊙ Ps, g = sigmoid(G [Ps; d; n] + b), element by element.
    attention: softmax over e(x) = q · tanh(K x) + b + n l of both (Bahdanau et al., ICLR 2015). s and d have length 1,
    n is what the session's length says; the result has the length `scale`, or that of the session without a past.

    The context c is the sum of the vectors of its values. To what the two make of each other, or to the one that is
    there, concatenation adds C c, gated h ⊙ c with h = sigmoid(H [Ps; d; n] + b), and attention takes it in as a third.
    Beyond `clicks_max` clicks the session answers alone. `alone` says whether a context that is all there is answers:
    then with what is added, `context_scale` times.
    """

    def __init__(
        self,
        form: Form,
        weights: Mapping[str, NDArray[Any]],
        words: ContextWords | None = None,
        *,
        alone: bool = False,
        clicks_max: int | None = None,
    ) -> None:
        d = int(weights["project"].shape[0]) if "project" in weights else 0
        wanted = shapes(form, d, 0 if words is None else len(words))
        for name, shape in wanted.items():
            given = weights.get(name)
            if given is None or given.shape != shape or given.dtype != np.float32:
                said = "missing" if given is None else f"{given.dtype}{list(given.shape)}"
                raise ValueError(f"{name} is {said}, not float32{list(shape)}")
            if not np.isfinite(given).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        self.form = form
        self.dimension = d
        self.words = words
        self.alone = alone
        self.clicks_max = clicks_max
        self.weights = {name: np.ascontiguousarray(weights[name]) for name in wanted}
        self._scale = np.float32(self.weights["scale"][0])
        self._project = self.weights["project"]
        self._numbers = ContextNumbers(ContextWords() if words is None else words)
        self._rows = self._read_rows()
        self._gates = _gates(self.weights, d) if form == "gated" else None
        self._keys = _keys(self.weights) if form == "attention" else ()

    def _read_rows(self) -> list[Vector | None]:
        """What each value adds, None for nothing at all."""
        rows = self.weights.get("context")
        if rows is None:
            return []
        mixed = rows @ self.weights["context_mix"].T if self.form == "concatenation" else rows
        return [row if row.any() else None for row in np.ascontiguousarray(mixed)]

    def context_of(self, said: Sequence[str | None], as_of_ms: int) -> Vector | None:
        """What device, country and channel of a request add, and its moment; None for nothing."""
        return self.summed(self._numbers.of(said, as_of_ms)) if self._rows else None

    def summed(self, numbers: Sequence[int]) -> Vector | None:
        """What the values of these numbers add; a negative one is of an unknown value."""
        made: Vector | None = None
        for number in numbers:
            if number >= 0 and (row := self._rows[number]) is not None:
                made = row if made is None else made + row
        return made

    def fuse(
        self, static: Vector | None, session: Vector | None, clicks: int, context: Vector | None = None
    ) -> Vector | None:
        """float32 [d] of a static vector of length 1, of a session of `clicks` items and of what a context adds; None
        of nothing."""
        if clicks == 0:
            session = None
        if session is not None and self.clicks_max is not None and clicks > self.clicks_max:
            return session
        if context is None:
            if static is None:
                return session
            if session is None:
                return self._sized(self._project @ static, self._scale)
        projected = None if static is None else self._project @ static
        if session is None:
            if projected is None and not self.alone:
                return None
            made = self._all(static, projected, None, 0.0, context)
            return self.weights["context_scale"] * made if projected is None else self._sized(made, self._scale)
        length = np.float32(max(_norm(session), NORM_MIN))
        mixed = self._all(static, projected, session / length, said_of_length(clicks), context)
        return self._sized(mixed, length if static is None else self._scale)

    def _all(
        self, static: Vector | None, projected: Vector | None, dynamic: Vector | None, n: float, context: Vector | None
    ) -> Vector:
        """What there is of the three put together, before it has its length."""
        if self._gates is not None:
            return self._gated(self._gates, projected, dynamic, n, context)
        if self._keys:
            return self._attended((projected, dynamic, context), n)
        made: Vector | None = projected if dynamic is None else dynamic
        if static is not None and dynamic is not None:
            made = self.weights["mix"] @ np.concatenate([static, dynamic]) + self.weights["bias"]
        return _plus(made, context)

    def _gated(
        self, gates: _Gates, projected: Vector | None, dynamic: Vector | None, n: float, context: Vector | None
    ) -> Vector:
        d, is_both = self.dimension, projected is not None and dynamic is not None
        rows = slice(0 if is_both else d, d if context is None else None)
        logits = gates.bias[rows] + np.float32(n) * gates.length[rows]
        if projected is not None:
            logits += gates.projected[rows] @ projected
        if dynamic is not None:
            logits += gates.dynamic[rows] @ dynamic
        opened = np.float32(0.5) * np.tanh(logits) + np.float32(0.5)
        made = projected if dynamic is None else dynamic
        if projected is not None and dynamic is not None:
            made = projected + opened[:d] * (dynamic - projected)
        return _plus(made, None if context is None else opened[-d:] * context)

    def _attended(self, parts: Sequence[Vector | None], n: float) -> Vector:
        key, query = self.weights["key"], self.weights["query"]
        there = [
            (part, float(query @ np.tanh(key @ part)) + bias + n * length)
            for part, (bias, length) in zip(parts, self._keys, strict=True)
            if part is not None
        ]
        most = max(score for _, score in there)
        shares = [math.exp(score - most) for _, score in there]
        made: Vector | None = None
        for (part, _), share in zip(there, shares, strict=True):
            made = _plus(made, np.float32(share / sum(shares)) * part)
        assert made is not None, "something is there"
        return made

    def _sized(self, vector: Vector, length: np.float32) -> Vector:
        sized: Vector = vector * (length / np.float32(max(_norm(vector), NORM_MIN)))
        return sized


class _Gates(NamedTuple):
    """The gate and, below it, the context's, in the columns that they read; halved, as a sigmoid is a tanh of half."""

    projected: Vector
    dynamic: Vector
    length: Vector
    bias: Vector


def _gates(own: Mapping[str, Vector], d: int) -> _Gates:
    gate, bias = own["gate"], own["bias"]
    if "context_gate" in own:
        gate, bias = np.concatenate([gate, own["context_gate"]]), np.concatenate([bias, own["context_bias"]])
    gate, bias = np.float32(0.5) * gate, np.float32(0.5) * bias
    columns = (gate[:, :d], gate[:, d : 2 * d], gate[:, 2 * d])
    projected, dynamic, length = (np.ascontiguousarray(each) for each in columns)
    return _Gates(projected, dynamic, length, bias)


def _keys(own: Mapping[str, Vector]) -> tuple[tuple[float, float], ...]:
    """Bias and slope by length of past, session and context."""
    bias, length = [*own["bias"], *own.get("context_bias", [0])], [*own["length"], *own.get("context_length", [0])]
    return tuple((float(b), float(each)) for b, each in zip(bias, length, strict=True))


def _plus(one: Vector | None, other: Vector | None) -> Vector:
    if one is None or other is None:
        found = other if one is None else one
        assert found is not None, "something is there"
        return found
    return one + other


def _norm(vector: Vector) -> float:
    return math.sqrt(float(vector @ vector))
