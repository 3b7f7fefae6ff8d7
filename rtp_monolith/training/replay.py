"""Point-in-time rows from a log: what the shard knew of each shown item when it showed it, and what came of it.

Values that a decision carries are taken as they were served; the rest is replayed at the list's moment. With an encoder
the rows have the cascade's columns too, made as a shard with that encoder would make them: what was served of those is
another model's. Invariant: a row is a function of the log before its list's offset, its moment, its context, the plan
and the encoder. It does not know rankers; rows go to a table on disk in pieces, so memory is bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Plan
from rtp_monolith.config import Config
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.features.spec import Feature
from rtp_monolith.state.recovery import open_log
from rtp_monolith.training.lists import ListReader, SeenList, Windows
from rtp_monolith.training.logged import LoggedRows
from rtp_monolith.training.past import Past

if TYPE_CHECKING:
    from rtp_monolith.training.export_asking import Asking, Encoded

Progress = Callable[[int, int], None]
"""(bytes of the log walked, bytes of the log)."""
Visit = Callable[[Past, "Asking | None", SeenList], None]
"""Called with the state before a list, ahead of its rows."""


class RowSettings(msgspec.Struct, frozen=True):
    """`share` of the lists, drawn by `seed` and request id, become rows; none before `after_ms`. With an encoder the
    lists of the popular are up to `stale_ms` old."""

    windows: Windows = Windows()
    share: float = 1.0
    seed: int = 0
    after_ms: int = 0
    stale_ms: int = 0


class ListRows(msgspec.Struct, frozen=True):
    """One list with its features: float32 [items, features] in the plan's order."""

    seen: SeenList
    features: NDArray[np.float32]


class RowCounts(msgspec.Struct):
    """What became of the lists of a log. `served_rows` have values that a decision carried; `served_values` of those
    were replayed too, and `served_differ` came out otherwise. `late`: their decision was older than what is folded, no
    rows."""

    lists: int = 0
    rows: int = 0
    served_rows: int = 0
    served_values: int = 0
    served_differ: int = 0
    unfinished: int = 0
    late: int = 0


def replay_lists(
    data: Path,
    config: Config,
    settings: RowSettings,
    counts: RowCounts,
    *,
    features: Sequence[Feature] = FEATURES,
    encoded: Encoded | None = None,
    bundles: Path | None = None,
    progress: Progress | None = None,
    visit: Visit | None = None,
) -> Iterator[ListRows]:
    """The lists of a shard's log with their rows, in the order of their offsets. The log is read only, so the shard may
    run meanwhile. With `encoded` the columns of CASCADE follow those of `features`; decisions of the bundles in the
    folder `bundles` can be read as well as those of the shard's features. Raises DataError."""
    plan = compile_plan(features if encoded is None else [*features, *CASCADE])
    logged = LoggedRows(plan.names, bundles, declared(config).features)
    log = open_log(data, config, read_only=True)
    try:
        reader = ListReader(log, settings.windows, share=settings.share, seed=settings.seed)
        with Past(data, log, config) as past:
            asking = None if encoded is None else _asking(past, config, encoded, settings.stale_ms)
            for seen in reader:
                if progress is not None:
                    progress(past.offset, log.end())
                if seen.as_of_ms < settings.after_ms:
                    continue
                if visit is not None:
                    visit(past, asking, seen)
                rows = list_rows(past, asking, seen, plan, logged, counts)
                if rows is None:
                    counts.late += 1
                    continue
                counts.lists += 1
                counts.rows += len(rows)
                yield ListRows(seen, rows)
        counts.unfinished = reader.unfinished
    finally:
        log.close()


def _asking(past: Past, config: Config, encoded: Encoded, stale_ms: int) -> Asking:
    """Rows without an encoder need neither torch nor onnxruntime, whose import takes seconds."""
    from rtp_monolith.training.export_asking import Asking

    return Asking(past, config, encoded, stale_ms)


def list_rows(
    past: Past, asking: Asking | None, seen: SeenList, plan: Plan, logged: LoggedRows, counts: RowCounts
) -> NDArray[np.float32] | None:
    """Features of a list's items; None when the state has moved past it and its decision has not all of them."""
    if seen.served is None or not seen.served.features:
        if past.offset > seen.offset:
            return None
        past.advance(seen.offset)
        return _replayed(past, asking, seen, plan)
    served, given = logged.of(seen)
    whole = bool(given.all())
    if not whole and past.offset > seen.offset:
        return None
    if not whole:
        past.advance(seen.offset)
        rows = _replayed(past, asking, seen, plan)
        counts.served_values += int(given.sum())
        counts.served_differ += int((rows[given] != served[given]).sum())
        served[~given] = rows[~given]
    counts.served_rows += int(given.any(axis=1).sum())
    return served


def _replayed(past: Past, asking: Asking | None, seen: SeenList, plan: Plan) -> NDArray[np.float32]:
    if asking is not None:
        return asking.rows(seen, plan)
    ask = past.ask(
        seen.user_id,
        seen.session_id,
        seen.as_of_ms,
        seen.context,
        external=seen.external,
        shown=seen.shown,
        made_with=seen.made_with,
    )
    return past.core.vectors_of(ask, seen.items, plan)


class RowTable:
    """Rows in a folder, appended list by list and read back as arrays mapped from the files.

    Per row: `features` f32 [n, F], `labels` u8 [n, heads] in the order of `heads`, `position` u16, `item` and
    `list` i32.
    Per list: `as_of_ms` i64, `surface` i32, `start` i64 (its first row), `prefix` i32 [lists, length] with -1 on the
    right and `prefix_length` i32. Items and surfaces are numbers into `items` and `surfaces`, in order of appearance.
    """

    PER_ROW = (("features", "<f4"), ("labels", "u1"), ("position", "<u2"), ("item", "<i4"), ("list", "<i4"))
    PER_LIST = (("as_of_ms", "<i8"), ("surface", "<i4"), ("start", "<i8"), ("prefix", "<i4"), ("prefix_length", "<i4"))

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.card = msgspec.json.decode((folder / "rows.json").read_bytes(), type=TableCard)
        card = self.card
        n, lists = card.rows, card.lists
        self.features: NDArray[np.float32] = self._map("features", "<f4", (n, len(card.features)))
        self.labels: NDArray[np.uint8] = self._map("labels", "u1", (n, len(card.heads)))
        self.position: NDArray[np.uint16] = self._map("position", "<u2", (n,))
        self.item: NDArray[np.int32] = self._map("item", "<i4", (n,))
        self.list: NDArray[np.int32] = self._map("list", "<i4", (n,))
        self.as_of_ms: NDArray[np.int64] = self._map("as_of_ms", "<i8", (lists,))
        self.surface: NDArray[np.int32] = self._map("surface", "<i4", (lists,))
        self.start: NDArray[np.int64] = self._map("start", "<i8", (lists,))
        self.prefix: NDArray[np.int32] = self._map("prefix", "<i4", (lists, card.prefix_length))
        self.prefix_length: NDArray[np.int32] = self._map("prefix_length", "<i4", (lists,))

    def _map(self, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """An array of the file, which cannot be mapped when it is empty."""
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.memmap(self.folder / f"{name}.bin", dtype=dtype, mode="r", shape=shape)

    def __len__(self) -> int:
        return self.card.rows


class TableCard(msgspec.Struct, frozen=True):
    """What stands in a table's folder; it is written last, so a folder with one is whole."""

    rows: int
    lists: int
    features: list[str]
    items: list[str]
    surfaces: list[str]
    heads: list[str]
    prefix_length: int
    counts: RowCounts


def write_table(
    folder: Path,
    lists: Iterator[ListRows],
    names: Sequence[str],
    heads: Sequence[str],
    length: int,
    counts: RowCounts,
    before_sealing: Callable[[], object] | None = None,
) -> RowTable:
    """Appends every list to the files of `folder` and seals them. `names` are of the columns, `heads` of the labels,
    `length` is the longest prefix kept."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: (folder / f"{name}.bin").open("wb") for name, _ in (*RowTable.PER_ROW, *RowTable.PER_LIST)}
    items: dict[str, int] = {}
    surfaces: dict[str, int] = {}
    rows = number = 0
    for one in lists:
        seen = one.seen
        n = len(seen.items)
        prefix = np.full(length, -1, dtype="<i4")
        tail = [items.setdefault(item, len(items)) for item in seen.prefix[-length:]]
        prefix[: len(tail)] = tail
        columns: dict[str, NDArray[np.generic]] = {
            "features": one.features,
            "labels": np.array(seen.labels, dtype="u1"),
            "position": np.minimum(np.array(seen.positions), 65_535).astype("<u2"),
            "item": np.array([items.setdefault(item, len(items)) for item in seen.items], dtype="<i4"),
            "list": np.full(n, number, dtype="<i4"),
            "as_of_ms": np.array([seen.as_of_ms], dtype="<i8"),
            "surface": np.array([surfaces.setdefault(seen.surface, len(surfaces))], dtype="<i4"),
            "start": np.array([rows], dtype="<i8"),
            "prefix": prefix,
            "prefix_length": np.array([len(tail)], dtype="<i4"),
        }
        for name, values in columns.items():
            files[name].write(values.tobytes())
        rows += n
        number += 1
    for file in files.values():
        file.close()
    if before_sealing is not None:
        before_sealing()
    card = TableCard(rows, number, list(names), list(items), list(surfaces), list(heads), length, counts)
    draft = folder / "rows.draft"
    draft.write_bytes(msgspec.json.encode(card))
    draft.replace(folder / "rows.json")
    return RowTable(folder)
