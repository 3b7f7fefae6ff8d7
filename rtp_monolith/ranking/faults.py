"""Faults on purpose: a switch that makes a stage, or a source of recall, fail or stall.

Invariant: an injected stall never lasts longer than the stage may take, so it cannot hold the process past the
stage's budget. It does not know what a stage does, nor what is done when it fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from rtp_monolith.clock import Clock
from rtp_monolith.errors import InvalidField
from rtp_monolith.ranking.reply import SOURCES
from rtp_monolith.ranking.value import nearest

Stage = Literal["encode", "ann", "recall", "prerank", "rank", "rerank", "explore", "log"]
STAGES: tuple[Stage, ...] = ("encode", "ann", "recall", "prerank", "rank", "rerank", "explore", "log")
FAULTY: tuple[str, ...] = (*STAGES, *(name for name in SOURCES if name not in ("ann", "catalogue", "given", "explore")))
"""What can be made to fail. The catalogue is what a list falls back on; nothing falls back on nothing."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What goes wrong at `stage`, for `share` of the requests. `off` ends that; without a `stage` it ends all."""

    stage: str = ""
    mode: Literal["fail", "stall"] = "fail"
    stall_ms: Annotated[float, Meta(ge=0, le=60_000)] = 1000.0
    share: Annotated[float, Meta(gt=0, le=1)] = 1.0
    off: bool = False


class InjectedFailure(Exception):
    """The stage was told to fail."""


class Overrun(Exception):
    """The stage used up its time and has nothing to show for it."""


class Faults:
    """The faults that are switched on. Empty, it costs a truth test per stage."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._faults: dict[str, Fault] = {}
        self._due: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._faults)

    def __contains__(self, stage: str) -> bool:
        return stage in self._faults

    def active(self) -> Sequence[Fault]:
        return list(self._faults.values())

    def switch(self, fault: Fault) -> None:
        """Raises InvalidField for a stage that nobody has."""
        if fault.stage and fault.stage not in FAULTY:
            raise InvalidField(
                "out_of_range", f"stage: no stage {fault.stage!r}{nearest(fault.stage, FAULTY)}", "stage"
            )
        if not fault.stage:
            if not fault.off:
                raise InvalidField("missing_field", "stage is missing: only off may leave it out", "stage")
            self._faults.clear()
        elif fault.off:
            self._faults.pop(fault.stage, None)
        else:
            self._faults[fault.stage] = fault
            self._due[fault.stage] = 0.0

    def strike(self, stage: str, allowed_s: float) -> None:
        """Raises InjectedFailure, or waits and raises Overrun when `allowed_s` is not enough for the stall."""
        fault = self._faults.get(stage)
        if fault is None or not self._hits(fault):
            return
        if fault.mode == "fail":
            raise InjectedFailure(f"{stage} was told to fail")
        stall_s = fault.stall_ms / 1000
        self._clock.pause(min(stall_s, max(allowed_s, 0.0)))
        if stall_s >= allowed_s:
            raise Overrun(f"{stage} was told to stall")

    def _hits(self, fault: Fault) -> bool:
        """Every so many-th request, so that a share is kept exactly and the same way every time."""
        due = self._due[fault.stage] + fault.share
        self._due[fault.stage] = due - 1.0 if due >= 1.0 - 1e-9 else due
        return due >= 1.0 - 1e-9
