"""The end of a list: its decision goes to the log, its reply to the caller.

A list that a bundle ranks carries the rows that its ranker read of the items it shows, under the bundle's plan; where
the ranker did not come to read them, they are made here. Of the audited requests it carries the catalogue's features
instead, which can be made again without the bundle.

Invariant: the decision says what the reply says, item by item, model and steps down included. It does not know how the
list was made.
"""

from __future__ import annotations

import zlib
from typing import Any

import msgspec
from msgspec import UNSET

from rtp_monolith._native import Plan
from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking import explain
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.missing import missing
from rtp_monolith.ranking.reply import EXPLORED, EXPLORED_BIT, NO_MODEL, Item, Reply, Send, encode_reply, source_names
from rtp_monolith.ranking.run import Run
from rtp_monolith.records import Context, RecommendRequest
from rtp_monolith.state.shard_state import ShardState

NO_CONTEXT = Context()
_context_json = msgspec.json.Encoder().encode


class Decide:
    def __init__(self, state: ShardState, config: Config, clock: Clock, metrics: Metrics, gate: Gate) -> None:
        self._state = state
        self._core = state.core
        self._clock = clock
        self._metrics = metrics
        self._gate = gate
        self._config_digest = int(config.digest(), 16)
        self._audited_below = int(config.audit.share * (1 << 32))
        self._carried_below = int(config.decisions.vectors_share * (1 << 32))

    def __call__(self, run: Run) -> bytes:
        """The JSON of the list."""
        items = self._items(run)
        self._gate.run(run, lambda share: self._decide(run))
        for stage, ms in run.times.ms.items():
            self._metrics.stage(stage, ms)
        for code in run.degraded:
            self._metrics.degraded(code)
        return encode_reply(
            Reply(
                request_id=run.request_id,
                items=items,
                surface=run.surface.name,
                model=NO_MODEL if run.active is None else run.active.model,
                experiments={},
                degraded=run.degraded,
                state_version=self._core.state_version(run.ask),
                as_of_ms=self._state.now_ms(),
                took_ms=round(run.times.elapsed_ms(), 3),
                stages=run.times.reply(),
                missing=self._missing(run),
                send=self._send(run),
            )
        )

    def _items(self, run: Run) -> list[Item]:
        shown = self._core.shown(run.ranked)
        run.listed = [id for id, _, _ in shown]
        items = [Item(id, score, at, source_names(mask)) for at, (id, score, mask) in enumerate(shown)]
        if run.propensity is not None:
            at = next(at for at, (_, _, mask) in enumerate(shown) if mask & EXPLORED_BIT)
            items[at] = msgspec.structs.replace(items[at], slot=EXPLORED, propensity=run.propensity)
        items += [Item(id, 0.0, len(shown) + at, ("given",)) for at, id in enumerate(run.unknown)]
        if run.request.explain:
            items = explain.attach(self._core, self._state.plan, run, items)
        return items

    def _missing(self, run: Run) -> list[dict[str, Any]] | msgspec.UnsetType:
        request = run.request
        if not isinstance(request, RecommendRequest) or request.explain_missing is None:
            return UNSET
        return missing(self._core, run, request.explain_missing)

    def _send(self, run: Run) -> Send | msgspec.UnsetType:
        """Of a surface that sends: the answer for the first page of its list."""
        sending = run.surface.sending
        if sending is None or run.page.shown:
            return UNSET
        listed = run.listed[: len(run.ranked)]
        return sending(self._state, run.ask, run.request_id, run.request.context, listed, run.worth)

    def _decide(self, run: Run) -> None:
        plan, request = self._plan(run), run.request
        self._core.decide(
            self._state.log,
            run.ask,
            run.ranked,
            request_id=run.request_id,
            config_digest=self._config_digest,
            seed=0,
            bundle=run.bundle,
            context=_context_json(run.request.context or NO_CONTEXT),
            degraded=run.degraded,
            plan=plan,
            rows=None if plan is None or plan is self._state.plan else run.rows,
            after=request.after if isinstance(request, RecommendRequest) else None,
            evidence=run.evidence,
            made_ms=run.made_ms if run.evidence else 0,
        )
        self._state.decided()

    def _plan(self, run: Run) -> Plan | None:
        """The columns of the rows that the decision carries; None for none."""
        drawn = zlib.crc32(run.request_id.encode())
        if drawn < self._audited_below:
            return self._state.plan
        if run.active is None or run.surface.declared.rank != "model" or drawn >= self._carried_below:
            return None
        return run.active.bundle.plan
