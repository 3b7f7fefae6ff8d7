"""The running audit of features: vectors that decisions carry, against the same vectors made again from the log.

Invariant: a decision's vectors are a function of the log up to its `applied_offset`, its moment, its context and the
plan; whatever differs is skew. The log is read only, so the shard may run meanwhile; the replay has a process of its
own and never runs in the shard's loop. It does not know how a feature is computed.
"""

from __future__ import annotations

import hashlib
import math
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec

from rtp_monolith._native import Core, Log, Plan, SurfacePlan, decision_json
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.context import context_pairs
from rtp_monolith.features.declared import declared
from rtp_monolith.features.published import External, Restore
from rtp_monolith.features.spec import Feature
from rtp_monolith.manifest import claim
from rtp_monolith.records import Context
from rtp_monolith.state.recovery import CHUNK_BYTES, make_core, open_log

DECISION_KIND = 7
DECISIONS_MAX = 100_000
DIFFERENCES_MAX = 20


class Difference(msgspec.Struct, frozen=True):
    """One value that came out otherwise; `offset` is the decision's state."""

    request_id: str
    item_id: str
    feature: str
    served: float
    replayed: float
    offset: int


class AuditReport(msgspec.Struct, frozen=True):
    """`compared` and `different` count values of features in sampled decisions; equal means equal to the bit.

    Decisions of another plan or configuration are counted and not compared: their numbers may rightly differ.
    """

    decisions: int
    compared: int
    different: int
    other_plan: int
    other_config: int
    features: dict[str, int]
    """How often each feature differed; those that never did are left out."""
    examples: list[Difference]


class Logged(msgspec.Struct, frozen=True):
    """What the audit reads of a decision."""

    request_id: str
    user_id: str | None
    session_id: str
    surface: str
    as_of_ms: int
    applied_offset: int
    config_digest: str
    bundle: str
    context: Context
    items: list[dict[str, object]]
    plan_digest: int
    features: list[list[float]]
    external: External | None = None


def audit(
    data: Path,
    config: Config,
    share: float,
    seed: int,
    *,
    features: Sequence[Feature] | None = None,
    any_plan: bool = False,
) -> AuditReport:
    """Compares a share of the logged decisions of `data`, in a child process. `config` is the shard's, and so are
    the features unless others are given.

    `any_plan` compares decisions of other plans too, if they have as many features. Raises DataError
    `log_truncated` when retention took the beginning of the log: what is gone cannot be replayed.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as child:
        return child.submit(replay_and_compare, data, config, share, seed, features, any_plan).result()


def replay_and_compare(
    data: Path,
    config: Config,
    share: float,
    seed: int,
    features: Sequence[Feature] | None = None,
    any_plan: bool = False,
) -> AuditReport:
    """What `audit` does in its child."""
    manifest = claim(data, config.partitions, create=False)
    log = open_log(data, config, read_only=True)
    try:
        if log.start() > 0:
            raise DataError(f"the log begins at {log.start()}: what came before is gone", code="log_truncated")
        known = declared(config)
        plan = compile_plan(known.features if features is None else features)
        comparison = Comparison(plan, int(config.digest(), 16), any_plan, Restore(known.published))
        core = make_core(manifest, config)
        offset = 0
        for decision in sorted(_sampled(log, share, seed), key=lambda each: each.applied_offset):
            offset = _fold(core, log, offset, decision.applied_offset)
            comparison.add(core, decision)
        return comparison.report()
    finally:
        log.close()


class Comparison:
    """Counts, decision by decision."""

    def __init__(self, plan: Plan, config_digest: int, any_plan: bool, restore: Restore) -> None:
        self._plan = plan
        self._restore = restore
        self._names = plan.names
        self._config_digest = f"{config_digest:016x}"
        self._any_plan = any_plan
        self._surface = SurfacePlan(
            "audit", [], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False
        )
        self._decisions = self._compared = self._other_plan = self._other_config = 0
        self._by_feature: dict[str, int] = {}
        self._examples: list[Difference] = []

    def add(self, core: Core, decision: Logged) -> None:
        """The state must stand at the decision's offset."""
        self._decisions += 1
        fits = all(len(row) == len(self._names) for row in decision.features)
        if not fits or (decision.plan_digest != self._plan.digest and not self._any_plan):
            self._other_plan += 1
            return
        if decision.config_digest != self._config_digest:
            self._other_config += 1
            return
        ids = [str(item["id"]) for item in decision.items[: len(decision.features)]]
        pairs = context_pairs(decision.context)
        ask = core.ask(self._surface, decision.user_id, decision.session_id, decision.as_of_ms, context=pairs)
        ask.made_with(decision.bundle, decision.surface)
        self._restore.give(core, ask, decision.external, ids)
        replayed = core.vectors_of(ask, ids, self._plan).tolist()
        for item_id, served_row, replayed_row in zip(ids, decision.features, replayed, strict=True):
            self._compared += len(self._names)
            if served_row != replayed_row:
                self._note(decision, item_id, served_row, replayed_row)

    def _note(self, decision: Logged, item_id: str, served_row: list[float], replayed_row: list[float]) -> None:
        for name, served, replayed in zip(self._names, served_row, replayed_row, strict=True):
            if served == replayed:
                continue
            self._by_feature[name] = self._by_feature.get(name, 0) + 1
            if len(self._examples) < DIFFERENCES_MAX:
                offset = decision.applied_offset
                self._examples.append(Difference(decision.request_id, item_id, name, served, replayed, offset))

    def report(self) -> AuditReport:
        return AuditReport(
            decisions=self._decisions,
            compared=self._compared,
            different=sum(self._by_feature.values()),
            other_plan=self._other_plan,
            other_config=self._other_config,
            features=dict(sorted(self._by_feature.items(), key=lambda entry: (-entry[1], entry[0]))),
            examples=self._examples,
        )


def _sampled(log: Log, share: float, seed: int) -> list[Logged]:
    """Decisions with vectors whose request falls into the share; the first DECISIONS_MAX of them."""
    bound = math.floor(share * 2**64)
    read = msgspec.json.Decoder(Logged).decode
    found: list[Logged] = []
    for body in decisions_from(log, log.start()):
        decision = read(decision_json(body))
        if decision.features and _draw(seed, decision.request_id) < bound:
            found.append(decision)
            if len(found) == DECISIONS_MAX:
                break
    return found


def decisions_from(log: Log, offset: int) -> Iterator[bytes]:
    """The bodies of the decisions that are logged from `offset` on."""
    while frames := log.frames(offset, CHUNK_BYTES):
        yield from (body for _, _, kind, _, _, _, body in frames if kind == DECISION_KIND)
        offset = frames[-1][1]


def _draw(seed: int, request_id: str) -> int:
    """64 bits that depend on nothing else: the same decisions are drawn in every run."""
    digest = hashlib.blake2b(f"{seed}:{request_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def _fold(core: Core, log: Log, offset: int, until: int) -> int:
    """Folds the log from `offset` to exactly `until`; returns where it stands."""
    while offset < until:
        frames, end = log.read(offset, min(CHUNK_BYTES, until - offset))
        if end == offset:
            raise DataError(f"the log ends at {offset}, a decision has seen {until}", code="log_truncated")
        core.replay(frames, offset)
        offset = end
    return offset
