"""The static vector of a user: a direction in the space of the items, from all that they wanted in the past.

A want counts by its event type and loses half of its weight in every half-life. Because only the direction is kept, the
decay needs no present: yesterday's sum is today's, up to a factor. Invariant: the vector of a user is a function of the
wants before a moment, the settings and the items' vectors, so a nightly job and a replay of the log give the same. It
does not know how vectors reach a list.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.published import Source, Values, columns_of
from rtp_monolith.features.spec import DAY_MS

STATIC = "user_static"
SPACE = "user_static_space"
SPACE_DIGITS = 6
"""Of a version of item vectors, so many hexadecimal digits: as a number they are exact in a float32."""
HALVINGS_MAX = -400


class TasteSettings(msgspec.Struct, frozen=True):
    """`half_life_days` of a want, 0 for none; `weights` by event type, 1 for those not named."""

    half_life_days: float = 30.0
    weights: Mapping[str, float] = {}

    def weight(self, action: str) -> float:
        return self.weights.get(action, 1.0)


def space_of(version: str) -> float:
    """Which item vectors a static vector is among, as a number that is published beside it."""
    return float(int(version[:SPACE_DIGITS], 16))


def night_before(ts_ms: int) -> int:
    """The midnight (UTC) at or before a moment, when the last nightly job read the log."""
    return ts_ms - ts_ms % DAY_MS


def directions(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Rows [n, d] at length 1; zeros stay zeros."""
    wide = vectors.astype(np.float64)
    made: NDArray[np.float64] = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return made


def tastes_at(
    wanted: NDArray[np.float64],
    times_ms: NDArray[np.int64],
    weights: NDArray[np.float64],
    cuts_ms: NDArray[np.int64],
    half_life_days: float,
) -> NDArray[np.float32]:
    """Static vectors [cuts, d] of one user from the directions [n, d] of what they wanted, in the order of `times_ms`,
    each of what was wanted before its cut; zeros for nothing wanted."""
    if half_life_days > 0:
        # Against the last want; a cut may lie before all that is new, so nothing becomes too small to have a direction.
        ages = np.maximum((times_ms - times_ms[-1:]) / (half_life_days * DAY_MS), HALVINGS_MAX)
        weights = weights * np.exp2(ages)
    sums = np.concatenate([np.zeros((1, wanted.shape[1])), np.cumsum(wanted * weights[:, None], axis=0)])
    taken = sums[np.searchsorted(times_ms, cuts_ms, side="left")]
    lengths = np.linalg.norm(taken, axis=1, keepdims=True)
    made: NDArray[np.float32] = np.where(lengths > 0, taken / np.where(lengths > 0, lengths, 1), 0).astype(np.float32)
    return made


def static_sources(length: int, ttl_ms: int) -> tuple[Source, ...]:
    """What a shard reads of static vectors of `length` numbers, in the order of names; nothing for 0."""
    if length == 0:
        return ()

    def source(name: str, kind: str, numbers: int) -> Source:
        column = name.removeprefix("user_")
        said = {"name": name, "scope": "user", "column": column, "kind": kind, "length": numbers, "words": ()}
        return msgspec.convert(said | {"version": 1, "default": 0.0, "ttl_ms": ttl_ms}, Source)

    return (source(STATIC, "vector", length), source(SPACE, "number", 0))


class Statics:
    """Finds the static vector in a row of published values."""

    def __init__(self, sources: tuple[Source, ...]) -> None:
        places = columns_of(sources)
        self._vector, self._space = places.get(STATIC), places.get(SPACE)

    def of(self, row: Values | None, space: float, dimension: int) -> Values | None:
        """float32 [dimension], or None: nothing published, too old, or among other item vectors than these."""
        if row is None or self._vector is None or self._space is None or row[self._space][0] != space:
            return None
        found = row[self._vector]
        return found if len(found) == dimension and np.isfinite(found).all() else None
