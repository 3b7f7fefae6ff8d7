"""Static and dynamic vector of a user as one: what they have wanted all along, and what they want in this session.

With the session alone the fused vector is the session's, to the bit; with the static one alone its projection into the
space of sessions; with neither there is none. Weights come from training. Products of numpy, no graph: 12 to 26 µs for
64 numbers. Invariant: a finite answer for finite vectors, of the length that sessions have. It does not know where
either vector comes from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Form = Literal["concatenation", "gated", "attention"]
FORMS: tuple[Form, ...] = ("concatenation", "gated", "attention")
CLICKS_FULL = 50
"""A session of so many clicks has said all that length can say."""
ATTENTION_WIDTH = 16
NORM_MIN = 1e-6

Vector = NDArray[np.float32]


def shapes(form: Form, d: int) -> dict[str, tuple[int, ...]]:
    """The weights of a form by name, for vectors of `d` numbers."""
    shared: dict[str, tuple[int, ...]] = {"project": (d, d), "scale": (1,)}
    if form == "concatenation":
        return shared | {"mix": (d, 2 * d), "bias": (d,)}
    if form == "gated":
        return shared | {"gate": (d, 2 * d + 1), "bias": (d,)}
    return shared | {"key": (ATTENTION_WIDTH, d), "query": (ATTENTION_WIDTH,), "bias": (2,), "length": (2,)}


def said_of_length(clicks: int) -> float:
    """From 0 without a click to 1 with CLICKS_FULL, logarithmic."""
    return min(1.0, math.log1p(clicks) / math.log1p(CLICKS_FULL))


class Fusion:
    """One form with its weights, float32 as `shapes` says. Raises ValueError for others, or that are not finite.

    concatenation: W [s; d] + b. gated: g ⊙ d + (1 - g) ⊙ Ps, g = sigmoid(G [Ps; d; n] + b), element by element.
    attention: softmax over e(x) = q · tanh(K x) + b + n l of both (Bahdanau et al., ICLR 2015). s and d have length 1,
    n is what the session's length says; the result has the length `scale`.
    """

    def __init__(self, form: Form, weights: Mapping[str, NDArray[Any]]) -> None:
        d = int(weights["project"].shape[0]) if "project" in weights else 0
        for name, shape in shapes(form, d).items():
            given = weights.get(name)
            if given is None or given.shape != shape or given.dtype != np.float32:
                said = "missing" if given is None else f"{given.dtype}{list(given.shape)}"
                raise ValueError(f"{name} is {said}, not float32{list(shape)}")
            if not np.isfinite(given).all():
                raise ValueError(f"{name} holds numbers that are not finite")
        self.form = form
        self.dimension = d
        self.weights = {name: np.ascontiguousarray(weights[name]) for name in shapes(form, d)}
        self._scale = np.float32(self.weights["scale"][0])
        self._project = self.weights["project"]

    def fuse(self, static: Vector | None, session: Vector | None, clicks: int) -> Vector | None:
        """float32 [d] of a static vector of length 1 and of a session of `clicks` items; None of neither."""
        if static is None:
            return session
        if session is None or clicks == 0:
            return self._sized(self._project @ static)
        dynamic = session / max(float(np.linalg.norm(session)), NORM_MIN)
        return self._sized(self._both(static, dynamic, np.float32(said_of_length(clicks))))

    def _both(self, static: Vector, dynamic: Vector, n: np.float32) -> Vector:
        own, made = self.weights, self._project
        mixed: Vector
        if self.form == "concatenation":
            mixed = own["mix"] @ np.concatenate([static, dynamic]) + own["bias"]
            return mixed
        projected = made @ static
        if self.form == "gated":
            logits = own["gate"] @ np.concatenate([projected, dynamic, [n]]) + own["bias"]
            gate = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
            mixed = gate * dynamic + (1 - gate) * projected
            return mixed
        scores = np.tanh(np.stack([projected, dynamic]) @ own["key"].T) @ own["query"] + own["bias"] + n * own["length"]
        share = 1 / (1 + math.exp(max(-30.0, min(30.0, float(scores[1] - scores[0])))))
        mixed = np.float32(share) * projected + np.float32(1 - share) * dynamic
        return mixed

    def _sized(self, vector: Vector) -> Vector:
        sized: Vector = vector * (self._scale / np.float32(max(float(np.linalg.norm(vector)), NORM_MIN)))
        return sized
