"""Learners that count: popularity of three kinds, item-kNN, session-kNN with its parameters from validation.

Invariant: nothing here depends on a seed. It does not know neural models.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np

from rtp_monolith.clock import Clock
from rtp_monolith.training.learner import JUDGED_CASES, Data, judged
from rtp_monolith.training.models.item_knn import ItemKnn
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.models.popularity_context import ContextPopularity
from rtp_monolith.training.models.session_knn import KnnSettings, SessionKnn
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.scoring import Scorer

TUNING_SHARE = 0.1


class Popular:
    """Clicks of everybody; of late ones when `recent`, the half-life from validation."""

    epochs = 0.0
    HALF_LIVES = (1 / 2, 1 / 8, 1 / 32, 1 / 128, 1 / 512)
    """In shares of the training sessions."""

    def __init__(self, recent: bool = False, tell: Callable[[str], None] = lambda _: None) -> None:
        self.recent, self.tell = recent, tell
        self.half_life = math.inf

    @property
    def name(self) -> str:
        return "popularity-recent" if self.recent else "popularity"

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        if self.recent and validation is not None and len(validation):
            tried = [math.inf, *(max(1.0, share * len(data.sessions)) for share in self.HALF_LIVES)]
            worth = [judged(Popularity.of(data.sessions, data.items, each), validation, data) for each in tried]
            self.half_life = tried[int(np.argmax(worth))]
            self.tell(f"{self.name}: half-life {self.half_life:.0f} sessions, NDCG {max(worth):.4f} on validation")
        return Popularity.of(data.sessions, data.items, self.half_life)

    def document(self) -> dict[str, object]:
        half_life = self.half_life if math.isfinite(self.half_life) else None
        return {"name": self.name, **({"half_life_sessions": half_life} if self.recent else {})}


class PopularInContext:
    name = "popularity-context"
    epochs = 0.0

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        return ContextPopularity(data.sessions, data.items, data.attributes)

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
        ("with_latest", (False, True)),
        ("max_items_in_session", (2, 4, 8)),
        ("neighborhood_size_k", (50, 100, 250, 500)),
        ("reach", (0.0, 1.0, 2.0, 4.0, 8.0)),
        ("m_most_recent_sessions", (500, 1000, 2500)),
        ("idf_weighting", (0.0, 1.0)),
    )

    def __init__(self, clock: Clock, tell: Callable[[str], None] = lambda _: None) -> None:
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
                tried = msgspec.structs.replace(self.settings, **{name: value})
                began_s = self.clock.monotonic_s()
                ndcg = judged(made.fresh().with_settings(tried), cases, data)
                took_s = self.clock.monotonic_s() - began_s
                if ndcg > best:
                    best, self.settings = ndcg, tried
        self.tell(f"session-knn: {self.settings}, NDCG {best:.4f} on validation")

    def document(self) -> dict[str, object]:
        return {"name": self.name, "settings": msgspec.to_builtins(self.settings)}
