"""The read path on one screen: state → recall → prerank → rank → rerank → explore → reply, and a decision in the log.

Invariant: a reply names every step down it took (`degraded`), and the decision it logs is the list it sends. Without a
bundle the score of a candidate is the merged score of its sources; the ranking and exploring stages then have nothing
to do. It does not know HTTP.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import msgspec

from rtp_monolith._native import Ask, Core, Ranked, SurfacePlan
from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import LogFailure, UnknownSurface
from rtp_monolith.features.context import context_pairs
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking import explain
from rtp_monolith.ranking.reply import NO_MODEL, Item, Reply, encode_reply, source_names
from rtp_monolith.ranking.stages import StageTimes
from rtp_monolith.ranking.surfaces import compile_surfaces
from rtp_monolith.records import Context, RankRequest, RecommendRequest
from rtp_monolith.state.shard_state import ShardState

CANDIDATES_MAX = 1_000
RANKED_MAX = 200
_NO_CONTEXT = Context()
_context_json = msgspec.json.Encoder().encode


class Pipeline:
    """Makes lists from a state. One thread only; a call runs to its end without waiting for anything."""

    def __init__(self, state: ShardState, config: Config, clock: Clock, metrics: Metrics) -> None:
        self._metrics = metrics
        self._state = state
        self._core: Core = state.core
        self._clock = clock
        self._requests = 0
        self._started_ms = clock.wall_ms()
        self._surfaces = compile_surfaces(config)
        self._config_digest = int(config.digest(), 16)
        self._audited_below = int(config.audit.share * (1 << 32))

    async def recommend(self, request: RecommendRequest, *, deadline_ms: float, degraded: Sequence[str] = ()) -> bytes:
        """The JSON of a list of `k` items. Raises UnknownSurface, BadFilter."""
        times = StageTimes(self._clock.monotonic_s)
        ask = self._ask(request, request.exclude or [], request.filter_json)
        times.done("state")
        ranked = self._core.recall(ask)
        times.done("recall")
        limit = max(RANKED_MAX, request.k)
        self._core.prerank(ask, ranked, limit, request.k)
        times.done("prerank")
        times.done("rank")
        self._core.diversify(ask, ranked, request.k)
        times.done("rerank")
        times.done("explore")
        return self._reply(request, ask, ranked, [], times, self._steps_down(degraded))

    async def rank(self, request: RankRequest, *, deadline_ms: float, degraded: Sequence[str] = ()) -> bytes:
        """The JSON of exactly the given items, ordered; unknown ones last. Raises UnknownSurface."""
        times = StageTimes(self._clock.monotonic_s)
        ask = self._ask(request, [], None)
        times.done("state")
        ranked, unknown = self._core.rank_given(ask, request.ids())
        times.done("rank")
        codes = self._steps_down(degraded)
        if unknown:
            codes.append("unknown_items")
        return self._reply(request, ask, ranked, unknown, times, codes)

    def _surface(self, name: str) -> SurfacePlan:
        surface = self._surfaces.get(name)
        if surface is None:
            raise UnknownSurface(f"no surface {name!r}; there are {', '.join(sorted(self._surfaces))}", field="surface")
        return surface

    def _ask(self, request: RecommendRequest | RankRequest, exclude: list[str], filter_json: bytes | None) -> Ask:
        """Resolves a request: its user in memory, its ids as items."""
        surface = self._surface(request.surface)
        self._state.refresh_lists()
        self._state.load_request(request.user_id, request.session_id)
        context = request.context or _NO_CONTEXT
        seeds = list(context.cart or ())
        if context.item_id is not None:
            seeds.append(context.item_id)
        return self._core.ask(
            surface,
            request.user_id,
            request.session_id,
            self._state.now_ms(),
            seeds=seeds,
            category=context.category,
            context=context_pairs(context),
            exclude=[*exclude, *seeds],
            filter=filter_json,
            query=context.query,
        )

    def _audited(self, request_id: str) -> bool:
        """Whether the decision carries its vectors: a declared share, the same requests on every shard."""
        return zlib.crc32(request_id.encode()) < self._audited_below

    def _steps_down(self, before: Sequence[str]) -> list[str]:
        # A model is not missed where there is nothing to rank.
        return ["no_items" if self._core.items_len == 0 else "no_model", *before]

    def _new_request_id(self) -> str:
        """Unique on this shard: the start of the process and a count."""
        self._requests += 1
        return f"{self._started_ms:x}-{self._requests:x}"

    def _measure(self, times: StageTimes, degraded: Sequence[str]) -> None:
        for stage, ms in times.ms.items():
            self._metrics.stage(stage, ms)
        for code in degraded:
            self._metrics.degraded(code)

    def _reply(
        self,
        request: RecommendRequest | RankRequest,
        ask: Ask,
        ranked: Ranked,
        unknown: Sequence[str],
        times: StageTimes,
        degraded: list[str],
    ) -> bytes:
        shown = self._core.shown(ranked)
        request_id = request.request_id or self._new_request_id()
        items = [Item(id, score, at, source_names(mask)) for at, (id, score, mask) in enumerate(shown)]
        items += [Item(id, 0.0, len(shown) + at, ("given",)) for at, id in enumerate(unknown)]
        if request.explain:
            items = explain.attach(self._core, self._state.plan, ask, ranked, items)
        try:
            self._core.decide(
                self._state.log,
                ask,
                ranked,
                request_id=request_id,
                config_digest=self._config_digest,
                seed=0,
                bundle="",
                context=_context_json(request.context or _NO_CONTEXT),
                degraded=degraded,
                plan=self._state.plan if self._audited(request_id) else None,
            )
            self._state.decided()
        except LogFailure:
            # A full disk stops what must be remembered; a list can still be given.
            degraded.append("decision_not_logged")
        self._measure(times, degraded)
        return encode_reply(
            Reply(
                request_id=request_id,
                items=items,
                surface=request.surface,
                model=NO_MODEL,
                experiments={},
                degraded=degraded,
                state_version=self._core.state_version(ask),
                as_of_ms=self._state.now_ms(),
                took_ms=round(times.elapsed_ms(), 3),
                stages=times.ms,
            )
        )
