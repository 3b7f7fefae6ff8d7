"""Learns how the past of a user, their session and the context are put together: three forms, each against the next
wanted item, first without a context, then what a context adds to that.

Item vectors and the encoder stay as they are. Past and session are hidden from some of the cases, so each alone is
projected well too; what needs nothing learned is the session alone, which is the answer. Whether a context comes in at
all, whether it answers alone, and from how many clicks on a session needs no help, is validation's to say. Invariant:
cases, settings and seed determine the weights. It does not know files.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import msgspec
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import FORMS, Form
from rtp_monolith.training import slices
from rtp_monolith.training.fusion_model import FusionModel, Given, fused
from rtp_monolith.training.metrics import MISS, ranks
from rtp_monolith.training.wishes import Wishes

JUDGED_AT = 20
SCORED_AT_ONCE = 1024
PARITY_MAX = 1e-5
CLICKS_MAX = (0, 1, 2, 4, 9, None)
"""Up to how many clicks a fusion may have a say."""
WITH_CONTEXT = " with context"


class FusionSettings(msgspec.Struct, frozen=True):
    """`learning_rate`, `epochs` and `patience` are those of the forms, `context_…` those of what a context adds.
    `hidden` is the share of cases whose session is hidden; for the context also of those whose past is, and of its
    values. Catalogues above `items_max` items are learned against `negatives` of them by chance. At most
    `strangers_max` cases of people without a past teach the context."""

    forms: tuple[Form, ...] = FORMS
    learning_rate: float = 2e-3
    context_rate: float = 5e-3
    context_epochs: int = 30
    context_patience: int = 5
    weight_decay: float = 0.01
    batch: int = 512
    epochs: int = 12
    patience: int = 2
    hidden: float = 0.15
    items_max: int = 20_000
    negatives: int = 4_096
    strangers_max: int = 30_000

    @property
    def own_pace(self) -> tuple[float, int, int]:
        """Rate, epochs and patience of the forms."""
        return self.learning_rate, self.epochs, self.patience

    @property
    def context_pace(self) -> tuple[float, int, int]:
        """Those of what a context adds."""
        return self.context_rate, self.context_epochs, self.context_patience


class Judged(msgspec.Struct, frozen=True):
    """One way to order the catalogue on cases of validation."""

    name: str
    hr: float
    ndcg: float


class Gain(msgspec.Struct, frozen=True):
    """How far the NDCG of one way is above another's on n cases of validation, with its interval."""

    n: int
    ndcg: float
    interval: slices.Bounds

    @property
    def is_shown(self) -> bool:
        return self.interval[0] > 0


NO_GAIN = Gain(0, 0.0, (0.0, 0.0))


class ContextGains(msgspec.Struct, frozen=True):
    """What a context adds to the best form where there is a past or a session, and what it says alone above what is
    popular."""

    beside: Gain = NO_GAIN
    alone: Gain = NO_GAIN


class TrainedFusion(msgspec.Struct, frozen=True):
    """The models by way, a form or a form WITH_CONTEXT, which serves, and which does best with a context."""

    models: dict[str, FusionModel]
    best: str
    tried: tuple[Judged, ...]
    gains: ContextGains = ContextGains()
    widest: str | None = None

    @property
    def serving(self) -> FusionModel:
        """The best, which answers a context alone where that is above what is popular."""
        model = copy(self.models[self.best])
        model.alone = model.words is not None and self.gains.alone.is_shown
        return model


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


def popular_ranks(learned: Wishes, items: int, cases: Wishes) -> NDArray[np.int64]:
    """Rank of each case's item by how often it was wanted in the cases that were learned from."""
    counts = np.bincount(learned.target, minlength=items).astype(np.float32)[:, None]
    return case_ranks(np.ones((len(cases), 1), np.float32), counts, cases)


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
    words: ContextWords | None = None,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> TrainedFusion:
    """Learns each form from the cases with a past and keeps the epoch that is best on the held ones, the best form
    first of equals in the order of FORMS; then, with `words`, what a context adds to each, from all cases and best on
    all. The form that is best with a context where there is a past or a session serves if validation shows a gain."""
    task = _Task(learned, held, vectors, settings, seed)
    models: dict[str, FusionModel] = {}
    tried: list[Judged] = []
    for form in settings.forms:
        models[form] = task.without(form)
        tried.append(judged(form, fused(models[form], task.later), vectors, task.later))
        tell(f"{form}: NDCG {tried[-1].ndcg:.4f}, {_said(models[form].clicks_max)}")
    best: str = settings.forms[_best(tried)]
    if not words:
        return TrainedFusion(models, best, tuple(tried))
    wide, whole = [], []
    for form in settings.forms:
        name = form + WITH_CONTEXT
        models[name] = task.with_context(models[form], words)
        wide.append(judged(name, fused(models[name], task.later), vectors, task.later))
        whole.append(judged(name, fused(models[name], task.known), vectors, task.known))
        tell(f"{name}: NDCG {wide[-1].ndcg:.4f}")
    most = settings.forms[_best(whole)] + WITH_CONTEXT
    gains = task.gains(models[best], models[most])
    if gains.beside.is_shown or (gains.alone.is_shown and gains.beside.ndcg >= 0):
        best = most
    return TrainedFusion(models, best, (*tried, *wide), gains, most)


def _best(tried: list[Judged]) -> int:
    return max(range(len(tried)), key=lambda n: (tried[n].ndcg if np.isfinite(tried[n].ndcg) else -1.0, -n))


def _said(clicks_max: int | None) -> str:
    return "whatever the session" if clicks_max is None else f"the session alone beyond {clicks_max} clicks"


class _Task:
    """What is learned from and what is held, and how."""

    def __init__(
        self, learned: Wishes, held: Wishes, vectors: NDArray[np.float32], settings: FusionSettings, seed: int
    ) -> None:
        self.learned = learned
        self.held = held
        self.vectors = vectors
        self.settings = settings
        self.seed = seed
        self.own = learned.of(np.flatnonzero(learned.has_past))
        self.later = held.of(np.flatnonzero(held.has_past))
        there = held.has_past | (held.clicks > 0)
        self.known, self.neither = held.of(np.flatnonzero(there)), held.of(np.flatnonzero(~there))
        self._table = torch.from_numpy(vectors)

    def without(self, form: Form) -> FusionModel:
        torch.manual_seed(self.seed)
        model = FusionModel(form, self.vectors.shape[1], _scale(self.own))
        rng = np.random.default_rng([self.seed, 11])

        def shown(given: Given) -> Given:
            return given.showing(present=self._kept(rng, len(given.past)))

        self._learn(model, self.own, self.later, shown, rng, *self.settings.own_pace)
        model.clicks_max = self._clicks_max(model)
        return model

    def with_context(self, base: FusionModel, words: ContextWords) -> FusionModel:
        torch.manual_seed(self.seed)
        model = base.with_context(words)
        rng = np.random.default_rng([self.seed, 12])

        def shown(given: Given) -> Given:
            n = len(given.past)
            said = self._kept(rng, *given.numbers.shape)
            return given.showing(self._kept(rng, n), self._kept(rng, n), said)

        self._learn(model, self._teaching(self.learned), self.held, shown, rng, *self.settings.context_pace)
        return model

    def gains(self, base: FusionModel, wide: FusionModel) -> ContextGains:
        """Of the held cases: where there is a past or a session, and where there is neither."""
        known, neither = self.known, self.neither
        alone = case_ranks(fused(wide, neither), self.vectors, neither)
        popular = popular_ranks(self.learned, len(self.vectors), neither)
        both = [case_ranks(fused(each, known), self.vectors, known) for each in (base, wide)]
        return ContextGains(_gain(both[0], both[1], known, self.seed), _gain(popular, alone, neither, self.seed))

    def _teaching(self, cases: Wishes) -> Wishes:
        """Those whose context says something."""
        told = np.flatnonzero((cases.numbers >= 0).any(axis=1))
        strangers = told[~cases.has_past[told]]
        if len(strangers) > self.settings.strangers_max:
            rng = np.random.default_rng([self.seed, 13])
            strangers = rng.choice(strangers, self.settings.strangers_max, replace=False)
        return cases.of(np.sort(np.concatenate([told[cases.has_past[told]], strangers])))

    def _kept(self, rng: np.random.Generator, *shape: int) -> Tensor:
        return torch.from_numpy(rng.random(shape) >= self.settings.hidden)

    def _learn(
        self, model: FusionModel, own: Wishes, later: Wishes, shown: Callable[[Given], Given],
        rng: np.random.Generator, rate: float, epochs: int, patience: int,
    ) -> None:  # fmt: skip
        """Leaves the weights of the best epoch in the model."""
        settings, given, targets = self.settings, Given.of(own), torch.from_numpy(own.target)
        learning = [value for value in model.parameters() if value.requires_grad]
        optimizer = torch.optim.AdamW(learning, lr=rate, weight_decay=settings.weight_decay)
        best, most, since = _copy(model), -1.0, 0
        for _ in range(epochs):
            order = rng.permutation(len(own))
            for start in range(0, len(own), settings.batch):
                rows = torch.from_numpy(order[start : start + settings.batch])
                loss = self._loss(model(shown(given.at(rows))), targets[rows], rng)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            found = judged("", fused(model, later), self.vectors, later).ndcg
            if not len(later) or found > most:
                best, most, since = _copy(model), found, 0
            elif (since := since + 1) >= patience:
                break
        model.load_state_dict(best)

    def _loss(self, asked: Tensor, targets: Tensor, rng: np.random.Generator) -> Tensor:
        """Softmax over the catalogue, or over the batch's items and some by chance."""
        table = self._table
        if len(table) > self.settings.items_max:
            drawn = torch.from_numpy(rng.integers(0, len(table), self.settings.negatives))
            columns, targets = torch.unique(torch.cat([targets, drawn]), return_inverse=True)
            table, targets = table[columns], targets[: len(asked)]
        return F.cross_entropy(asked @ table.T, targets)

    def _clicks_max(self, model: FusionModel) -> int | None:
        """Up to how many clicks the held cases have more from it than from the session alone; the fewest of equals."""
        if not len(self.later):
            return None
        clicks = self.later.clicks
        mixed, session = (
            slices.measures(case_ranks(asked, self.vectors, self.later), JUDGED_AT)["ndcg"]
            for asked in (fused(model, self.later), self.later.session)
        )
        found = [np.where(clicks > (np.inf if most is None else most), session, mixed).mean() for most in CLICKS_MAX]
        return CLICKS_MAX[int(np.argmax(found))]


def _copy(model: FusionModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _gain(before: NDArray[np.int64], after: NDArray[np.int64], cases: Wishes, seed: int) -> Gain:
    if not len(cases):
        return NO_GAIN
    per_case = [slices.measures(each, JUDGED_AT) for each in (before, after)]
    second = slices.paired(per_case, cases.visit, seed)[1]
    return Gain(len(cases), second.difference["ndcg"], second.difference_intervals["ndcg"])


def _scale(cases: Wishes) -> float:
    """The usual length of a session's vector; 1 under cosine."""
    lengths = np.linalg.norm(cases.session[cases.clicks > 0], axis=1)
    return float(np.float32(lengths.mean())) if len(lengths) else 1.0
