"""Rows that decisions carry, read as columns of another plan.

A decision's rows are those of the shard's features, a team's own among them, or those of the bundle that ranked its
list, whose manifest names the columns. Invariant: a value is taken only when the plan made of those names today has the
digest that the decision logged, so it means what it meant, and only of the shard's features: the cascade's own columns
belong to the bundle that served. It does not know how a value is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.spec import Feature
from rtp_monolith.training.lists import SeenList

_OF_MODELS = frozenset(feature.name for feature in CASCADE)
Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Columns of a decision's rows, and the columns of ours that they are."""


class _Ranker(msgspec.Struct, frozen=True):
    inputs: list[str]


class _Manifest(msgspec.Struct, frozen=True):
    """What is read of a bundle's manifest here."""

    ranker: _Ranker


class LoggedRows:
    """`names` are the columns that are wanted; `bundles` is the folder in which the log's bundles lie, if any is;
    `features` are the shard's."""

    def __init__(self, names: list[str], bundles: Path | None = None, features: Sequence[Feature] = FEATURES) -> None:
        self._at = {name: at for at, name in enumerate(names) if name not in _OF_MODELS}
        self._width = len(names)
        self._bundles = bundles
        self._columns = {feature.name: feature for feature in (*features, *CASCADE)}
        whole = [feature.name for feature in features]
        self._own = compile_plan(features).digest, len(whole), self._places(whole)
        self._known: dict[tuple[str, int], Places | None] = {}

    def of(self, seen: SeenList) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """float32 [items of the list, names] with what its decision carries, and where that is."""
        rows = np.zeros((len(seen.items), self._width), np.float32)
        given = np.zeros(rows.shape, np.bool_)
        served = seen.served
        if served is None or not served.features:
            return rows, given
        places = self._of_plan(served.bundle, served.plan_digest, len(served.features[0]))
        if places is None:
            return rows, given
        theirs, ours = places
        logged = np.array(served.features, np.float32)
        for item, row in zip(served.items, logged, strict=False):
            at = seen.where.get(str(item["id"]))
            if at is not None:
                rows[at, ours] = row[theirs]
                given[at, ours] = True
        return rows, given

    def _of_plan(self, bundle: str, digest: int, width: int) -> Places | None:
        own, wide, places = self._own
        if digest == own and width == wide:
            return places
        key = (bundle, digest)
        if key not in self._known:
            self._known[key] = self._of_bundle(bundle, digest)
        return self._known[key]

    def _of_bundle(self, bundle: str, digest: int) -> Places | None:
        """None for a bundle that is not there, or whose columns mean something else today."""
        if self._bundles is None or not bundle:
            return None
        path = self._bundles / bundle / "manifest.json"
        try:
            names = msgspec.json.decode(path.read_bytes(), type=_Manifest).ranker.inputs
        except (OSError, msgspec.DecodeError):
            return None
        if any(name not in self._columns for name in names):
            return None
        if compile_plan([self._columns[name] for name in names]).digest != digest:
            return None
        return self._places(names)

    def _places(self, names: list[str]) -> Places:
        pairs = [(n, self._at[name]) for n, name in enumerate(names) if name in self._at]
        made = np.array(pairs, np.int64).reshape(-1, 2)
        return made[:, 0], made[:, 1]
