"""Training rows of a log as Parquet: what was known of each shown item when it was shown, and what came of it.

One walk over the log; rows go to parts of about PART_ROWS, so memory is bounded by one group of rows, by what happened
within the longest window, and by the refunds of the log. Invariant: log, settings and features determine every byte,
whether or not the run was killed on the way. It does not know models; `lists.py` knows what a list is and what counts
for it, `replay.py` what its features are.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from rtp_monolith._native import Log
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.features.spec import Feature
from rtp_monolith.manifest import claim
from rtp_monolith.state.recovery import open_log
from rtp_monolith.training.heads import Head, declared_heads, usual
from rtp_monolith.training.lists import ListReader, SeenList, Windows
from rtp_monolith.training.logged import LoggedRows
from rtp_monolith.training.parts import PartFolder
from rtp_monolith.training.past import Past
from rtp_monolith.training.replay import Progress, RowCounts, list_rows

GROUP_ROWS = 16_384
PART_ROWS = 8 * GROUP_ROWS
HEAD_BYTES = 1 << 16
LABELS = (*(head.name for head in usual()), "dwell")
PLAIN = (
    ("list", pa.int64()),
    ("as_of_ms", pa.int64()),
    ("offset", pa.int64()),
    ("request_id", pa.string()),
    ("user_id", pa.string()),
    ("session_id", pa.string()),
    ("surface", pa.string()),
    ("bundle", pa.string()),
    ("item_id", pa.string()),
    ("position", pa.int32()),
    ("propensity", pa.float32()),
    *((f"label_{name}", pa.int8()) for name in LABELS),
    ("dwell_ms", pa.int64()),
)
"""Columns ahead of the features, one row per shown item; behind them a label for each other head that is declared.
`propensity` and `bundle` are null without a decision."""


class DatasetSettings(msgspec.Struct, frozen=True):
    """`from_ms` ≤ a list's moment < `to_ms`. `dwell_ms`: looking so long is a label. `share` of the lists, drawn by
    `seed` and request id."""

    from_ms: int
    to_ms: int
    windows: Windows = Windows()
    dwell_ms: int = 10_000
    share: float = 1.0
    seed: int = 0


class Written(msgspec.Struct, frozen=True):
    """What a run wrote, over all its parts."""

    out: str
    parts: int
    rows: int
    counts: dict[str, int]


class _Counts(RowCounts):
    """`outside`: lists before or after the range."""

    outside: int = 0


def write_dataset(
    data: Path,
    config: Config,
    out: Path,
    settings: DatasetSettings,
    *,
    bundles: Path | None = None,
    progress: Progress | None = None,
) -> Written:
    """Writes the rows of the lists of a shard's log, which may be served meanwhile, to `out`, or what of them is not
    there yet. Raises DataError: what `PartFolder` raises, `log_truncated`, `outside_log` when the range holds nothing
    of the log and `no_lists` when nobody was shown anything in it."""
    features = declared(config).features
    settings = msgspec.structs.replace(settings, windows=labelled(settings.windows, config))
    claim(data, config.partitions, create=False)
    log = open_log(data, config, read_only=True)
    try:
        with Past(data, log, config) as past:
            folder = PartFolder(out, _run(log, config, settings, features), may_differ=("log_end", "log_head"))
            _same_log(folder, log)
            if not folder.card.complete:
                with without_cycles():
                    _Walk(past, log, settings, features, folder, bundles).write(progress)
    finally:
        log.close()
    card = folder.card
    return Written(str(out), len(card.parts), sum(part.rows for part in card.parts), card.counts)


def labelled(windows: Windows, config: Config) -> Windows:
    """With the declared heads, and the usual ones of which none is declared: every dataset has their columns."""
    heads = declared_heads(config)
    if not heads:
        return windows
    taken = {head.name for head in heads}
    others = (head for head in usual(windows.click_ms, windows.conversion_ms) if head.name not in taken)
    return msgspec.structs.replace(windows, declared=(*heads, *others))


@contextlib.contextmanager
def without_cycles() -> Iterator[None]:
    """The walk makes millions of small objects and no cycles; looking for some among them costs a tenth of it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _run(log: Log, config: Config, settings: DatasetSettings, features: tuple[Feature, ...]) -> dict[str, Any]:
    """All that decides the rows, as the card holds it; the log is the one up to `log_end`."""
    end = log.end()
    return {
        "settings": msgspec.json.decode(msgspec.json.encode(settings)),
        "config": config.digest(),
        "plan": f"{compile_plan(features).digest:016x}",
        "features": {each.name: each.fingerprint() for each in features},
        "log_end": end,
        "log_head": _head(log, end),
    }


def _head(log: Log, end: int) -> str:
    """Tells logs apart: a digest of the first frames."""
    frames, _ = log.read(log.start(), min(HEAD_BYTES, end - log.start())) if end > log.start() else (b"", 0)
    return hashlib.sha256(frames).hexdigest()[:16]


def _same_log(folder: PartFolder, log: Log) -> None:
    end = int(folder.card.run["log_end"])
    if end > log.end() or _head(log, end) != folder.card.run["log_head"]:
        raise DataError(f"{folder.folder} holds rows of another log", code="dataset_differs")


class _Walk:
    """One run from where the parts end."""

    def __init__(
        self,
        past: Past,
        log: Log,
        settings: DatasetSettings,
        features: tuple[Feature, ...],
        folder: PartFolder,
        bundles: Path | None,
    ) -> None:
        self._past, self._log, self._settings, self._folder = past, log, settings, folder
        self._plan = compile_plan(features)
        self._logged = LoggedRows(self._plan.names, bundles, features)
        self._heads = settings.windows.heads
        self._schema = schema_of(features, self._heads)
        parts = folder.card.parts
        self._counts = msgspec.convert(parts[-1].counts, _Counts) if parts else _Counts()
        self._skip = parts[-1].lists if parts else 0
        self._first_ms, self._last_ms = 2**62, 0

    def write(self, progress: Progress | None) -> None:
        settings, end = self._settings, int(self._folder.card.run["log_end"])
        reader = ListReader(
            self._log, settings.windows, share=settings.share, seed=settings.seed, until=end, dwell=True
        )
        past = self._past
        if self._folder.card.parts:
            past.advance(self._folder.card.parts[-1].past)
        with _Rows(self._schema, self._folder, self._heads, settings.dwell_ms) as buffer:
            for number, seen in enumerate(self._in_range(reader)):
                if progress is not None:
                    progress(reader.position, end)
                if number < self._skip:
                    continue
                rows = list_rows(past, None, seen, self._plan, self._logged, self._counts)
                if rows is None:
                    self._counts.late += 1
                    continue
                self._counts.lists += 1
                self._counts.rows += len(rows)
                buffer.add(number, seen, rows)
                if buffer.rows >= PART_ROWS:
                    buffer.commit(number + 1, past.offset, msgspec.structs.asdict(self._counts))
            if buffer.rows:
                buffer.commit(reader.lists, past.offset, msgspec.structs.asdict(self._counts))
        self._counts.unfinished = reader.unfinished
        self._refuse_nothing(reader)
        self._folder.complete(msgspec.structs.asdict(self._counts))

    def _in_range(self, reader: ListReader) -> Iterator[SeenList]:
        outside = 0
        for seen in reader:
            self._first_ms, self._last_ms = min(self._first_ms, seen.as_of_ms), max(self._last_ms, seen.as_of_ms)
            if self._settings.from_ms <= seen.as_of_ms < self._settings.to_ms:
                yield seen
            else:
                outside += 1
        self._counts.outside = outside

    def _refuse_nothing(self, reader: ListReader) -> None:
        if self._counts.rows:
            return
        self._folder.discard()
        settings = self._settings
        if self._last_ms and (settings.to_ms <= self._first_ms or settings.from_ms > self._last_ms):
            text = f"the log's lists are from {self._first_ms} to {self._last_ms}"
            raise DataError(f"{text}: nothing of them lies in the range", code="outside_log")
        text = f"no list of the range has its outcome in the log ({reader.unfinished} are not finished)"
        raise DataError(text, code="no_lists")


def _others(heads: tuple[Head, ...]) -> list[str]:
    """Names of the heads beside those of LABELS."""
    return [head.name for head in heads if head.name not in LABELS]


def schema_of(features: tuple[Feature, ...], heads: tuple[Head, ...]) -> pa.Schema:
    """Every feature's column says its fingerprint."""
    known = [pa.field(each.name, pa.float32(), False, {"fingerprint": each.fingerprint()}) for each in features]
    labels = [pa.field(f"label_{name}", pa.int8()) for name in _others(heads)]
    return pa.schema([*(pa.field(name, kind) for name, kind in PLAIN), *labels, *known])


class _Rows:
    """Lists on their way into a part: a group of rows in memory, the groups before it in the draft."""

    def __init__(self, schema: pa.Schema, folder: PartFolder, heads: tuple[Head, ...], dwell_ms: int) -> None:
        self._schema, self._folder, self._heads, self._dwell_ms = schema, folder, heads, dwell_ms
        self._writer: parquet.ParquetWriter | None = None
        self._lists: list[tuple[int, SeenList]] = []
        self._features: list[NDArray[np.float32]] = []
        self._buffered = 0
        self.rows = 0

    def __enter__(self) -> _Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, number: int, seen: SeenList, features: NDArray[np.float32]) -> None:
        self._lists.append((number, seen))
        self._features.append(features)
        self._buffered += len(features)
        self.rows += len(features)
        if self._buffered >= GROUP_ROWS:
            self._flush()

    def commit(self, lists: int, past: int, counts: dict[str, int]) -> None:
        """Seals the part."""
        if self._buffered:
            self._flush()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._folder.commit(self.rows, lists, past, counts)
        self.rows = 0

    def _flush(self) -> None:
        if self._writer is None:
            self._writer = parquet.ParquetWriter(
                self._folder.draft(),
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=[name for name, kind in PLAIN if kind == pa.string()],
                write_statistics=[name for name, _ in PLAIN],
            )
        rows = rows_table(self._schema, self._lists, self._features, self._heads, self._dwell_ms)
        self._writer.write_table(rows, row_group_size=self._buffered)
        self._lists.clear()
        self._features.clear()
        self._buffered = 0


def rows_table(
    schema: pa.Schema,
    lists: Sequence[tuple[int, SeenList]],
    features: Sequence[NDArray[np.float32]],
    heads: tuple[Head, ...],
    dwell_ms: int,
) -> pa.Table:
    """The rows of lists with their numbers, under `schema_of` the features and the heads that the lists are labelled
    with; float32 [items, features] for each list."""
    columns = [*_plain(lists, heads, dwell_ms), *_columns(np.concatenate(features))]
    return pa.Table.from_arrays(columns, schema=schema)


def _plain(lists: Sequence[tuple[int, SeenList]], heads: tuple[Head, ...], dwell_ms: int) -> list[pa.Array]:
    sizes = np.array([len(seen.items) for _, seen in lists])

    def per_list(kind: pa.DataType, of: Callable[[SeenList], object]) -> pa.Array:
        values = pa.array([of(seen) for _, seen in lists], kind)
        return values.take(pa.array(np.repeat(np.arange(len(sizes)), sizes)))

    def per_row(kind: pa.DataType, of: Callable[[SeenList], list[Any]]) -> pa.Array:
        return pa.array([value for _, seen in lists for value in of(seen)], kind)

    every = itertools.chain.from_iterable(itertools.chain.from_iterable(seen.labels for _, seen in lists))
    labels = np.fromiter(every, np.int8).reshape(-1, len(heads))
    dwelt = np.zeros(len(labels), np.int64)
    starts = np.cumsum(sizes) - sizes
    for (_, seen), start in zip(lists, starts.tolist(), strict=True):
        for item, looked_ms in seen.dwelt.items():
            dwelt[start + seen.where[item]] = looked_ms
    by_name = {"dwell": pa.array((dwelt >= dwell_ms).astype(np.int8))}
    by_name |= {head.name: pa.array(np.ascontiguousarray(labels[:, at])) for at, head in enumerate(heads)}
    return [
        pa.array(np.repeat(np.array([number for number, _ in lists]), sizes), pa.int64()),
        per_list(pa.int64(), lambda seen: seen.as_of_ms),
        per_list(pa.int64(), lambda seen: seen.offset),
        per_list(pa.string(), lambda seen: seen.request_id),
        per_list(pa.string(), lambda seen: seen.user_id),
        per_list(pa.string(), lambda seen: seen.session_id),
        per_list(pa.string(), lambda seen: seen.surface),
        per_list(pa.string(), lambda seen: None if seen.served is None else seen.served.bundle),
        per_row(pa.string(), lambda seen: seen.items),
        per_row(pa.int32(), lambda seen: seen.positions),
        per_row(pa.float32(), _propensities),
        *(by_name[name] for name in LABELS),
        pa.array(dwelt),
        *(by_name[name] for name in _others(heads)),
    ]


def _columns(features: NDArray[np.float32]) -> list[pa.Array]:
    return [pa.array(column) for column in np.ascontiguousarray(features.T)]


def _propensities(seen: SeenList) -> list[float | None]:
    """The probability with which each item was put where it was; None of what no decision placed."""
    if seen.served is None:
        return [None] * len(seen.items)
    said = {str(each["id"]): each.get("propensity") for each in seen.served.items}
    return [msgspec.convert(said.get(item), float | None) for item in seen.items]
