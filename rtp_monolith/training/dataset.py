"""From tables of rows to what the ranker learns from: the cascade's own columns added, slices by time.

Invariant: a column's value for a row is what serving computes for it: affinity is the dot product of the session's
vector and the item's, 0 without either. It does not know how an encoder is trained: it takes one as `Vectors`.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.cascade import CASCADE, SURFACES
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.ranker import Rows
from rtp_monolith.training.replay import RowTable

AFFINITY, *SURFACE_COLUMNS = (column.name for column in CASCADE)
REQUEST_COLUMNS = frozenset(
    {feature.name for feature in FEATURES if feature.scope in ("user", "session", "context")} | set(SURFACE_COLUMNS)
)
"""Columns that are the same in every row of a list."""
SESSION_CROSS = frozenset(
    {
        *("cross_in_cart", "cross_same_category_as_last", "cross_same_brand_as_last", "cross_price_ratio"),
        *("cross_covisitation", "cross_session_category_share"),
    }
)
SESSION_COLUMNS = frozenset(
    {feature.name for feature in FEATURES if feature.scope == "session"} | SESSION_CROSS | {AFFINITY}
)
"""Columns that read the session, whatever their names: what `--drop session` leaves out."""
SERVED_COLUMNS = frozenset(
    feature.name for feature in FEATURES if "served" in (feature.hits, feature.trials, feature.event)
)
"""Columns that count decisions: in a log without any they stand still, and move as soon as a shard serves."""
ENCODED_SESSIONS = 4096


class Vectors(Protocol):
    """A trained session encoder."""

    @property
    def items(self) -> dict[str, int]: ...

    @property
    def table(self) -> NDArray[np.float32]:
        """Item vectors [items, d]."""

    @property
    def length(self) -> int:
        """Items of a session that are read at most."""

    def encode(self, sessions: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Right-padded item numbers [n, length] and lengths [n] → session vectors [n, d]."""


class Slice(msgspec.Struct, frozen=True):
    """Lists from `after_ms` up to `until_ms`."""

    after_ms: int
    until_ms: int


def affinity(
    vectors: Vectors,
    names: list[str],
    prefix: NDArray[np.int32],
    prefix_length: NDArray[np.int32],
    item: NDArray[np.int32],
    lists: NDArray[np.int32],
) -> NDArray[np.float32]:
    """Session vector · item vector for every row. `prefix` [lists, length] and `item` [rows] are numbers into `names`,
    `lists` [rows] says which prefix is a row's."""
    numbers = np.array([vectors.items.get(name, -1) for name in names], dtype=np.int64)
    sessions = np.zeros((len(prefix), vectors.table.shape[1]), np.float32)
    for start in range(0, len(prefix), ENCODED_SESSIONS):
        part = slice(start, start + ENCODED_SESSIONS)
        packed, lengths = _known(numbers, prefix[part], prefix_length[part], vectors.length)
        sessions[part] = vectors.encode(packed, lengths)
    own = numbers[item] if len(names) else np.zeros(0, np.int64)
    made: NDArray[np.float32] = np.einsum("nd,nd->n", sessions[lists], vectors.table[np.maximum(own, 0)]).astype(
        np.float32
    )
    made[own < 0] = 0.0
    return made


def _known(
    numbers: NDArray[np.int64], prefix: NDArray[np.int32], lengths: NDArray[np.int32], longest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Prefixes as numbers of the encoder, items that it does not know left out, the newest `longest` kept."""
    packed = np.zeros((len(prefix), longest), np.int64)
    kept = np.zeros(len(prefix), np.int64)
    for at in range(len(prefix)):
        own = numbers[prefix[at, : lengths[at]]] if lengths[at] else numbers[:0]
        own = own[own >= 0][-longest:]
        packed[at, : len(own)] = own
        kept[at] = len(own)
    return packed, kept


def surface_columns(table: RowTable, lists: NDArray[np.int32]) -> NDArray[np.float32]:
    """One column per surface of SURFACES: 1 where the list was shown on it."""
    at = np.array([SURFACES.index(name) if name in SURFACES else -1 for name in table.card.surfaces], dtype=np.int64)
    own = at[table.surface][lists] if len(at) else np.zeros(len(lists), np.int64)
    made: NDArray[np.float32] = (own[:, None] == np.arange(len(SURFACES))[None, :]).astype(np.float32)
    return made


def compose(table: RowTable, vectors: Vectors | None, where: Slice, drop: frozenset[str] = frozenset()) -> Rows:
    """The rows of the lists of a slice, with the cascade's columns beside the catalogue's, less those of `drop`."""
    chosen = (table.as_of_ms >= where.after_ms) & (table.as_of_ms < where.until_ms)
    rows = np.flatnonzero(chosen[table.list]) if len(table) else np.zeros(0, np.int64)
    lists = np.asarray(table.list[rows])
    names = [*table.card.features, *SURFACE_COLUMNS]
    features = np.concatenate([table.features[rows], surface_columns(table, lists)], axis=1)
    if vectors is not None and AFFINITY not in drop:
        # Only the slice's sessions are encoded.
        own, compact = np.unique(lists, return_inverse=True)
        dots = affinity(
            vectors,
            table.card.items,
            table.prefix[own],
            table.prefix_length[own],
            np.asarray(table.item[rows]),
            compact.astype(np.int32),
        )
        features = np.concatenate([features, dots[:, None]], axis=1)
        names.append(AFFINITY)
    kept = [at for at, name in enumerate(names) if name not in drop]
    return Rows(
        np.ascontiguousarray(features[:, kept]),
        [names[at] for at in kept],
        np.asarray(table.labels[rows]),
        table.position[rows].astype(np.int64),
        lists,
    )
