"""The stages put together: each with its budget, its breaker and the codes of its step down."""

from __future__ import annotations

import msgspec

from rtp_monolith.breaker import Breaker
from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.features.declared import declared
from rtp_monolith.features.taste import Statics
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.decision import Decide
from rtp_monolith.ranking.encode import Encode
from rtp_monolith.ranking.explore import Explore
from rtp_monolith.ranking.faults import Faults
from rtp_monolith.ranking.last_lists import LastLists
from rtp_monolith.ranking.nearest import Nearest
from rtp_monolith.ranking.prerank import Prerank
from rtp_monolith.ranking.rank import Rank
from rtp_monolith.ranking.recall import Recall
from rtp_monolith.ranking.rerank import Rerank
from rtp_monolith.state.shard_state import ShardState


class Stages(msgspec.Struct, frozen=True):
    """In the order in which they run."""

    encode: Encode
    recall: Recall
    prerank: Prerank
    rank: Rank
    rerank: Rerank
    explore: Explore
    decide: Decide
    last: LastLists


def assemble(
    state: ShardState,
    config: Config,
    clock: Clock,
    metrics: Metrics,
    faults: Faults,
    nearest: Nearest,
    last: LastLists,
) -> Stages:
    """Stages with breakers and costs of their own; `last` may be shared."""
    limits = config.cascade
    core = state.core

    def breaker() -> Breaker:
        return Breaker(limits.breaker_failures, limits.breaker_cooldown_ms / 1000)

    def gate(name: str, budget_ms: float, word: str) -> Gate:
        return Gate(name, budget_ms, breaker(), clock, faults, failed=f"{word}_failed", slow=f"{word}_slow")

    code = "decision_not_logged"
    log_gate = Gate("log", limits.log_budget_ms, breaker(), clock, faults, failed=code, slow=code, must=True)
    return Stages(
        Encode(
            core,
            gate("encode", limits.encode_budget_ms, "encoder"),
            gate("ann", limits.ann_budget_ms, "ann"),
            nearest,
            Statics(declared(config).published.user),
        ),
        Recall(core, gate("recall", limits.recall_budget_ms, "recall"), limits, clock, faults, last),
        Prerank(core, gate("prerank", limits.prerank_budget_ms, "prerank"), limits.ranked_max),
        Rank(core, gate("rank", limits.rank_budget_ms, "ranker")),
        Rerank(core, gate("rerank", limits.rerank_budget_ms, "rerank"), last),
        Explore(core, gate("explore", limits.explore_budget_ms, "explore"), clock.wall_ms()),
        Decide(state, config, clock, metrics, log_gate),
        last,
    )
