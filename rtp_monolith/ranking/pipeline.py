"""The read path on one screen: state → encode → recall → prerank → rank → rerank → explore → reply, and a decision in
the log.

Every stage has a time budget and a cheaper answer: the ranker's order, else the light model's, else that of the sources
(co-visitation, popularity), else the visitor's last list.

Invariant: a reply names every step down it took (`degraded`), the decision it logs is the list it sends, and both are
of one bundle. It does not know HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import UnknownSurface
from rtp_monolith.features.context import context_pairs
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.assembly import assemble
from rtp_monolith.ranking.decision import NO_CONTEXT
from rtp_monolith.ranking.faults import Faults
from rtp_monolith.ranking.models import Models
from rtp_monolith.ranking.pages import FIRST, LOST, Page
from rtp_monolith.ranking.run import Run
from rtp_monolith.ranking.stages import StageTimes
from rtp_monolith.ranking.surfaces import CompiledSurface
from rtp_monolith.records import RankRequest, RecommendRequest
from rtp_monolith.state.shard_state import ShardState


class Pipeline:
    """Makes lists from a state. One thread only; a call runs to its end without waiting for anything."""

    def __init__(
        self,
        state: ShardState,
        config: Config,
        clock: Clock,
        metrics: Metrics,
        models: Models | None = None,
        faults: Faults | None = None,
    ) -> None:
        self._state = state
        self._clock = clock
        self._models = models or Models(state, config, clock, metrics)
        self._surfaces = self._models.surfaces
        self._k_max = config.limits.k_max
        self._requests = 0
        self._started_ms = clock.wall_ms()
        self._do = assemble(
            state, config, clock, metrics, Faults(clock) if faults is None else faults, self._models.upkeep.nearest
        )

    async def recommend(self, request: RecommendRequest, *, deadline_ms: float, degraded: Sequence[str] = ()) -> bytes:
        """The JSON of a list of `k` items. Raises UnknownSurface, BadFilter, InvalidField."""
        surface = self._surface(request.surface)
        k = request.k or min(surface.declared.k, self._k_max)
        inside = surface.filter_json(request.context or NO_CONTEXT, request.filter_json)
        page = self._do.pages.before(request)
        run = self._start(request, surface, k, request.exclude or (), inside, deadline_ms, degraded, page)
        self._do.encode(run)
        self._do.recall(run)
        self._do.prerank(run)
        self._do.rank(run)
        self._do.rerank(run)
        self._do.explore(run)
        reply = self._do.decide(run)
        self._do.last.keep(run)
        self._do.pages.keep(request, run.request_id, page, run.listed)
        return reply

    async def rank(self, request: RankRequest, *, deadline_ms: float, degraded: Sequence[str] = ()) -> bytes:
        """The JSON of exactly the given items, ordered; unknown ones last. Raises UnknownSurface."""
        surface = self._surface(request.surface)
        run = self._start(request, surface, len(request.items), (), None, deadline_ms, degraded)
        self._do.encode(run)
        self._do.recall.given(run, request.ids())
        self._do.rank(run)
        if run.unknown:
            run.step_down("unknown_items")
        return self._do.decide(run)

    def _surface(self, name: str) -> CompiledSurface:
        surface = self._surfaces.get(name)
        if surface is None:
            raise UnknownSurface(f"no surface {name!r}; there are {', '.join(sorted(self._surfaces))}", field="surface")
        return surface

    def _start(
        self,
        request: RecommendRequest | RankRequest,
        surface: CompiledSurface,
        k: int,
        exclude: Sequence[str],
        filter_json: bytes | None,
        deadline_ms: float,
        degraded: Sequence[str],
        page: Page = FIRST,
    ) -> Run:
        """Resolves a request: its user in memory, its ids as items, the bundle that is served at this moment."""
        times = StageTimes(self._clock.monotonic_s)
        deadline_s = self._clock.monotonic_s() + deadline_ms / 1000
        self._state.refresh_lists()
        self._state.load_request(request.user_id, request.session_id)
        context = request.context or NO_CONTEXT
        seeds = [*(context.cart or ()), *([] if context.item_id is None else [context.item_id])]
        ask = self._state.core.ask(
            surface.plan,
            request.user_id,
            request.session_id,
            self._state.now_ms(),
            seeds=seeds,
            category=context.category,
            query=context.query,
            context=context_pairs(context),
            exclude=[*exclude, *seeds, *page.shown],
            filter=filter_json,
        )
        self._requests += 1
        request_id = request.request_id or f"{self._started_ms:x}-{self._requests:x}"
        run = Run(
            request, request_id, surface, self._models.active, ask, k, deadline_s, times, self._state.now_ms(), page
        )
        run.is_filtered = filter_json is not None
        # A model is not missed where there is nothing to rank.
        if self._state.core.items_len == 0:
            run.step_down("no_items")
        elif run.active is None:
            run.step_down("no_model")
        for code in (*degraded, LOST) if page.lost else degraded:
            run.step_down(code)
        times.done("state")
        return run
