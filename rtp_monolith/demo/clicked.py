"""The opened items of a log's visits as lines of `rtp evaluate`: one visit a line, ids separated by spaces.

Trained on are visits of most shoppers before a moment, tested on those of the held-out shoppers after it, so a test
visit is new in both ways.
Invariant: no shopper is on both sides, and no test visit began before a training visit. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rtp_monolith.demo.market import Ints
from rtp_monolith.demo.visits import CLICK, EVENT, Rows

HELD_OUT_EVERY = 4
TEST_SHARE = 0.2
LENGTH_MIN = 2


class ClickedSessions:
    """Collects the clicks of a log as it goes by: 16 bytes for each."""

    def __init__(self) -> None:
        self._parts: list[Rows] = []

    def add(self, events: Rows) -> None:
        clicks = events[events["kind"] == CLICK]
        self._parts.append(clicks[["session", "ts_ms", "item", "shopper"]].copy())

    def split(self) -> tuple[list[Ints], list[Ints]]:
        """Item numbers of the training and the test visits, by the time they began; single clicks left out."""
        names = ["session", "ts_ms", "item", "shopper"]
        clicks = np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=EVENT)[names]
        if not len(clicks):
            return [], []
        # By time first, so that visits come in the order of their first click and each in its own order.
        _, first, inverse = np.unique(clicks["session"], return_index=True, return_inverse=True)
        clicks = clicks[np.argsort(first[inverse], kind="stable")]
        starts = np.flatnonzero(np.r_[True, clicks["session"][1:] != clicks["session"][:-1]])
        begun = clicks["ts_ms"][starts]
        cut = begun[-1] - TEST_SHARE * (begun[-1] - begun[0])
        held_out = clicks["shopper"][starts] % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        visits = np.split(clicks["item"], starts[1:])
        train = [items for items, t, h in zip(visits, begun, held_out, strict=True) if not h and t < cut]
        test = [items for items, t, h in zip(visits, begun, held_out, strict=True) if h and t >= cut]
        return [items for items in train if len(items) >= LENGTH_MIN], [i for i in test if len(i) >= LENGTH_MIN]


def lines(visits: Iterable[Ints], ids: Sequence[str]) -> bytes:
    """The visits as lines of item ids."""
    return b"".join((" ".join(ids[item] for item in items.tolist()) + "\n").encode() for items in visits)
