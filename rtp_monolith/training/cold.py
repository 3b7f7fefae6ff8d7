"""Cold start measured: a share of the items is hidden from training, gets its vectors from what is said of it, and is
then ranked for people whose next item it was.

The hidden items are taken out of every sequence and of the vocabulary that is learned, so nothing knows them; what is
chosen (epochs of the content model, parameters of its rival) is chosen on other items, which the content model does not
see either. Invariant: a hidden item's score depends on its attributes alone. It does not know a shard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.errors import DataError
from rtp_monolith.training.protocols import LEAVE_ONE_OUT_MIN

HELD_SHARE = 0.1
"""Of the items that are not hidden: what is chosen is chosen on them."""


class ColdCases(msgspec.Struct, frozen=True):
    """Who wanted an item of `candidates` next: `histories[i]`, known items oldest first, wanted `targets[i]`; items in
    `seen[i]` are not in its list. `candidates` int64, ascending."""

    histories: list[list[int]]
    targets: NDArray[np.int64]
    seen: list[list[int]]
    candidates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


class ColdSplit(msgspec.Struct, frozen=True):
    """Items by number: `ids`, those below `warm` may be learned and the rest is hidden; `sessions` are learned from,
    `chosen` is what choices are judged on, by the items in `held`, and `asked` what is reported."""

    ids: list[str]
    warm: int
    held: NDArray[np.int64]
    sessions: list[list[int]]
    validation: list[tuple[list[int], int]]
    chosen: ColdCases
    asked: ColdCases


def cold_split(sessions: Sequence[Sequence[str]], described: Mapping[str, object], share: float, seed: int) -> ColdSplit:
    """Leave-one-out with `share` of the items hidden. Only described items are hidden or held: of others there is
    nothing to make a vector from. Raises DataError `no_cases`."""
    kept = [session for session in sessions if len(session) >= LEAVE_ONE_OUT_MIN]
    order = list(dict.fromkeys(item for session in kept for item in session))
    known = [item for item in order if item in described]
    rng = np.random.default_rng([seed, 11])
    drawn = rng.permutation(len(known))
    hidden = {known[place] for place in drawn[: round(len(known) * share)].tolist()}
    ids = [item for item in order if item not in hidden] + [item for item in order if item in hidden]
    number = {item: at for at, item in enumerate(ids)}
    warm = len(ids) - len(hidden)
    rest = drawn[len(hidden) :]
    held = np.sort(np.array([number[known[place]] for place in rest[: round(len(rest) * HELD_SHARE)]], np.int64))
    numbered = [[number[item] for item in session] for session in kept]
    learned = [[item for item in session[:-2] if item < warm] for session in numbered]
    split = ColdSplit(
        ids, warm, held, learned,
        [(own, session[-2]) for own, session in zip(learned, numbered, strict=True) if own and session[-2] < warm],
        _cases(numbered, 2, held, warm),
        _cases(numbered, 1, np.arange(warm, len(ids)), warm),
    )  # fmt: skip
    if not len(split.asked) or not len(split.chosen):
        raise DataError("nobody's last items are among the hidden ones", code="no_cases")
    return split


def _cases(sessions: Sequence[Sequence[int]], back: int, candidates: NDArray[np.int64], warm: int) -> ColdCases:
    """Whose item, the `back`-th from the end, is a candidate."""
    wanted = set(candidates.tolist())
    of = [session for session in sessions if session[-back] in wanted]
    before = [list(session[:-back]) for session in of]
    return ColdCases(
        [[item for item in own if item < warm] for own in before],
        np.array([session[-back] for session in of], np.int64),
        before,
        candidates,
    )
