"""What a replay measures: where the next item stood in each list, and whether the list had seen every earlier click.

Invariant: a step counts once per surface, in "all steps" always and in "protocol" only when something was clicked
before it in the session. It does not know HTTP or files.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Score(msgspec.Struct, frozen=True):
    """Hit rate and mean reciprocal rank at k over n lists."""

    n: int
    hr: float
    mrr: float


class SurfaceScore(msgspec.Struct, frozen=True):
    """One surface: `protocol` are the lists with a prefix, `stale` those that missed an acknowledged event."""

    surface: str
    k: int
    all_steps: Score
    protocol: Score
    lists: int
    stale: int
    short: int
    degraded: dict[str, int]
    list_ms_mean: float
    list_ms_p99: float


class Tally:
    """Sums over the lists of one surface."""

    def __init__(self, surface: str, k: int) -> None:
        self._surface = surface
        self._k = k
        self._ranks: list[int] = []
        self._with_prefix: list[int] = []
        self._ms: list[float] = []
        self._stale = 0
        self._short = 0
        self._degraded: dict[str, int] = {}

    def add(self, items: Sequence[str], target: str, *, prefix: int, stale: bool, ms: float) -> None:
        """One list and the item that was clicked next; `prefix` counts the session's earlier items."""
        rank = rank_of(items[: self._k], target)
        self._ranks.append(rank)
        if prefix:
            self._with_prefix.append(rank)
        self._stale += stale
        self._short += len(items) < self._k
        self._ms.append(ms)

    def degraded(self, codes: Sequence[str]) -> None:
        """The steps down that the shard named for one list."""
        for code in codes:
            self._degraded[code] = self._degraded.get(code, 0) + 1

    def merge(self, other: Tally) -> None:
        """Adds the lists that another connection got."""
        self._ranks += other._ranks
        self._with_prefix += other._with_prefix
        self._ms += other._ms
        self._stale += other._stale
        self._short += other._short
        for code, count in other._degraded.items():
            self._degraded[code] = self._degraded.get(code, 0) + count

    def score(self) -> SurfaceScore:
        """The figures."""
        return SurfaceScore(
            self._surface, self._k, score_of(self._ranks), score_of(self._with_prefix), len(self._ranks), self._stale,
            self._short, self._degraded, round(mean(self._ms), 3), round(percentile(self._ms, 0.99), 3),
        )  # fmt: skip


class Acknowledged:
    """How many events a list for a user key must have seen.

    The count starts from what the first list of the key says (the shard may know the key already) and grows with every
    event accepted since. A session that is linked to a user brings its count along once.
    """

    def __init__(self) -> None:
        self._expected: dict[tuple[bool, str], int] = {}
        self._links: dict[str, str] = {}

    def stale(self, user_id: str | None, session_id: str, state_version: int) -> bool:
        """Whether a list with this state_version missed an acknowledged event."""
        key = self._key(user_id, session_id)
        return state_version < self._expected.setdefault(key, state_version)

    def accepted(self, user_id: str | None, session_id: str) -> None:
        """One event was accepted."""
        if user_id is not None and self._links.get(session_id) != user_id:
            carried = 0 if session_id in self._links else self._expected.pop((False, session_id), 0)
            self._links[session_id] = user_id
            self._expected[(True, user_id)] = self._expected.get((True, user_id), 0) + carried
        key = self._key(user_id, session_id)
        self._expected[key] = self._expected.get(key, 0) + 1

    def _key(self, user_id: str | None, session_id: str) -> tuple[bool, str]:
        user = user_id if user_id is not None else self._links.get(session_id)
        return (False, session_id) if user is None else (True, user)


def rank_of(items: Sequence[str], target: str) -> int:
    """The place from 1, 0 when the list does not have it."""
    return next((place for place, item in enumerate(items, start=1) if item == target), 0)


def score_of(ranks: Sequence[int]) -> Score:
    """HR and MRR of ranks, where 0 is a miss."""
    n = len(ranks)
    hits = [rank for rank in ranks if rank]
    return Score(n, round(len(hits) / n, 6) if n else 0.0, round(sum(1 / r for r in hits) / n, 6) if n else 0.0)


def mean(values: Sequence[float]) -> float:
    """The mean, 0 of nothing."""
    return sum(values) / len(values) if values else 0.0


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of the values, 0 of nothing."""
    if not values:
        return 0.0
    return sorted(values)[max(0, -(-len(values) * int(share * 1000) // 1000) - 1)]
