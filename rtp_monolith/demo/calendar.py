"""When people come: hours of the day, days of the week, and what is going on right at the end of the log.

Invariant: even quantiles in [0, 1) become ascending moments of the last `days` days, denser where a shop is busier.
Knows nothing of who comes.
"""

from __future__ import annotations

import numpy as np

from rtp_monolith.demo.market import Floats, Ints

HOUR_MS = 3_600_000
# How busy each hour of the day is (UTC); a shop sleeps with its town.
HOURS = (2, 1, 1, 1, 1, 2, 4, 6, 7, 7, 8, 9, 11, 10, 8, 8, 9, 10, 12, 14, 16, 15, 10, 5)
# 1970 began on a Thursday.
WEEKDAYS = (1.0, 1.05, 1.25, 1.3, 1.0, 0.95, 0.95)
RECENT_HOURS = 3


class Calendar:
    """The last `days` days before `end_ms`; `recent_share` of all visits fall into the last hours besides."""

    def __init__(self, end_ms: int, days: int, recent_share: float = 0.0) -> None:
        self.start_ms = end_ms - days * 24 * HOUR_MS
        # Edges at the hours of the clock, so that the parts at both ends are shorter.
        inner = np.arange(-(-self.start_ms // HOUR_MS), -(-end_ms // HOUR_MS), dtype=np.int64) * HOUR_MS
        self._edges = np.unique(np.concatenate([[self.start_ms], inner, [end_ms]]))
        hours, length = self._edges[:-1] // HOUR_MS, np.diff(self._edges) / HOUR_MS
        busy = np.array(HOURS)[hours % 24] * np.array(WEEKDAYS)[hours // 24 % 7] * length
        busy = busy / busy.sum()
        latest = np.where(self._edges[:-1] >= end_ms - RECENT_HOURS * HOUR_MS, length, 0.0)
        if recent_share and latest.any():
            busy = (1 - recent_share) * busy + recent_share * latest / latest.sum()
        self._sums = np.concatenate([[0.0], np.cumsum(busy)])
        self._sums /= self._sums[-1]

    def moment(self, quantile: Floats) -> Ints:
        """Milliseconds since 1970 for each quantile."""
        return np.asarray(np.interp(quantile, self._sums, self._edges)).astype(np.int64)
