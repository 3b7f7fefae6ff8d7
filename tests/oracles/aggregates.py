"""A team's aggregates in plain loops over all events ever sent: no buckets, no merging, no bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.oracles.condition import number_of

MINUTE = 60_000
WIDTHS = {"5m": (MINUTE, 6), "1h": (10 * MINUTE, 7), "1d": (120 * MINUTE, 13), "7d": (1440 * MINUTE, 8)}
"""Width and number of the buckets of each window; the oldest counts whole."""
LENGTHS = {"5m": 5 * MINUTE, "1h": 60 * MINUTE, "1d": 1440 * MINUTE, "7d": 7 * 1440 * MINUTE}


@dataclass(frozen=True)
class Counted:
    user: str
    item: str
    kind: str
    ts_ms: int
    stars: str
    genre: str

    @property
    def number(self) -> float | None:
        """Finite, and clipped at a thousand million."""
        found = number_of(self.stars)
        return None if found is None or abs(found) == float("inf") else max(-1e9, min(1e9, found))


def within(events: Sequence[Counted], window: str, now: int) -> list[Counted]:
    """Those of a window's buckets; a bucket that the newest event has pushed out is gone."""
    if window == "lifetime" or not events:
        return list(events)
    width, buckets = WIDTHS[window]
    newest = max(each.ts_ms for each in events) // width
    first = max(now // width, newest) - buckets + 1
    return [each for each in events if first <= each.ts_ms // width <= now // width]


def value_of(name: str, window: str, events: Sequence[Counted], now: int) -> float:
    if name == "count":
        chosen = [each for each in events if each.kind in ("like", "rated") and each.genre != "x"]
        return len(within(chosen, window, now))
    if name == "distinct":
        latest: dict[str, int] = {}
        for each in events:
            latest[each.genre] = max(latest.get(each.genre, 0), each.ts_ms)
        since = 0 if window == "lifetime" else now - LENGTHS[window]
        return sum(since < ts_ms <= now for ts_ms in latest.values())
    chosen = [each for each in events if each.number is not None]
    if name == "mean":
        chosen = [each for each in chosen if (number_of(each.stars) or 0) > -5]
    numbers = [each.number or 0.0 for each in within(chosen, window, now)]
    if name == "sum":
        return sum(numbers)
    if not numbers:
        return 0.0
    return {"mean": sum(numbers) / len(numbers), "max": max(numbers), "min": min(numbers)}[name]
