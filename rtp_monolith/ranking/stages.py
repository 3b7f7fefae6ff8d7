"""The time of each stage of one request, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable

STAGES = ("state", "encode", "recall", "prerank", "rank", "rerank", "explore")


class StageTimes:
    """Milliseconds by stage; a stage that did not run took 0."""

    __slots__ = ("_clock", "_last_s", "_started_s", "ms")

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds from any start."""
        self._clock = clock
        self._started_s = self._last_s = clock()
        self.ms = dict.fromkeys(STAGES, 0.0)

    def done(self, stage: str) -> None:
        """The stage ended now; it began when the one before it ended."""
        now = self._clock()
        # To the microsecond; `round` to three digits goes by way of a decimal text.
        self.ms[stage] = int((now - self._last_s) * 1e6) / 1000
        self._last_s = now

    def reply(self) -> dict[str, float]:
        """The stages that a reply names: making the session's vector is part of reading the state."""
        told = {stage: ms for stage, ms in self.ms.items() if stage != "encode"}
        told["state"] = round(told["state"] + self.ms["encode"], 3)
        return told

    def elapsed_ms(self) -> float:
        return (self._clock() - self._started_s) * 1000
