"""Candidates as recall finds them, with their rows, at moments of the log: what the light pre-rank learns from.

A set is one request's pool: what the sources of its surface recall for it, the encoder's among them. Invariant: a set's
rows are those of its moment, like the rows of a list. It does not know what a pool is ranked by.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Plan
from rtp_monolith.training.export_asking import Asking
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.past import Past


class CandidateSettings(msgspec.Struct, frozen=True):
    """`sets` pools are taken, about evenly over the lists since `after_ms`."""

    sets: int = 250
    after_ms: int = 0


class CandidateCard(msgspec.Struct, frozen=True):
    """Says that the files beside it are whole."""

    sizes: list[int]
    as_of_ms: list[int]
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

    def __init__(self, folder: Path, settings: CandidateSettings, plan: Plan, every: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._file = (folder / "candidates.bin").open("wb")
        self._settings = settings
        self._plan = plan
        self._every = max(1, every)
        self._seen = 0
        self._card = CandidateCard([], [], plan.names)

    def visit(self, past: Past, asking: Asking | None, seen: SeenList) -> None:
        """Takes the pool of this list's moment when it is its turn; the state is moved to it."""
        if asking is None or seen.as_of_ms < self._settings.after_ms or past.offset > seen.offset:
            return
        if not asking.knows_request(seen):
            return
        self._seen += 1
        if self._seen % self._every or len(self._card.sizes) >= self._settings.sets:
            return
        past.advance(seen.offset)
        ask, ranked, _ = asking.pool(seen)
        rows = past.core.rows(ask, ranked, self._plan)
        if not len(rows):
            return
        self._file.write(rows.tobytes())
        self._card.sizes.append(len(rows))
        self._card.as_of_ms.append(seen.as_of_ms)

    def close(self) -> CandidateSets:
        """Seals the folder."""
        self._file.close()
        draft = self._folder / "candidates.draft"
        draft.write_bytes(msgspec.json.encode(self._card))
        draft.replace(self._folder / "candidates.json")
        return CandidateSets(self._folder)
