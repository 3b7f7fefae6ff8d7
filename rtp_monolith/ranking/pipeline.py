"""The read path on one screen: state → encode → recall → prerank → rank → rerank → explore → reply, and a decision in
the log.

Every stage has a time budget and a cheaper answer: the ranker's order, else the light model's, else that of the sources
(co-visitation, popularity), else the visitor's last list.

Invariant: a reply names every step down it took (`degraded`), the decision it logs is the list it sends, and both are
of one bundle. It does not know HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import UnknownSurface
from rtp_monolith.features.context import context_pairs
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.assembly import Stages, assemble
from rtp_monolith.ranking.decision import NO_CONTEXT
from rtp_monolith.ranking.faults import Faults
from rtp_monolith.ranking.last_lists import LastLists
from rtp_monolith.ranking.models import Models
from rtp_monolith.ranking.pages import FIRST, LOST, Page, Pages
from rtp_monolith.ranking.run import Run
from rtp_monolith.ranking.shown_before import read_back
from rtp_monolith.ranking.stages import StageTimes
from rtp_monolith.ranking.surfaces import CompiledSurface
from rtp_monolith.records import RankRequest, RecommendRequest
from rtp_monolith.state.online.reader import Gathered
from rtp_monolith.state.shard_state import ShardState

SHADOW_DEADLINE_MS = 100.0
"""For a list that nobody waits for; a bundle that needs longer steps down here as it would in use."""


def _arranged(run: Run, do: Stages) -> None:
    do.encode(run)
    do.recall(run)
    do.prerank(run)
    do.rank(run)
    do.rerank(run)


def _recommended(run: Run, do: Stages) -> bytes:
    _arranged(run, do)
    do.explore(run)
    reply = do.decide(run)
    do.last.keep(run)
    return reply


def _ranked(run: Run, do: Stages) -> bytes:
    assert isinstance(run.request, RankRequest)
    do.encode(run)
    do.recall.given(run, run.request.ids())
    do.rank(run)
    if run.unknown:
        run.step_down("unknown_items")
    return do.decide(run)


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
        faults = Faults(clock) if faults is None else faults
        upkeep, last = self._models.upkeep, LastLists()
        self._do = assemble(state, config, clock, metrics, faults, upkeep.graphs.nearest, last)
        self._do_tried = assemble(state, config, clock, metrics, Faults(clock), upkeep.beside.nearest, last)
        limits = config.cascade
        self._pages = Pages(clock, requests_max=limits.pages_max, keep_ms=limits.pages_keep_ms)
        read_back(state.core, state.log, clock, self._pages, last, self._surfaces.values())
        self._trials = self._models.trials
        self._trials.make_again_with(self._again)
        self._models.resume()

    async def recommend(
        self,
        request: RecommendRequest,
        *,
        deadline_ms: float,
        degraded: Sequence[str] = (),
        gathered: Gathered | None = None,
    ) -> bytes:
        """The JSON of a list of `k` items. Raises UnknownSurface, BadFilter, InvalidField."""
        page = self._pages.before(request)
        run = self._recommend(request, deadline_ms, degraded, gathered, page)
        reply = self._make(run, _recommended)
        self._pages.keep(request, run.request_id, page, run.listed)
        return reply

    async def rank(
        self,
        request: RankRequest,
        *,
        deadline_ms: float,
        degraded: Sequence[str] = (),
        gathered: Gathered | None = None,
    ) -> bytes:
        """The JSON of exactly the given items, ordered; unknown ones last. Raises UnknownSurface."""
        surface = self._surface(request.surface)
        run = self._start(request, surface, len(request.items), (), None, deadline_ms, degraded, gathered)
        return self._make(run, _ranked)

    def _make(self, run: Run, stages: Callable[[Run, Stages], bytes]) -> bytes:
        """The list by the bundle in use, or by the one that is tried on this visitor."""
        if not run.is_tried:
            reply = stages(run, self._do)
        else:
            with self._trials.lent():
                reply = stages(run, self._do_tried)
        if self._trials.trial is not None:
            self._trials.made(run, len(run.ranked))
        return reply

    def _again(
        self, request: RecommendRequest, gathered: Gathered | None
    ) -> tuple[Sequence[str], int, Sequence[str], float]:
        """A list that nobody sees: made with the bundle that is tried, not logged, nothing explored."""
        run = self._recommend(request, SHADOW_DEADLINE_MS, (), gathered, FIRST)
        run.active, run.is_tried, run.is_apart = self._trials.active, True, True
        run.ask.made_with("" if run.active is None else run.active.label)
        with self._trials.lent():
            _arranged(run, self._do_tried)
            shown = [item for item, _, _ in self._state.core.shown(run.ranked)[: run.k]]
        return shown, self._state.core.state_version(run.ask), run.degraded, run.times.elapsed_ms()

    def _recommend(
        self,
        request: RecommendRequest,
        deadline_ms: float,
        degraded: Sequence[str],
        gathered: Gathered | None,
        page: Page,
    ) -> Run:
        surface = self._surface(request.surface)
        k = request.k or min(surface.declared.k, self._k_max)
        inside = surface.filter_json(request.context or NO_CONTEXT, request.filter_json)
        return self._start(request, surface, k, request.exclude or (), inside, deadline_ms, degraded, gathered, page)

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
        gathered: Gathered | None,
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
        tried = None if self._trials.trial is None else self._trials.of(ask)
        active = self._models.active if tried is None else tried
        ask.made_with("" if active is None else active.label)
        made_ms = self._state.now_ms()
        run = Run(request, request_id, surface, active, ask, k, deadline_s, times, made_ms, page)
        run.is_tried = tried is not None
        run.is_filtered = filter_json is not None
        # A model is not missed where there is nothing to rank.
        if self._state.core.items_len == 0:
            run.step_down("no_items")
        elif run.active is None:
            run.step_down("no_model")
        if gathered is not None:
            self._state.core.set_published(ask, gathered.user)
            run.gathered = gathered
            degraded = (*degraded, *gathered.degraded)
        for code in (*degraded, LOST) if page.lost else degraded:
            run.step_down(code)
        times.done("state")
        return run
