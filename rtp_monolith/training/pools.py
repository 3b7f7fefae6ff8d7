"""Pools of candidates of which it is known what their visitor wanted next: what the ranker learns to order.

A pool is what recall finds at the moment of a list, less what may not be shown. Of it are kept the best, some drawn by
chance and everything that the session took up afterwards, whichever list showed it. Lists that were shown teach how
likely a click is where somebody looks; a pool teaches which of a thousand to look at. Invariant: a row is one of the
pool's moment and a function of the log before it; only `gain` knows what came later. It does not know who learns.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Plan
from rtp_monolith.training.export_asking import Asking
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.past import Past
from rtp_monolith.training.ranker import WantedRows

PER_ROW = ("features", "gain", "said", "stands_for")


class PoolSettings(msgspec.Struct, frozen=True):
    """About `lists` of the lists since `after_ms` are looked at, drawn by `seed` and list, and become pools where
    something of the pool was wanted afterwards: the `top` of each and `drawn` others. What is wanted n-th gets the gain
    1 / n."""

    lists: int = 40_000
    top: int = 50
    drawn: int = 30
    after_ms: int = 0
    seed: int = 0


class PoolCard(msgspec.Struct, frozen=True):
    """Says that the files beside it are whole. `surfaces` one a pool, `sources` the columns of `said`."""

    sizes: list[int]
    as_of_ms: list[int]
    surfaces: list[str]
    features: list[str]
    sources: list[str]


class Pools:
    """Pools in a folder, in the order of time, mapped from their files. Per row: `features` f32 [n, F]; `gain` f32 [n];
    `said` f32 [n, sources], what each source alone said of it as a share of the best it said there; `stands_for`
    f32 [n], for how many candidates of the pool the row stands, 1 unless it was drawn by chance."""

    def __init__(self, folder: Path) -> None:
        self.card = card = msgspec.json.decode((folder / "pools.json").read_bytes(), type=PoolCard)
        n = sum(card.sizes)
        self.features = _map(folder, "features", (n, len(card.features)))
        self.said = _map(folder, "said", (n, len(card.sources)))
        self.gain = _map(folder, "gain", (n,))
        self.stands_for = _map(folder, "stands_for", (n,))
        self.as_of_ms = np.array(card.as_of_ms, np.int64)

    def __len__(self) -> int:
        return len(self.card.sizes)

    def between(self, after_ms: int, until_ms: int) -> NDArray[np.bool_]:
        """Which pools are of a moment from `after_ms` up to `until_ms`."""
        return np.asarray((self.as_of_ms >= after_ms) & (self.as_of_ms < until_ms))

    def wanted(self, chosen: NDArray[np.bool_], values: NDArray[np.float32], columns: list[int]) -> WantedRows:
        """The chosen pools with these columns of `values` [all rows, any] as features; gains of a pool sum to 1."""
        pool = np.repeat(np.arange(len(self)), self.card.sizes)
        rows = np.flatnonzero(chosen[pool])
        place = (np.cumsum(chosen) - 1)[pool[rows]].astype(np.int32)
        gain = np.asarray(self.gain[rows])
        gain = gain / np.bincount(place, gain, minlength=int(chosen.sum())).astype(np.float32)[place]
        return WantedRows(
            np.ascontiguousarray(values[rows][:, columns]), gain, np.asarray(self.stands_for[rows]), place
        )


def _map(folder: Path, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """An array of the file, which cannot be mapped when it is empty."""
    if 0 in shape:
        return np.zeros(shape, np.float32)
    made: NDArray[np.float32] = np.memmap(folder / f"pool-{name}.bin", dtype="<f4", mode="r", shape=shape)
    return made


class PoolWriter:
    """Takes pools while a replay walks a log of about `lists` lists since `after_ms`. Memory does not grow with it."""

    def __init__(self, folder: Path, settings: PoolSettings, plan: Plan, sources: list[str], lists: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._settings, self._plan = folder, settings, plan
        self._share = settings.lists / max(1, lists)
        self._files = {name: (folder / f"pool-{name}.bin").open("wb") for name in PER_ROW}
        self._card = PoolCard([], [], [], plan.names, sources)

    def visit(self, past: Past, asking: Asking | None, seen: SeenList) -> None:
        """Takes the pool of this list's moment if it is drawn and holds something that was wanted afterwards; the
        state is moved to the moment."""
        settings, card = self._settings, self._card
        if asking is None or seen.as_of_ms < settings.after_ms or not seen.later or past.offset > seen.offset:
            return
        if not asking.knows_request(seen):
            return
        rng = np.random.default_rng(_digest(settings.seed, seen))
        if rng.random() >= self._share:
            return
        past.advance(seen.offset)
        ask, ranked, ids = asking.pool(seen)
        gain = gains(ids, seen.later)
        if not gain.any():
            return
        kept = np.union1d(np.flatnonzero(gain), rng.permutation(len(ids))[: settings.drawn])
        kept = np.union1d(kept, np.arange(min(settings.top, len(ids))))
        rows = past.core.rows(ask, ranked, self._plan)
        said = asking.said(seen, [ids[at] for at in kept], card.sources)
        columns = (rows[kept], gain[kept], said, _stands_for(len(ids), kept, gain, settings.top))
        for name, values in zip(PER_ROW, columns, strict=True):
            self._files[name].write(np.ascontiguousarray(values, np.float32).tobytes())
        card.sizes.append(len(kept))
        card.as_of_ms.append(seen.as_of_ms)
        card.surfaces.append(seen.surface)

    def close(self) -> Pools:
        """Seals the folder."""
        for file in self._files.values():
            file.close()
        draft = self._folder / "pools.draft"
        draft.write_bytes(msgspec.json.encode(self._card))
        draft.replace(self._folder / "pools.json")
        return Pools(self._folder)


def gains(ids: list[str], later: list[tuple[str, int]]) -> NDArray[np.float32]:
    """f32 [candidates]: 1 / n for what was wanted n-th, 0 for what was not wanted."""
    wanted: dict[str, float] = {}
    for item, _ in later:
        wanted.setdefault(item, 1.0 / (len(wanted) + 1))
    return np.array([wanted.get(item, 0.0) for item in ids], np.float32)


def _stands_for(n: int, kept: NDArray[np.int64], gain: NDArray[np.float32], top: int) -> NDArray[np.float32]:
    """f32 [kept]: what was kept by chance stands for all that could have been drawn in its place. Without it a pool
    would teach that what stands below the top is wanted, because of that only the wanted is always kept."""
    chance = (kept >= top) & (gain[kept] == 0)
    others = max(0, n - top) - int((gain[top:] > 0).sum())
    return np.where(chance, others / max(1, int(chance.sum())), 1.0).astype(np.float32)


def _digest(seed: int, seen: SeenList) -> int:
    said = f"{seed}:{seen.session_id}:{seen.request_id}:{seen.offset}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big")
