"""Every model behind one word: learn from sessions, with validation the first time, without it the second.

Invariant: what a learner chooses on validation (epochs, parameters, weights) it keeps when it learns again from
training and validation together. It does not know which learner suits the data; `auto.py` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.training import blend, loop
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.models.item_knn import ItemKnn
from rtp_monolith.training.models.neural import Neural
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.models.session_knn import KnnSettings, SessionKnn
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.scoring import Scorer, measure
from rtp_monolith.training.settings import Settings

JUDGED_CASES = 4_000
"""Validation cases that an epoch, a parameter or a weight is judged on; the figure that is printed is of all."""


TUNING_SHARE = 0.1
AGAIN_SHARE = 0.44
"""Of the time for two learnings, the first one's: the second has a ninth more sessions and no judging."""


class Data(msgspec.Struct, frozen=True):
    """Sessions of item numbers below `items`; `known` [items] says which a model may recommend, `trained` [items] which
    occur; `attributes` lists the attribute numbers of each item, or is None; `lists` are asked for when all is done."""

    sessions: list[list[int]]
    items: int
    known: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    attributes: list[list[int]] | None
    k: int
    lists: int = 0


class Learner(Protocol):
    """`epochs` of the last learning, 0 where there are none. `until_s` is on the learner's clock."""

    @property
    def name(self) -> str: ...

    @property
    def epochs(self) -> float: ...

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        """Learns until `until_s` at most; with `again` a second learning, of a little more, must fit in as well."""

    def document(self) -> dict[str, object]:
        """What was chosen, for people and for `model.json`."""


def judged(scorer: Scorer, cases: Cases, data: Data) -> float:
    """NDCG on a sample of the cases."""
    popular = Popularity.of(data.sessions, data.items)
    return measure(scorer, cases.sample(JUDGED_CASES), popular, data.known, data.k, data.trained).ndcg


class Popular:
    name = "popularity"
    epochs = 0.0

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        return Popularity.of(data.sessions, data.items)

    def document(self) -> dict[str, object]:
        return {"name": self.name}


class NearItems:
    name = "item-knn"
    epochs = 0.0

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        return ItemKnn(data.sessions, data.items)

    def document(self) -> dict[str, object]:
        return {"name": self.name}


class NearSessions:
    """Tunes one parameter after the other, from what does most to what does least."""

    name = "session-knn"
    epochs = 0.0
    GRID: tuple[tuple[str, tuple[float, ...]], ...] = (
        ("max_items_in_session", (2, 4, 8)),
        ("neighborhood_size_k", (50, 100, 250, 500)),
        ("m_most_recent_sessions", (500, 1000, 2500)),
        ("idf_weighting", (0.0, 1.0)),
    )

    def __init__(self, clock: Clock, tell: loop.Tell = lambda _: None) -> None:
        self.clock, self.tell = clock, tell
        self.settings = KnnSettings()

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> SessionKnn:
        made = SessionKnn(data.sessions, data.items, self.settings)
        if validation is not None and len(validation):
            now_s = self.clock.monotonic_s()
            self._tune(made, validation, data, now_s + TUNING_SHARE * (until_s - now_s))
            made = made.fresh().with_settings(self.settings)
        return made

    def _tune(self, made: SessionKnn, validation: Cases, data: Data, until_s: float) -> None:
        cases, took_s = validation.sample(JUDGED_CASES // 2), 0.0
        best = -1.0
        for name, values in self.GRID:
            for value in values:
                if (
                    value == getattr(self.settings, name) and best >= 0.0
                ) or self.clock.monotonic_s() + took_s > until_s:
                    continue
                tried = msgspec.convert(
                    {**msgspec.structs.asdict(self.settings), name: value}, KnnSettings, strict=False
                )
                began_s = self.clock.monotonic_s()
                ndcg = judged(made.fresh().with_settings(tried), cases, data)
                took_s = self.clock.monotonic_s() - began_s
                if ndcg > best:
                    best, self.settings = ndcg, tried
        self.tell(f"session-knn: {self.settings}, NDCG {best:.4f} on validation")

    def document(self) -> dict[str, object]:
        return {"name": self.name, "settings": msgspec.to_builtins(self.settings)}


class Encoder:
    """A neural session model: early stopping on validation, the same schedule again without it."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        seed: int,
        clock: Clock,
        tell: loop.Tell = lambda _: None,
        checkpoints: Path | None = None,
    ) -> None:
        self.name, self.settings, self.seed = name, settings, seed
        self.clock, self.tell, self.checkpoints = clock, tell, checkpoints
        self.epochs = 0.0
        self.to_run: loop.Pass | None = None
        self.history = loop.History()
        self.model: SessionModel | None = None
        self.ndcg = 0.0

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Neural:
        model = build(data.items, self.settings, self.seed, data.attributes)
        budget_s = max(0.0, until_s - self.clock.monotonic_s()) * (AGAIN_SHARE if again else 1.0)
        kind = "learning" if validation is not None else "again with validation"
        self.tell(f"{self.name}: {kind}, {len(data.sessions)} sessions, {data.items} items, at most {budget_s:.0f} s")
        self.history = loop.train(
            model,
            data.sessions,
            self.settings,
            seed=self.seed,
            clock=self.clock,
            judge=None if validation is None or not len(validation) else self._judge(validation, data),
            budget_s=budget_s,
            judgings_after=0.0 if again or validation is None else data.lists / JUDGED_CASES,
            to_run=self.to_run if validation is None else None,
            checkpoint=self.checkpoint(validation is not None),
            tell=lambda text: self.tell(f"{self.name}: {text}"),
        )
        history = self.history
        planned = history.steps_planned / max(1, history.steps_per_epoch)
        if not history.cut:
            planned = (self.to_run if validation is None and self.to_run else loop.Pass(self.settings.epochs, 0)).epochs
        self.epochs = min(float(history.best_epoch), planned)
        if validation is not None:
            self.to_run = loop.Pass(planned, self.epochs)
            self.ndcg = max((each.metric or 0.0 for each in history.epochs), default=0.0)
        self.model = model
        return Neural(model)

    def checkpoint(self, first: bool) -> Path | None:
        """The file of a learning, if there are files."""
        return None if self.checkpoints is None else self.checkpoints / ("first.ckpt" if first else "again.ckpt")

    def _judge(self, validation: Cases, data: Data) -> Callable[[SessionModel], float]:
        # A live protocol does not change a neural model's answers, so any of its cases may be left out.
        cases = msgspec.structs.replace(validation, live=False).sample(JUDGED_CASES)
        return lambda model: judged(Neural(model), cases, data)

    def document(self) -> dict[str, object]:
        return {"name": self.name, "settings": msgspec.to_builtins(self.settings), "epochs": self.epochs}


class Mixture:
    """Neural models, and session-kNN beside them, under tuned weights.

    With `optional` every encoder but the first is learned only if the time, judged by the ones before, allows it.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        knn: NearSessions | None,
        clock: Clock,
        tell: loop.Tell,
        optional: bool = False,
    ) -> None:
        self.encoders, self.knn, self.clock, self.tell = list(encoders), knn, clock, tell
        self.optional = optional
        self.mix = blend.Mix(tuple(1.0 / len(encoders) for _ in encoders))
        self.weighed = False

    @property
    def name(self) -> str:
        return "+".join([*(each.name for each in self.encoders), *(["session-knn"] if self._has_knn() else [])])

    @property
    def epochs(self) -> float:
        return max((each.epochs for each in self.encoders), default=0.0)

    def _has_knn(self) -> bool:
        return self.knn is not None and (self.mix.weight > 0.0 or not self.weighed)

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        knn = None
        if self.knn is not None and self._has_knn():
            knn = self.knn.learn(data, validation, until_s, again)
        learned: list[tuple[Encoder, Scorer]] = []
        slowest_s = 0.0
        for place, each in enumerate(self.encoders):
            now_s = self.clock.monotonic_s()
            left = len(self.encoders) - place
            if self.optional and validation is not None:
                # All that were learned are learned again if they all get a share.
                if place and until_s - now_s < slowest_s * (1.1 + 1.2 * (place + 1) * again):
                    self.tell(f"{each.name} is left out: the time is up for one more model")
                    continue
                left = 1
            learned.append((each, each.learn(data, validation, now_s + (until_s - now_s) / left, again)))
            slowest_s = max(slowest_s, self.clock.monotonic_s() - now_s)
        self.encoders = [each for each, _ in learned]
        return self._weigh([scorer for _, scorer in learned], knn, data, validation)

    def _weigh(
        self, scorers: Sequence[Scorer], knn: SessionKnn | None, data: Data, validation: Cases | None
    ) -> blend.Blend:
        """The scorers under the mix, which is tuned when there is validation; parts without a share are forgotten."""
        if validation is not None:
            cases = validation.sample(JUDGED_CASES)
            mix, tried = blend.tune(scorers, knn, cases, data.known, data.k)
            alone = max(ndcg for tried_mix, ndcg in tried.items() if not tried_mix.weight and 1.0 in tried_mix.shares)
            self.tell(f"blend: NDCG {tried[mix]:.4f} on validation, the best model alone {alone:.4f}: {mix}")
            used = [place for place, share in enumerate(mix.shares) if share]
            self.encoders, scorers = [self.encoders[place] for place in used], [scorers[place] for place in used]
            self.mix = msgspec.structs.replace(mix, shares=tuple(mix.shares[place] for place in used))
            self.weighed = True
        return blend.Blend(scorers, knn.fresh() if knn is not None else None, self.mix)

    def document(self) -> dict[str, object]:
        parts = [each.document() for each in self.encoders]
        knn = [self.knn.document()] if self.knn is not None and self._has_knn() else []
        return {"name": self.name, "mix": msgspec.to_builtins(self.mix), "parts": [*parts, *knn]}


class BestOf:
    """The learner with the best validation, for data too small to tune anything."""

    def __init__(self, learners: Sequence[Learner], tell: loop.Tell) -> None:
        self.learners, self.tell = list(learners), tell

    @property
    def name(self) -> str:
        return self.learners[0].name

    @property
    def epochs(self) -> float:
        return self.learners[0].epochs

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        if validation is not None:
            worth = [judged(each.learn(data, validation, until_s, again), validation, data) for each in self.learners]
            for each, ndcg in zip(self.learners, worth, strict=True):
                self.tell(f"{each.name}: NDCG {ndcg:.4f} on validation")
            best = max(range(len(worth)), key=lambda place: worth[place])
            self.learners = [self.learners[best]]
        return self.learners[0].learn(data, validation, until_s, again)

    def document(self) -> dict[str, object]:
        return self.learners[0].document()
