"""One list on its way through the stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Ranked
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.pages import FIRST, Page, Visitor, visitor_of
from rtp_monolith.ranking.stages import StageTimes
from rtp_monolith.ranking.surfaces import CompiledSurface
from rtp_monolith.records import RankRequest, RecommendRequest
from rtp_monolith.state.online.reader import Gathered


class Run:
    """What the stages read and leave: the request resolved, the candidates, the time left, the steps down."""

    __slots__ = (
        *("active", "ask", "deadline_s", "degraded", "evidence", "gathered", "is_apart", "is_filtered", "is_last_list"),
        *("is_tried", "k", "listed", "made_ms", "ordered", "page", "prerank_limit", "propensity", "ranked", "request"),
        *("request_id", "rows", "scores", "stays", "surface", "times", "unknown", "user_vector", "vector", "worth"),
    )

    def __init__(
        self,
        request: RecommendRequest | RankRequest,
        request_id: str,
        surface: CompiledSurface,
        active: Active | None,
        ask: Ask,
        k: int,
        deadline_s: float,
        times: StageTimes,
        made_ms: int,
        page: Page = FIRST,
    ) -> None:
        self.request = request
        self.request_id = request_id
        self.surface = surface
        self.active = active
        self.ask = ask
        self.k = k
        self.deadline_s = deadline_s
        self.times = times
        self.made_ms = made_ms
        """When the order of the list was made: before this moment when the list stays what it was."""
        self.page = page
        self.ranked: Ranked
        self.gathered: Gathered | None = None
        """What had been published for whom it is."""
        self.vector: NDArray[np.float32] | None = None
        self.user_vector: NDArray[np.float32] | None = None
        """The past of the user, the session and the context together; None for a stranger of whom no more is known."""
        self.is_filtered = False
        self.is_tried = False
        """`active` is not the bundle in use but the one that is tried beside it."""
        self.unknown: Sequence[str] = ()
        self.degraded: list[str] = []
        self.rows: NDArray[np.float32] | None = None
        """What the ranker read, in the order in which the candidates came to it."""
        self.is_last_list = False
        """The candidates are those of an earlier list, in its order."""
        self.propensity: float | None = None
        wants = request.explain or (isinstance(request, RecommendRequest) and request.explain_missing is not None)
        self.scores: dict[str, dict[str, float]] | None = {} if wants else None
        """By stage and item, each stage in its order, when the reply is to explain itself."""
        self.prerank_limit = 0
        self.ordered: Sequence[str] = ()
        """Then too: the candidates as they came to the re-rank."""
        self.evidence = 0
        """What the list answers to, as one number that outlives the process; 0 where lists are not kept."""
        self.is_apart = False
        """Nobody sees the list: it is not measured by the one before."""
        self.stays = False
        """The list is the one that the visitor was shown before, place by place."""
        self.listed: Sequence[str] = ()
        self.worth: dict[str, float] = {}
        """Where the surface sends: what the ranker's heads make of each item, before the sources have a say."""

    @property
    def visitor(self) -> Visitor:
        """The surface and who asks, as the key of what is kept for them."""
        return visitor_of(self.request)

    @property
    def bundle(self) -> str:
        """Name and version of what ranks; empty without a bundle."""
        return "" if self.active is None else self.active.label

    @property
    def is_given(self) -> bool:
        """The request brought its items: all of them are in the reply."""
        return isinstance(self.request, RankRequest)

    def note(self, stage: str, shown: Sequence[tuple[str, float, int]]) -> None:
        """Remembers the scores of a stage for `explain`."""
        if self.scores is not None:
            self.scores[stage] = {item_id: score for item_id, score, _ in shown}

    def step_down(self, code: str) -> None:
        if code not in self.degraded:
            self.degraded.append(code)
