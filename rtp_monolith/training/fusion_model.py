"""`features.fusion.Fusion` as torch learns it, for many cases at once, with whatever is missing from some of them.

Every form begins as nearly the session's vector, and its context as adding nothing. Invariant: what it says of a case
is what its export says, whichever of past, session and context is there. It does not know how weights are found.
"""

from __future__ import annotations

from itertools import product

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import (
    ATTENTION_WIDTH,
    NORM_MIN,
    Form,
    Fusion,
    context_shapes,
    said_of_length,
    shapes,
)
from rtp_monolith.training.wishes import Wishes


class Given(msgspec.Struct, frozen=True):
    """Cases as tensors: pasts and sessions [n, d], what the length of the session says [n], its clicks [n], which is
    there, bool [n], and the numbers of the context [n, fields], negative for none."""

    static: Tensor
    session: Tensor
    length: Tensor
    clicks: Tensor
    past: Tensor
    present: Tensor
    numbers: Tensor

    @classmethod
    def of(cls, cases: Wishes) -> Given:
        length = torch.tensor([said_of_length(int(n)) for n in cases.clicks], dtype=torch.float32)
        return cls(
            torch.from_numpy(cases.pasts),
            torch.from_numpy(cases.session),
            length,
            torch.from_numpy(cases.clicks),
            torch.from_numpy(cases.has_past),
            torch.from_numpy(cases.clicks > 0),
            torch.from_numpy(cases.numbers),
        )

    def at(self, rows: Tensor) -> Given:
        return Given(*(getattr(self, name)[rows] for name in self.__struct_fields__))

    def showing(self, past: Tensor | bool = True, present: Tensor | bool = True, said: Tensor | bool = True) -> Given:
        """With what is false hidden: pasts [n], sessions [n], values of the context [n, fields]."""
        there = torch.as_tensor(said)
        numbers = torch.where(there, self.numbers, torch.full_like(self.numbers, -1))
        shown = {"past": self.past & past, "present": self.present & present, "numbers": numbers}
        return msgspec.structs.replace(self, **shown)


class FusionModel(nn.Module):
    """One form. `words` are the values of contexts that it reads; what `clicks_max` and `alone` say is decided once it
    has learned."""

    def __init__(self, form: Form, d: int, scale: float, words: ContextWords | None = None) -> None:
        super().__init__()
        self.form = form
        self.scale = scale
        self.words = words
        self.alone = True
        self.clicks_max: int | None = None
        said = shapes(form, d, 0 if words is None else len(words))
        self.own = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(shape)) for name, shape in said.items() if name != "scale"}
        )
        with torch.no_grad():
            self.own["project"].copy_(torch.eye(d))
            if form == "concatenation":
                self.own["mix"][:, d:].copy_(torch.eye(d))
            elif form == "gated":
                self.own["bias"].fill_(3.0)
            else:
                self.own["bias"][1] = 3.0
                self.own["key"].normal_(std=d**-0.5)
                self.own["query"].normal_(std=ATTENTION_WIDTH**-0.5)
            if words is not None:
                self.own["context_scale"].fill_(scale)
            if "context_mix" in self.own:
                self.own["context_mix"].copy_(torch.eye(d))

    def with_context(self, words: ContextWords) -> FusionModel:
        """The same with a context beside it that adds nothing yet; only that is learned from here on."""
        made = FusionModel(self.form, self.own["project"].shape[0], self.scale, words)
        made.load_state_dict(self.state_dict(), strict=False)
        made.clicks_max = self.clicks_max
        learned = context_shapes(self.form, self.own["project"].shape[0], len(words))
        for name, value in made.own.items():
            value.requires_grad_(name in learned)
        return made

    def forward(self, given: Given) -> Tensor:
        """[n, d]; zeros where there is nothing."""
        past, present = given.past[:, None], given.present[:, None]
        projected = torch.where(past, given.static @ self.own["project"].T, 0.0)
        norms = given.session.norm(dim=1, keepdim=True).clamp(min=NORM_MIN)
        dynamic = torch.where(present, given.session / norms, 0.0)
        length = torch.where(present, given.length[:, None], 0.0)
        alone = torch.where(present, given.session, 0.0)
        made = torch.where(past, self._sized(self._without(given, projected, dynamic, length), self.scale), alone)
        if self.words is not None:
            known = (given.numbers >= 0).any(1, keepdim=True)
            known = known & (past | present | self.alone)
            wide = self._with(given, projected, dynamic, length)
            target = torch.where(past | ~present, torch.full_like(norms, self.scale), norms)
            told = torch.where(past | present, self._sized(wide, target), self.own["context_scale"] * wide)
            made = torch.where(known, told, made)
        if self.clicks_max is not None:
            made = torch.where(present & (given.clicks[:, None] > self.clicks_max), alone, made)
        return made

    def _sized(self, vectors: Tensor, lengths: Tensor | float) -> Tensor:
        sized: Tensor = vectors * (lengths / vectors.norm(dim=1, keepdim=True).clamp(min=NORM_MIN))
        return sized

    def _without(self, given: Given, projected: Tensor, dynamic: Tensor, length: Tensor) -> Tensor:
        """Of those with a past, before it has its length."""
        own, present = self.own, given.present[:, None]
        if self.form == "concatenation":
            both: Tensor = torch.cat([given.static, dynamic], 1) @ own["mix"].T + own["bias"]
        elif self.form == "gated":
            gate = torch.sigmoid(torch.cat([projected, dynamic, length], 1) @ own["gate"].T + own["bias"])
            both = gate * dynamic + (1 - gate) * projected
        else:
            return self._attended([projected, dynamic], [given.past, given.present], length)
        return torch.where(present, both, projected)

    def _with(self, given: Given, projected: Tensor, dynamic: Tensor, length: Tensor) -> Tensor:
        """Of those with a context, before it has its length."""
        own, past, present = self.own, given.past[:, None], given.present[:, None]
        # The last row is what an unknown value adds.
        context = torch.cat([own["context"], torch.zeros_like(own["context"][:1])])[given.numbers].sum(1)
        if self.form == "attention":
            known = (given.numbers >= 0).any(1)
            return self._attended([projected, dynamic, context], [given.past, given.present, known], length)
        there = torch.where(past & present, self._without(given, projected, dynamic, length), projected + dynamic)
        if self.form == "concatenation":
            added: Tensor = there + context @ own["context_mix"].T
            return added
        logits = torch.cat([projected, dynamic, length], 1) @ own["context_gate"].T + own["context_bias"]
        added = there + torch.sigmoid(logits) * context
        return added

    def _attended(self, parts: list[Tensor], there: list[Tensor], length: Tensor) -> Tensor:
        own, n = self.own, len(parts)
        stack = torch.stack(parts, 1)
        bias, slope = own["bias"], own["length"]
        if n == 3:
            bias, slope = torch.cat([bias, own["context_bias"]]), torch.cat([slope, own["context_length"]])
        scores = torch.tanh(stack @ own["key"].T) @ own["query"] + bias + length * slope
        scores = scores.masked_fill(~torch.stack(there, 1), -1e9)
        attended: Tensor = (torch.softmax(scores, 1)[:, :, None] * stack).sum(1)
        return attended

    def exported(self) -> Fusion:
        """As it serves."""
        weights = {name: value.detach().numpy().copy() for name, value in self.own.items()}
        weights["scale"] = np.array([self.scale], np.float32)
        return Fusion(self.form, weights, self.words, alone=self.alone, clicks_max=self.clicks_max)


def fused(
    model: FusionModel, cases: Wishes, *, past: bool = True, session: bool = True, context: bool = True
) -> NDArray[np.float32]:
    """Vectors [n, d] of cases, with what is false hidden from all; zeros of those with nothing."""
    with torch.no_grad():
        return np.asarray(model(Given.of(cases).showing(past, session, context)).numpy(), np.float32)


def fusion_parity(model: FusionModel, cases: Wishes) -> float:
    """Greatest difference between torch and what serves over cases, with and without each of the three."""
    serving, most = model.exported(), 0.0
    for past, session, context in product((True, False), repeat=3):
        made = fused(model, cases, past=past, session=session, context=context)
        for n in range(len(cases)):
            static = cases.pasts[n] if past and cases.has_past[n] else None
            dynamic = cases.session[n] if session and cases.clicks[n] else None
            said = serving.summed(cases.numbers[n].tolist()) if context and model.words is not None else None
            found = serving.fuse(static, dynamic, int(cases.clicks[n]) if session else 0, said)
            most = max(most, float(np.abs(made[n] - (0.0 if found is None else found)).max()))
    return most
