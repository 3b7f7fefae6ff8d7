"""Learners that train or combine: a neural model, a blend, the best of several.

Invariant: without a binding budget, data, settings and seed determine what is learned. It does not know which learner
suits the data; `auto.py` does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from rtp_monolith.clock import Clock
from rtp_monolith.training import blend, loop
from rtp_monolith.training.counting import NearSessions
from rtp_monolith.training.learner import JUDGED_CASES, Data, Learner, judged
from rtp_monolith.training.models.bst import Shortlisted
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.models.item_knn import ItemKnn
from rtp_monolith.training.models.neural import Neural
from rtp_monolith.training.models.session_knn import SessionKnn
from rtp_monolith.training.objective import Soft
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.scoring import Scorer
from rtp_monolith.training.settings import Settings

AGAIN_SHARE = 0.44
"""Of the time for two learnings, the first one's: the second has a ninth more sessions and no judging."""
CHECKPOINTS = ("first.ckpt", "again.ckpt", "marked-first.ckpt", "marked-again.ckpt")
"""The files of a killed run, in a folder of their own or beside the model."""
MARKED_COST, AGAIN_COST = 1.3, 1.2
"""What a learning with marks may take, and the one after validation, as multiples of a learning without marks."""


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
        self.near: ItemKnn | None = None
        self.soft: Soft | None = None
        self.ndcg = 0.0
        self.weighs_marks = False
        self.weighed: dict[str, float] = {}

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        if self.weighs_marks and validation is not None and len(validation):
            return self._weigh(data, validation, until_s, again)
        return self._learn(data, validation, until_s, AGAIN_SHARE if again else 1.0, again)

    def _weigh(self, data: Data, validation: Cases, until_s: float, again: bool) -> Scorer:
        """Learns without marks, and with them if there is time for that too; they are kept if validation gains."""
        name, with_marks, began_s = self.name, self.settings, self.clock.monotonic_s()
        self.settings = msgspec.structs.replace(with_marks, gaps=False, actions=0)
        plain = self._learn(data, validation, until_s, AGAIN_SHARE if again else 1.0, again)
        found = (self.history, self.epochs, self.to_run, self.ndcg, self.model)
        now_s = self.clock.monotonic_s()
        took_s = now_s - began_s
        if self.history.cut or until_s - now_s < took_s * (MARKED_COST + AGAIN_COST * again):
            self.tell(f"{name}: times and actions are left out: the time is up for trying them")
            return plain
        self.settings = with_marks
        marked = self._learn(data, validation, now_s + took_s * MARKED_COST, 1.0, again)
        self.weighed = {"ndcg": self.ndcg, "ndcg_without": found[3]}
        gains = self.ndcg > found[3] * blend.GAIN_MIN
        self.tell(
            f"{name}: NDCG {self.ndcg:.4f} on validation with times and actions, {found[3]:.4f} without: "
            f"{'they are read' if gains else 'they are left out'}"
        )
        if gains:
            return marked
        self.history, self.epochs, self.to_run, self.ndcg, self.model = found
        self.settings = msgspec.structs.replace(with_marks, gaps=False, actions=0)
        return plain

    def _learn(self, data: Data, validation: Cases | None, until_s: float, share: float, again: bool) -> Scorer:
        model = build(data.items, self.settings, self.seed, data.attributes)
        budget_s = max(0.0, until_s - self.clock.monotonic_s()) * share
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
            soft=self.soft,
            marks=data.marks,
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
        return self._scorer(model, data)

    def checkpoint(self, first: bool) -> Path | None:
        """The file of a learning, if there are files."""
        if self.checkpoints is None:
            return None
        return self.checkpoints / CHECKPOINTS[2 * self.settings.marked + (not first)]

    def _judge(self, validation: Cases, data: Data) -> Callable[[SessionModel], float]:
        # A live protocol does not change a neural model's answers, so any of its cases may be left out.
        cases = msgspec.structs.replace(validation, live=False).sample(JUDGED_CASES)
        return lambda model: judged(self._scorer(model, data), cases, data)

    def _scorer(self, model: SessionModel, data: Data) -> Scorer:
        """A model that reads the candidate orders what item-kNN found; every other one scores the whole catalogue."""
        if self.settings.body != "bst":
            return Neural(model)
        if self.near is None or self.near.sessions is not data.sessions:
            self.near = ItemKnn(data.sessions, data.items)
        return Shortlisted(model, self.near)

    def document(self) -> dict[str, object]:
        made = {"name": self.name, "settings": msgspec.to_builtins(self.settings), "epochs": self.epochs}
        return made | ({"marks": self.weighed} if self.weighed else {})


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
