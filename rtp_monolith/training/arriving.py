"""Training rows of a log that goes on: the rows of `point_in_time`, of the lists whose windows are over so far.

The walk stays where it stands between two calls, so a call costs what the log has grown by; a walk that begins anew,
after its process ended, goes through the log from its beginning and leaves out the lists that are said to be written.
Invariant: which lists come in which order, and their features, are a function of the log, whatever it ended at when it
was read; a refund takes its purchase's label while the list is not written. Memory is bounded by one group of rows, by
what happened within the longest window, by the refunds of the log and by the users that `Past` keeps. It does not know
where rows go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rtp_monolith._native import Log
from rtp_monolith.config import Config
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.state.recovery import open_log
from rtp_monolith.training.lists import ListReader, SeenList, Windows
from rtp_monolith.training.logged import LoggedRows
from rtp_monolith.training.past import Past
from rtp_monolith.training.point_in_time import GROUP_ROWS, labelled, rows_table, schema_of, without_cycles
from rtp_monolith.training.replay import RowCounts, list_rows

CHUNK_BYTES = 1 << 14
"""The log is read in pieces of this size, the last one when it is full: some hundred events at most."""
DWELL_MS = 10_000


class RowGroup(msgspec.Struct, frozen=True):
    """Rows in the order of their lists. `lists` is how many lists of the walk are behind with them, `past` where the
    state stands then; `start` and `end` are where in the log the walk was."""

    rows: pa.Table
    lists: int
    past: int
    start: int
    end: int


class ArrivingRows:
    """The rows of one shard's log. `bundles` is where the bundles of its decisions lie, to read their vectors."""

    def __init__(self, data: Path, config: Config, *, bundles: Path | None = None) -> None:
        self._data, self._config = data, config
        self._features = declared(config).features
        self._plan = compile_plan(self._features)
        self._logged = LoggedRows(self._plan.names, bundles, self._features)
        lake = config.lake
        windows = Windows(lake.click_window_ms, lake.conversion_window_ms, lake.refund_window_ms)
        self._windows = labelled(windows, config)
        self._schema = schema_of(self._features, self._windows.heads)
        self._past: Past | None = None
        self._reader: ListReader | None = None
        self._lists = self._given = 0

    @property
    def run(self) -> str:
        """16 hex digits over what decides the rows of a log, the features, what is counted, and the windows."""
        meaning = {
            "features": {each.name: each.fingerprint() for each in self._features},
            "events": msgspec.to_builtins(self._config.events),
            "bots": msgspec.to_builtins(self._config.bots),
            "windows": msgspec.to_builtins(self._windows),
            "dwell_ms": DWELL_MS,
        }
        return hashlib.blake2b(msgspec.json.encode(meaning, order="sorted"), digest_size=8).hexdigest()

    def groups(self, until: int, lists: int, past: int) -> Iterator[RowGroup]:
        """The rows behind the first `lists` lists, with whose last group the state stood at `past`, of the log up to
        `until`. Raises DataError, `log_truncated` among them; then the next call begins anew."""
        log = open_log(self._data, self._config, read_only=True)
        try:
            if self._reader is None or self._past is None or self._given != lists:
                self._begin(log, until, past)
                self._given = lists
            else:
                self._past.follow(log)
                self._reader.follow(log, until)
            with without_cycles():
                yield from self._walk(lists)
        except BaseException:
            self.close()
            raise
        finally:
            log.close()

    def close(self) -> None:
        """Forgets where the walk stands."""
        if self._past is not None:
            self._past.__exit__(None, None, None)
        self._past = self._reader = None
        self._lists = self._given = 0

    def _begin(self, log: Log, until: int, past: int) -> None:
        self.close()
        self._past = Past(self._data, log, self._config)
        self._reader = ListReader(log, self._windows, until=until, dwell=True, whole_chunk_bytes=CHUNK_BYTES)
        self._past.advance(past)

    def _walk(self, skip: int) -> Iterator[RowGroup]:
        assert self._past is not None and self._reader is not None
        lists: list[tuple[int, SeenList]] = []
        features: list[NDArray[np.float32]] = []
        buffered, start = 0, self._reader.position
        for seen in self._reader:
            number, self._lists = self._lists, self._lists + 1
            if number < skip:
                start = self._reader.position
                continue
            rows = list_rows(self._past, None, seen, self._plan, self._logged, RowCounts())
            if rows is None:
                continue
            lists.append((number, seen))
            features.append(rows)
            buffered += len(rows)
            if buffered >= GROUP_ROWS:
                yield self._group(lists, features, start)
                lists, features, buffered, start = [], [], 0, self._reader.position
        if lists:
            yield self._group(lists, features, start)

    def _group(self, lists: list[tuple[int, SeenList]], features: list[NDArray[np.float32]], start: int) -> RowGroup:
        assert self._past is not None and self._reader is not None
        rows = rows_table(self._schema, lists, features, self._windows.heads, DWELL_MS)
        self._given = self._lists
        return RowGroup(rows, self._lists, self._past.offset, start, self._reader.position)
