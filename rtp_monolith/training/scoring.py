"""Lists for cases: a scorer's scores made into what a server would show, in blocks, and measured.

An empty history is answered by popularity; what is not known has no score; under leave-one-out neither has anything
the user saw. Invariant: blocks have a bounded size whatever the number of cases, and a live protocol is walked once,
in order. It does not know how a scorer was made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rtp_monolith.training.metrics import Metrics, Tally
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases

BLOCK_ROWS = 128


class Scorer(Protocol):
    """Gives every item a score for each of the cases `start` … `stop` - 1: float32 [rows, items], larger is better.

    The result is the caller's to change, until it asks again. Of live cases a scorer may learn: after case i it has
    seen its target.
    """

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor: ...


class Block(NamedTuple):
    """Final scores [rows, items] and targets [rows]."""

    scores: Tensor
    targets: Tensor


def blocks(scorer: Scorer, cases: Cases, popular: Popularity, known: NDArray[np.bool_]) -> Iterator[Block]:
    """All cases in order. `popular` is not changed."""
    popular = popular.copy()
    for start in range(0, len(cases), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(cases))
        scores = scorer.scores(cases, start, stop)
        empty = torch.from_numpy(cases.upto[start:stop] == 0)
        if cases.live or bool(empty.any()):
            scores[empty] = popular.scores(cases, start, stop)[empty]
        hide(scores, cases, start, stop, known)
        yield Block(scores, torch.from_numpy(cases.targets[start:stop]))


def hide(scores: Tensor, cases: Cases, start: int, stop: int, known: NDArray[np.bool_]) -> None:
    """Takes out, in place, what is not known and, where the protocol says so, what the user saw."""
    if not known.all():
        scores.masked_fill_(torch.from_numpy(~known), -torch.inf)
    if cases.removes_seen:
        for row in range(stop - start):
            scores[row, cases.history(start + row)] = -torch.inf


def tallied(
    scorer: Scorer, cases: Cases, popular: Popularity, known: NDArray[np.bool_], k: int, trained: NDArray[np.bool_]
) -> Tally:
    """Lists of k over all cases; `trained` says which items coverage counts."""
    tally = Tally(k, torch.from_numpy(trained), popular.counts)
    with torch.inference_mode():
        for block in blocks(scorer, cases, popular, known):
            tally.add(block.scores, block.targets)
    return tally


def measure(
    scorer: Scorer, cases: Cases, popular: Popularity, known: NDArray[np.bool_], k: int, trained: NDArray[np.bool_]
) -> Metrics:
    """The means of `tallied`."""
    return tallied(scorer, cases, popular, known, k, trained).metrics()
