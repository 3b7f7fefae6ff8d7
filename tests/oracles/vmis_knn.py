"""VMIS-kNN the slow way: every query looks at every session.

Purpose: the answer that the native index must give, written from the definition and not from the index. Invariant: all
state is `sessions`, so nothing can depend on the order of an index. Does not know about speed or persistence.
Source: Kersbergen et al., "Serenade", SIGMOD 2022, with the weights of its published implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Session:
    last_ms: int
    items: list[int] = field(default_factory=list)


class VmisKnn:
    def __init__(self, *, sessions_max: int = 1_000_000, session_items_max: int = 100) -> None:
        self.sessions: dict[int, Session] = {}
        self.sessions_max = sessions_max
        self.session_items_max = session_items_max

    def touch(self, session: int, item: int, ts_ms: int) -> None:
        found = self.sessions.setdefault(session, Session(ts_ms))
        found.last_ms = max(found.last_ms, ts_ms)
        found.items = [*(i for i in found.items if i != item), item][-self.session_items_max :]
        while len(self.sessions) > self.sessions_max:
            del self.sessions[min(self.sessions, key=lambda key: (self.sessions[key].last_ms, key))]

    def forget(self, session: int) -> None:
        self.sessions.pop(session, None)

    def query(
        self,
        items: Sequence[int],
        n: int,
        *,
        exclude: int | None = None,
        m_most_recent_sessions: int = 500,
        neighborhood_size_k: int = 50,
        max_items_in_session: int = 2,
        idf_weighting: float = 1.0,
        with_latest: bool = False,
        reach: float = 0.0,
    ) -> list[tuple[int, float]]:
        window = list(items[max(0, len(items) - max_items_in_session) :])
        if not window:
            return []
        distance: dict[int, int] = {}
        for back, item in enumerate(reversed(window), start=1):
            distance.setdefault(item, back)
        holding = [
            key for key, s in self.sessions.items() if key != exclude and any(item in s.items for item in distance)
        ]
        holding.sort(key=lambda key: (self.sessions[key].last_ms, key), reverse=True)
        recent = holding[:m_most_recent_sessions]
        similarity = {
            key: sum(
                (len(window) - back + 1) / len(distance)
                for item, back in distance.items()
                if item in self.sessions[key].items
            )
            for key in recent
        }
        # Stable, so that equally similar sessions stay in the order of recency.
        nearest = sorted(recent, key=lambda key: -similarity[key])[:neighborhood_size_k]
        votes: dict[int, float] = {}
        for key in nearest:
            held = self.sessions[key].items
            latest_shared = min(back for item, back in distance.items() if item in held)
            weight = 1.0 - 0.1 * latest_shared if latest_shared < 100 else 0.0
            (here,) = (at for at, item in enumerate(held) if distance.get(item) == latest_shared)
            for at, item in enumerate(held):
                fading = math.exp(-max(0, abs(at - here) - 1) / reach) if reach else 1.0
                votes[item] = votes.get(item, 0.0) + weight * similarity[key] * fading
        if not with_latest:
            votes.pop(window[-1], None)
        if idf_weighting != 0.0:
            pairs = sum(len(s.items) for s in self.sessions.values())
            for item in votes:
                held_by = sum(item in s.items for s in self.sessions.values())
                votes[item] *= idf_weighting * math.log(pairs / held_by)
        return sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))[:n]
