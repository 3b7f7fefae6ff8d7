"""The audit that never ends, in a process of its own: follows the log of a running shard and compares as it goes.

A decision reaches the log a little after the state that it was made of, so a round folds up to where the log ended in
the round before: by then every decision of that stretch is there. Invariant: a value is compared once. It does not know
who reads its rounds.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec

from rtp_monolith._native import decision_json
from rtp_monolith.config import Config
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.features.published import Restore
from rtp_monolith.features.spec import Feature
from rtp_monolith.manifest import claim
from rtp_monolith.monitoring.skew import AuditReport, Comparison, Logged, decisions_from
from rtp_monolith.state.recovery import open_log
from rtp_monolith.state.replica import Replica

NICENESS = 19
_read = msgspec.json.Decoder(Logged).decode


class Round(msgspec.Struct, frozen=True):
    """What one round found. `missed` decisions are of a state that was folded over; offsets are bytes of the log."""

    report: AuditReport
    missed: int
    folded: int
    log_end: int


class Followed(msgspec.Struct, frozen=True):
    """What the other process is given; `features` and `any_plan` as for `skew.audit`."""

    data: Path
    views: Path
    config: Config
    interval_s: float
    features: Sequence[Feature] | None = None
    any_plan: bool = False


def follow(followed: Followed, to_shard: Connection) -> None:
    """Sends a `Round` as JSON after every interval, until the other end is closed."""
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    follower = Follower(followed)
    # The other end is closed when the shard ends, however it ends.
    with contextlib.suppress(EOFError, OSError):
        while True:
            to_shard.send_bytes(msgspec.json.encode(follower.round()))
            if to_shard.poll(followed.interval_s):
                to_shard.recv_bytes()
    follower.close()


class Follower:
    """One copy of the state, and the decisions that wait for it."""

    def __init__(self, followed: Followed) -> None:
        """Raises DataError."""
        self._followed = followed
        config = followed.config
        known = declared(config)
        self._plan = compile_plan(known.features if followed.features is None else followed.features)
        self._restore = Restore(known.published)
        self._digest = int(config.digest(), 16)
        self._replica = Replica(followed.views, claim(followed.data, config.partitions, create=False), config)
        self._read_at = self._fold_to = self._replica.core.applied
        self._waiting: list[Logged] = []

    def round(self) -> Round:
        """Folds and compares what came since. Raises DataError `log_truncated` when retention overtook it."""
        followed, replica = self._followed, self._replica
        comparison, missed = Comparison(self._plan, self._digest, followed.any_plan, self._restore), 0
        log = open_log(followed.data, followed.config, read_only=True)
        try:
            end = log.durable()
            if end > self._read_at:
                logged = (_read(decision_json(body)) for body in decisions_from(log, self._read_at))
                self._waiting += [each for each in logged if each.features]
            due = [each for each in self._waiting if each.applied_offset <= self._fold_to]
            self._waiting = [each for each in self._waiting if each.applied_offset > self._fold_to]
            for decision in sorted(due, key=lambda each: each.applied_offset):
                if decision.applied_offset < replica.core.applied:
                    missed += 1
                    continue
                replica.fold(log, decision.applied_offset)
                replica.load_request(decision.user_id, decision.session_id)
                comparison.add(replica.core, decision)
            replica.fold(log, self._fold_to)
            self._read_at = self._fold_to = end
            return Round(comparison.report(), missed, replica.core.applied, end)
        finally:
            log.close()

    def close(self) -> None:
        self._replica.close()
