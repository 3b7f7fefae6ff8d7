"""What a learner is: it learns from sessions, with validation the first time, without it the second.

Invariant: what a learner chooses on validation (epochs, parameters, weights) it keeps when it learns again from
training and validation together. It does not know which learners there are.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases
from rtp_monolith.training.scoring import Scorer, measure

JUDGED_CASES = 4_000
"""Validation cases that an epoch, a parameter or a weight is judged on; the figure that is printed is of all."""


class Data(msgspec.Struct, frozen=True):
    """Sessions of item numbers below `items`; `known` [items] says which a model may recommend, `trained` [items] which
    occur; `attributes` lists the attribute numbers of each item, or is None; `lists` are asked for when all is done;
    `marks` int64 [clicks, 2] of each session, or None."""

    sessions: list[list[int]]
    items: int
    known: NDArray[np.bool_]
    trained: NDArray[np.bool_]
    attributes: list[list[int]] | None
    k: int
    lists: int = 0
    marks: list[NDArray[np.int64]] | None = None


class Learner(Protocol):
    """`epochs` of the last learning, 0 where there are none. `until_s` is on the learner's clock."""

    @property
    def name(self) -> str: ...

    @property
    def epochs(self) -> float: ...

    def learn(self, data: Data, validation: Cases | None, until_s: float, again: bool) -> Scorer:
        """Learns until `until_s` at most; with `again` a second learning, of a little more, must fit in as well."""

    def document(self) -> dict[str, object]:
        """What was chosen, for people and for `model.json`."""


def judged(scorer: Scorer, cases: Cases, data: Data) -> float:
    """NDCG on a sample of the cases."""
    popular = Popularity.of(data.sessions, data.items)
    return measure(scorer, cases.sample(JUDGED_CASES), popular, data.known, data.k, data.trained).ndcg
