"""Learns how the past of a user and their session are put together: three forms, each against the next wanted item.

Item vectors and the encoder stay as they are. The session is hidden from some of the cases, so the past alone is
projected well too; a missing past needs nothing learned: the session's vector is the answer. Every form begins as
nearly the session's vector. Invariant: cases, settings and seed determine the weights. It does not know files.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rtp_monolith.features.fusion import ATTENTION_WIDTH, FORMS, NORM_MIN, Form, Fusion, said_of_length, shapes
from rtp_monolith.training import slices
from rtp_monolith.training.metrics import MISS, ranks
from rtp_monolith.training.wishes import Wishes

JUDGED_AT = 20
SCORED_AT_ONCE = 1024
PARITY_MAX = 1e-5


class FusionSettings(msgspec.Struct, frozen=True):
    """`hidden` is the share of cases whose session is hidden. Catalogues above `items_max` items are learned against
    `negatives` of them by chance."""

    forms: tuple[Form, ...] = FORMS
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    batch: int = 512
    epochs: int = 12
    patience: int = 2
    hidden: float = 0.15
    items_max: int = 20_000
    negatives: int = 4_096


class FusionModel(nn.Module):
    """`features.fusion.Fusion` as torch learns it, for many cases at once."""

    def __init__(self, form: Form, d: int, scale: float) -> None:
        super().__init__()
        self.form = form
        self.scale = scale
        self.own = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(shape)) for name, shape in shapes(form, d).items() if name != "scale"}
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

    def forward(self, static: Tensor, session: Tensor, length: Tensor, past: Tensor, present: Tensor) -> Tensor:
        """[n, d] of pasts [n, d] and sessions [n, d] with what their length says [n]; `past` and `present`, bool [n],
        say which is there. Zeros where neither is."""
        projected = static @ self.own["project"].T
        dynamic = session / session.norm(dim=1, keepdim=True).clamp(min=NORM_MIN)
        mixed = torch.where(present[:, None], self._both(static, projected, dynamic, length), projected)
        fused = mixed * (self.scale / mixed.norm(dim=1, keepdim=True).clamp(min=NORM_MIN))
        alone = torch.where(present[:, None], session, torch.zeros_like(session))
        return torch.where(past[:, None], fused, alone)

    def _both(self, static: Tensor, projected: Tensor, dynamic: Tensor, length: Tensor) -> Tensor:
        own = self.own
        if self.form == "concatenation":
            concatenated: Tensor = torch.cat([static, dynamic], 1) @ own["mix"].T + own["bias"]
            return concatenated
        if self.form == "gated":
            gate = torch.sigmoid(torch.cat([projected, dynamic, length[:, None]], 1) @ own["gate"].T + own["bias"])
            return gate * dynamic + (1 - gate) * projected
        pair = torch.stack([projected, dynamic], 1)
        scores = torch.tanh(pair @ own["key"].T) @ own["query"] + own["bias"] + length[:, None] * own["length"]
        return (torch.softmax(scores, 1)[:, :, None] * pair).sum(1)

    def exported(self) -> Fusion:
        """As it serves."""
        weights = {name: value.detach().numpy().copy() for name, value in self.own.items()}
        return Fusion(self.form, weights | {"scale": np.array([self.scale], np.float32)})


class Judged(msgspec.Struct, frozen=True):
    """One way to order the catalogue on cases of validation."""

    name: str
    hr: float
    ndcg: float


class TrainedFusion(msgspec.Struct, frozen=True):
    """The models by form, and which serves: the best on validation."""

    models: dict[Form, FusionModel]
    best: Form
    tried: tuple[Judged, ...]

    @property
    def serving(self) -> FusionModel:
        return self.models[self.best]


class _Given(msgspec.Struct, frozen=True):
    """Cases as tensors."""

    static: Tensor
    session: Tensor
    length: Tensor
    past: Tensor
    present: Tensor

    @classmethod
    def of(cls, cases: Wishes) -> _Given:
        length = torch.tensor([said_of_length(int(n)) for n in cases.clicks], dtype=torch.float32)
        session, present = torch.from_numpy(cases.session), torch.from_numpy(cases.clicks > 0)
        return cls(torch.from_numpy(cases.pasts), session, length, torch.from_numpy(cases.has_past), present)

    def at(self, rows: Tensor) -> _Given:
        return _Given(self.static[rows], self.session[rows], self.length[rows], self.past[rows], self.present[rows])

    def by(self, model: FusionModel, present: Tensor | None = None) -> Tensor:
        shown = self.present if present is None else present
        fused: Tensor = model(self.static, self.session, self.length, self.past, shown)
        return fused


def fused(model: FusionModel, cases: Wishes) -> NDArray[np.float32]:
    """Vectors [n, d] of cases; zeros of those with neither a past nor a session."""
    with torch.no_grad():
        return np.asarray(_Given.of(cases).by(model).numpy(), np.float32)


def case_ranks(asked: NDArray[np.float32], vectors: NDArray[np.float32], cases: Wishes) -> NDArray[np.int64]:
    """Rank of each case's item by dot product with `asked` [n, d] among all items that its session had not wanted; MISS
    where there is no vector."""
    table, made = torch.from_numpy(vectors), np.empty(len(cases), np.int64)
    for start in range(0, len(cases), SCORED_AT_ONCE):
        part = slice(start, start + SCORED_AT_ONCE)
        scores = torch.from_numpy(asked[part]) @ table.T
        before = torch.from_numpy(cases.before[part])
        rows, places = torch.nonzero(before >= 0, as_tuple=True)
        scores[rows, before[rows, places]] = -torch.inf
        made[part] = ranks(scores, torch.from_numpy(cases.target[part])).numpy()
    made[~asked.any(axis=1)] = MISS
    return made


def judged(name: str, asked: NDArray[np.float32], vectors: NDArray[np.float32], cases: Wishes) -> Judged:
    """Means over the cases; NaN without any."""
    if not len(cases):
        return Judged(name, float("nan"), float("nan"))
    found = slices.measures(case_ranks(asked, vectors, cases), JUDGED_AT)
    return Judged(name, float(found["hr"].mean()), float(found["ndcg"].mean()))


def train_fusion(
    learned: Wishes,
    held: Wishes,
    vectors: NDArray[np.float32],
    settings: FusionSettings,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> TrainedFusion:
    """Learns each form from the cases with a past and keeps the epoch that is best on the held ones, the best form
    first of equals in the order of FORMS."""
    own = learned.of(np.flatnonzero(learned.has_past))
    later = held.of(np.flatnonzero(held.has_past))
    models: dict[Form, FusionModel] = {}
    tried: list[Judged] = []
    for form in settings.forms:
        models[form], found = _learn(form, own, later, vectors, settings, seed)
        tried.append(found)
        tell(f"{form}: NDCG {found.ndcg:.4f}")
    best = max(range(len(tried)), key=lambda n: (tried[n].ndcg if np.isfinite(tried[n].ndcg) else -1.0, -n))
    return TrainedFusion(models, settings.forms[best], tuple(tried))


def _learn(
    form: Form, own: Wishes, later: Wishes, vectors: NDArray[np.float32], settings: FusionSettings, seed: int
) -> tuple[FusionModel, Judged]:
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 11])
    model = FusionModel(form, vectors.shape[1], _scale(own))
    table, targets, given = torch.from_numpy(vectors), torch.from_numpy(own.target), _Given.of(own)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best, found, since = {k: v.clone() for k, v in model.state_dict().items()}, Judged(form, -1.0, -1.0), 0
    for _ in range(settings.epochs):
        order = rng.permutation(len(own))
        for start in range(0, len(own), settings.batch):
            rows = torch.from_numpy(order[start : start + settings.batch])
            part = given.at(rows)
            shown = part.present & torch.from_numpy(rng.random(len(rows)) >= settings.hidden)
            loss = _loss(part.by(model, shown), table, targets[rows], settings, rng)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        now = judged(form, fused(model, later), vectors, later)
        if not len(later) or now.ndcg > found.ndcg:
            best, found, since = {k: v.clone() for k, v in model.state_dict().items()}, now, 0
        elif (since := since + 1) >= settings.patience:
            break
    model.load_state_dict(best)
    return model, found


def _scale(cases: Wishes) -> float:
    """The usual length of a session's vector; 1 under cosine."""
    lengths = np.linalg.norm(cases.session[cases.clicks > 0], axis=1)
    return float(np.float32(lengths.mean())) if len(lengths) else 1.0


def _loss(asked: Tensor, table: Tensor, targets: Tensor, settings: FusionSettings, rng: np.random.Generator) -> Tensor:
    """Softmax over the catalogue, or over the batch's items and some by chance."""
    if len(table) > settings.items_max:
        drawn = torch.from_numpy(rng.integers(0, len(table), settings.negatives))
        columns, targets = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
        table, targets = table[columns], targets[: len(asked)]
    return F.cross_entropy(asked @ table.T, targets)


def fusion_parity(model: FusionModel, cases: Wishes) -> float:
    """Greatest difference between torch and what serves over cases, with and without either vector."""
    serving = model.exported()
    given = _Given.of(cases)
    most = 0.0
    with torch.no_grad():
        for past, present in ((True, True), (True, False), (False, True)):
            there = (given.past & past, given.present & present)
            made = model(given.static, given.session, given.length, *there).numpy()
            for n in range(len(cases)):
                static = cases.pasts[n] if there[0][n] else None
                found = serving.fuse(static, cases.session[n] if there[1][n] else None, int(cases.clicks[n]))
                most = max(most, float(np.abs(made[n] - (0.0 if found is None else found)).max()))
    return most
