"""The opened items of a log's visits as `rtp evaluate` reads them: one visit a line, ids separated by spaces; or, with
all that says "wants this", a table of session, item, time and action.

Trained on are visits of most shoppers before a moment, tested on those of the held-out shoppers after it, so a test
visit is new in both ways.
Invariant: no shopper is on both sides, and no test visit began before a training visit. Knows nothing of files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rtp_monolith.demo.market import Ints
from rtp_monolith.demo.visits import ADD, CLICK, EVENT, KINDS, LIKE, NOTHING, PURCHASE, Rows

HELD_OUT_EVERY = 4
TEST_SHARE = 0.2
LENGTH_MIN = 2
WISHES = (CLICK, LIKE, ADD, PURCHASE)
NAMES = ["session", "ts_ms", "item", "shopper", "kind"]


class ClickedSessions:
    """Collects the clicks of a log as it goes by: some 20 bytes for each. With `wishes` whatever says "wants this" is
    collected as well; a purchase is one for each item it pays for."""

    def __init__(self, wishes: bool = False) -> None:
        self._parts: list[Rows] = []
        self._kinds = WISHES if wishes else (CLICK,)

    def add(self, events: Rows) -> None:
        self._parts.append(_paid_for(events[np.isin(events["kind"], self._kinds)])[NAMES].copy())

    def split(self) -> tuple[list[Ints], list[Ints]]:
        """Item numbers of the training and the test visits."""
        train, test = self.visits()
        return [own["item"] for own in train], [own["item"] for own in test]

    def visits(self) -> tuple[list[Rows], list[Rows]]:
        """Rows of the training and the test visits (`item`, `ts_ms`, `kind`, `session`), by the time they began; single
        clicks left out."""
        clicks = np.concatenate(self._parts) if self._parts else np.zeros(0, dtype=EVENT)[NAMES]
        if not len(clicks):
            return [], []
        # By time first, so that visits come in the order of their first click and each in its own order.
        _, first, inverse = np.unique(clicks["session"], return_index=True, return_inverse=True)
        clicks = clicks[np.argsort(first[inverse], kind="stable")]
        starts = np.flatnonzero(np.r_[True, clicks["session"][1:] != clicks["session"][:-1]])
        begun = clicks["ts_ms"][starts]
        cut = begun[-1] - TEST_SHARE * (begun[-1] - begun[0])
        held_out = clicks["shopper"][starts] % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
        visits = np.split(clicks, starts[1:])
        train = [own for own, t, h in zip(visits, begun, held_out, strict=True) if not h and t < cut]
        test = [own for own, t, h in zip(visits, begun, held_out, strict=True) if h and t >= cut]
        return [own for own in train if len(own) >= LENGTH_MIN], [own for own in test if len(own) >= LENGTH_MIN]


def _paid_for(events: Rows) -> Rows:
    """Events with one for each item of a purchase, in the order of the cart."""
    bought = np.flatnonzero(events["kind"] == PURCHASE)
    if not len(bought):
        return events
    carts = events["cart"][bought]
    repeats = np.ones(len(events), dtype=np.int64)
    repeats[bought] = (carts != NOTHING).sum(axis=1)
    made = np.repeat(events, repeats)
    made["item"][made["kind"] == PURCHASE] = carts[carts != NOTHING]
    return made


def lines(visits: Iterable[Ints], ids: Sequence[str]) -> bytes:
    """The visits as lines of item ids."""
    return b"".join((" ".join(ids[item] for item in items.tolist()) + "\n").encode() for items in visits)


def rows(visits: Iterable[Rows], ids: Sequence[str]) -> bytes:
    """The visits as TSV with the header SessionId, ItemId, Time (seconds), Action."""
    made = ["SessionId\tItemId\tTime\tAction\n"]
    for own in visits:
        told = zip(*(own[name].tolist() for name in ("session", "item", "ts_ms", "kind")), strict=True)
        made += [f"{session}\t{ids[item]}\t{ts_ms / 1000:.3f}\t{KINDS[kind]}\n" for session, item, ts_ms, kind in told]
    return "".join(made).encode()
