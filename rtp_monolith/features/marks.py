"""What the clicks of a session say beside their items: how long after the click before each came, and what was done.

Gaps are buckets on a logarithmic scale (the intervals of TiSASRec, Li, Wang and McAuley, WSDM 2020; BST, Chen et al.,
2019, reads times as buckets too), actions numbers of a small vocabulary (the micro-behaviours of Gu et al.,
"Hierarchical User Profiling for E-commerce Recommender Systems", WSDM 2020).
Invariant: this is the one place where times and actions become numbers, for training and for serving, and a mark knows
only its own click and the one read before it: how long it will be until the next click is nobody's to know. It does
not know what reads the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Core

FIRST = 0
"""The bucket of a click that none was read before."""
UNKNOWN_ACTION = 0
"""The number of an action that training never saw, and of none."""
GAP_EDGES_S = tuple(2**power for power in range(25))
"""Where buckets 2, 3, … begin, in seconds: from one second to half a year."""
ACTIONS_MAX = 32
EDGES_MAX = 256


class Marks(msgspec.Struct, frozen=True):
    """What an encoder reads beside items: the edges of its gap buckets in seconds, ascending, and its actions from
    number 1 on. Either may be empty."""

    gap_edges_s: tuple[int, ...]
    actions: tuple[str, ...]

    def __post_init__(self) -> None:
        edges = self.gap_edges_s
        if any(edge < 1 for edge in edges) or any(one >= other for one, other in pairwise(edges)):
            raise ValueError("gap_edges_s do not ascend from 1 second up")
        if len(edges) > EDGES_MAX or len(self.actions) > ACTIONS_MAX:
            raise ValueError(f"more than {EDGES_MAX} edges or {ACTIONS_MAX} actions")
        if len(set(self.actions)) < len(self.actions) or "" in self.actions:
            raise ValueError("an action is named twice, or not at all")
        if not edges and not self.actions:
            raise ValueError("neither gaps nor actions")

    @property
    def gaps(self) -> int:
        """How many numbers a gap can have."""
        return len(self.gap_edges_s) + 2


class Marking:
    """The rule of some marks: stamps of clicks in, numbers out."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self._edges_ms = np.array(marks.gap_edges_s, np.int64) * 1000
        self._numbers = {name: number for number, name in enumerate(marks.actions, start=1)}
        self._by_type = self.numbers(Core.event_types())

    def numbers(self, actions: Iterable[str]) -> NDArray[np.int64]:
        """Numbers of actions by name, UNKNOWN_ACTION for one that is not here."""
        return np.array([self._numbers.get(name, UNKNOWN_ACTION) for name in actions], np.int64)

    def of(self, times_ms: NDArray[np.int64], actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [n, 2], gap bucket and action, of the clicks that are read, oldest first. A clock that went backwards
        counts as no time."""
        marks = np.zeros((len(times_ms), 2), np.int64)
        marks[1:, 0] = self._edges_ms.searchsorted(times_ms[1:] - times_ms[:-1], "right") + 1
        marks[:, 1] = actions
        return marks

    def of_types(self, times_ms: NDArray[np.int64], types: NDArray[np.uint8]) -> NDArray[np.int64]:
        """`of` for the clicks of a shard's session, whose types are numbers of the contract's event types."""
        return self.of(times_ms, self._by_type[types])


def latest(marks: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    """The marks of the latest `length` clicks read by themselves."""
    kept = marks[-length:]
    if len(kept) < len(marks):
        kept = kept.copy()
        kept[0, 0] = FIRST
    return kept


def vocabulary(actions: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The actions of sessions, the frequent ones first and equal ones by name, at most ACTIONS_MAX."""
    counts: dict[str, int] = {}
    for session in actions:
        for name in session:
            counts[name] = counts.get(name, 0) + 1
    counts.pop("", None)
    return tuple(sorted(counts, key=lambda name: (-counts[name], name))[:ACTIONS_MAX])
