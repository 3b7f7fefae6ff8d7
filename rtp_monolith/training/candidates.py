"""Candidates as recall finds them, with their features, at moments of the log: what the light pre-rank learns from.

A set is one request's pool: what the sources of the shard recall for it and items at random beside. Invariant: a set's
features are those of its moment, like the rows of a list. It does not know what a pool is ranked by.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Plan, SurfacePlan
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.past import Past

SOURCES = (
    ("popular", 200),
    ("trending", 50),
    ("new", 50),
    ("session_knn", 200),
    ("covis", 100),
    ("same_category", 250),
)


class CandidateSettings(msgspec.Struct, frozen=True):
    """`sets` pools of at most `pool` items are taken, about evenly over the lists since `after_ms`."""

    sets: int = 250
    pool: int = 1500
    seed: int = 0
    after_ms: int = 0


class CandidateCard(msgspec.Struct, frozen=True):
    """Says that the files beside it are whole."""

    sizes: list[int]
    as_of_ms: list[int]
    prefix: list[list[str]]
    items: list[list[str]]
    features: list[str]


class CandidateSets:
    """Pools in a folder: `features` f32 [all candidates, F] mapped from its file, set by set in the order of time."""

    def __init__(self, folder: Path) -> None:
        self.card = msgspec.json.decode((folder / "candidates.json").read_bytes(), type=CandidateCard)
        shape = (sum(self.card.sizes), len(self.card.features))
        path = folder / "candidates.bin"
        self.features: NDArray[np.float32] = (
            np.memmap(path, dtype="<f4", mode="r", shape=shape) if shape[0] else np.zeros(shape, np.float32)
        )
        self.starts = np.r_[0, np.cumsum(self.card.sizes)].astype(np.int64)

    def __len__(self) -> int:
        return len(self.card.sizes)

    def of(self, at: int) -> NDArray[np.float32]:
        """Features of one pool [n, F]."""
        return np.asarray(self.features[self.starts[at] : self.starts[at + 1]])


class CandidateWriter:
    """Takes pools while a replay walks; one list in `every` is taken."""

    def __init__(
        self, folder: Path, settings: CandidateSettings, plan: Plan, catalogue: Sequence[str], every: int
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = (folder / "candidates.bin").open("wb")
        self._settings = settings
        self._plan = plan
        self._catalogue = list(catalogue)
        self._every = max(1, every)
        self._seen = 0
        self._surface = SurfacePlan(
            "pool", [(name, n, 1.0) for name, n in SOURCES],
            hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False,
        )  # fmt: skip
        self._card = CandidateCard([], [], [], [], plan.names)

    def visit(self, past: Past, seen: SeenList) -> None:
        """Takes the pool of this list's moment when it is its turn; the state is moved to it."""
        if seen.as_of_ms < self._settings.after_ms or past.offset > seen.offset:
            return
        self._seen += 1
        if self._seen % self._every or len(self._card.sizes) >= self._settings.sets:
            return
        past.advance(seen.offset)
        core = past.core
        core.rebuild_lists(seen.as_of_ms)
        ask = past.ask(seen.user_id, seen.session_id, seen.as_of_ms, seen.context, self._surface)
        recalled = [str(found[0]) for found in core.shown(core.recall(ask))]
        rng = np.random.default_rng([self._settings.seed, len(self._card.sizes)])
        known = [self._catalogue[at] for at in rng.permutation(len(self._catalogue))]
        present = dict.fromkeys(recalled[: self._settings.pool])
        for item in known:
            if len(present) >= self._settings.pool:
                break
            # An item that was put later is not there yet.
            if item not in present and core.item_json(item) is not None:
                present[item] = None
        pool = list(present)
        if not pool:
            return
        self._file.write(core.vectors_of(ask, pool, self._plan).tobytes())
        self._card.sizes.append(len(pool))
        self._card.as_of_ms.append(seen.as_of_ms)
        self._card.prefix.append(seen.prefix)
        self._card.items.append(pool)

    def close(self) -> CandidateSets:
        """Seals the folder."""
        self._file.close()
        draft = self._folder / "candidates.draft"
        draft.write_bytes(msgspec.json.encode(self._card))
        draft.replace(self._folder / "candidates.json")
        return CandidateSets(self._folder)
