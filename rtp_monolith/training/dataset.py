"""From tables of rows to what the ranker learns from: slices by time, and columns left out.

Invariant: the rows of a slice are those of its lists, whole and in the order of time. It does not know how a column is
computed; replay does, and a shard does the same.
"""

from __future__ import annotations

import msgspec
import numpy as np

from rtp_monolith.features.cascade import FOUND_BY, SURFACES
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.training.pools import Pools
from rtp_monolith.training.ranker import Rows, WantedRows
from rtp_monolith.training.replay import RowTable

AFFINITY = "cascade_affinity"
RECALL = "cascade_recall"
SURFACE_COLUMNS = [f"cascade_surface_{name}" for name in SURFACES]
SOURCE_COLUMNS = {f"cascade_source_{name}": name for name in FOUND_BY}
"""Which source a column is of."""
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
    {feature.name for feature in FEATURES if feature.scope == "session"}
    | SESSION_CROSS
    | {AFFINITY, "cascade_affinity_user", "cascade_near_mean", "cascade_near_max", "cascade_near_last"}
)
"""Columns that read the session, whatever their names: what `--drop session` leaves out. What the sources found stays,
with its score: they are asked before any ranker, and alike for all."""
SERVED_COLUMNS = frozenset(
    feature.name for feature in FEATURES if "served" in (feature.hits, feature.trials, feature.event)
)
"""Columns that count decisions: in a log without any they stand still, and move as soon as a shard serves."""


class Slice(msgspec.Struct, frozen=True):
    """Lists from `after_ms` up to `until_ms`."""

    after_ms: int
    until_ms: int


def compose(table: RowTable, where: Slice, drop: frozenset[str] = frozenset()) -> Rows:
    """The rows of the lists of a slice, less the columns of `drop`."""
    chosen = (table.as_of_ms >= where.after_ms) & (table.as_of_ms < where.until_ms)
    rows = np.flatnonzero(chosen[table.list]) if len(table) else np.zeros(0, np.int64)
    names = table.card.features
    kept = [at for at, name in enumerate(names) if name not in drop]
    return Rows(
        np.ascontiguousarray(table.features[rows][:, kept]),
        [names[at] for at in kept],
        np.asarray(table.labels[rows]),
        table.position[rows].astype(np.int64),
        np.asarray(table.list[rows]),
    )


def compose_pools(pools: Pools, where: Slice, drop: frozenset[str] = frozenset()) -> WantedRows:
    """The rows of the pools of a slice, less the columns of `drop`."""
    kept = [at for at, name in enumerate(pools.card.features) if name not in drop]
    return pools.wanted(pools.between(where.after_ms, where.until_ms), pools.features, kept)
