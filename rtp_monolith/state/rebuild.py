"""Views made again from the log, and the proof that they are nothing but its fold.

Invariant: `rebuild` leaves either the whole new views or none, and none means that the next start folds the log. It
works on a stopped shard only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import msgspec

from rtp_monolith._native import Core, Log
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError
from rtp_monolith.manifest import Manifest, claim
from rtp_monolith.state.flusher import Flusher
from rtp_monolith.state.recovery import PARTIAL, VIEWS, fold_from, fold_tail, make_core, open_log, recover
from rtp_monolith.state.store import ViewStore, discard


class RebuildReport(msgspec.Struct, frozen=True):
    """`events` are those counted, duplicates left out; bytes are of the log that was folded, which began at `start`."""

    events: int
    log_bytes: int
    records: int
    start: int


def rebuild(data: Path, config: Config, *, partial: bool = False) -> RebuildReport:
    """Makes the views of a stopped shard again from its log. Raises DataError, `log_truncated` among them.

    With `partial` a log whose beginning retention removed is folded from where it begins: what only the removed part
    said (items, users, counts, what links carried over) is gone for good.
    """
    manifest = claim(data, config.partitions, create=False)
    log = open_log(data, config) if partial else _whole_log(data, config)
    try:
        _let_go(data / VIEWS)
        store = ViewStore(data / VIEWS)
        core = make_core(manifest, config)
        fold_from(log.start(), core, store, log, config.state.users_cached_max)
        flusher = Flusher(core, store)
        flusher.flush()
        store.persist()
        store.close()
        events = dict(core.stats())["events"]
        start = log.start()
        return RebuildReport(events=events, log_bytes=log.end() - start, records=flusher.records, start=start)
    finally:
        log.close()


def _let_go(views: Path) -> None:
    """Removes the views, also unreadable ones. Raises DataError `data_locked` while another process holds them."""
    try:
        ViewStore(views).close()
    except DataError as error:
        if error.code == "data_locked":
            raise
    discard(views)


class VerifyReport(msgspec.Struct, frozen=True):
    """`different` are keys, hexadecimal, at most 20 of them."""

    equal: bool
    entries: int
    different: list[str]


def verify(data: Path, config: Config) -> VerifyReport:
    """Compares the views of a stopped shard with fresh ones, byte for byte. Raises DataError."""
    manifest = claim(data, config.partitions, create=False)
    log = _whole_log(data, config)
    try:
        core, kept = recover(data, manifest, log, config)
        Flusher(core, kept).flush()
        with tempfile.TemporaryDirectory(prefix="rtp-verify-") as folder:
            fresh = _fresh(manifest, log, config, Path(folder))
            entries, different = _compare(kept.everything(), fresh.everything())
            fresh.close()
        kept.close()
        return VerifyReport(equal=not different, entries=entries, different=different)
    finally:
        log.close()


def _whole_log(data: Path, config: Config) -> Log:
    """The log, refused when it no longer holds its beginning."""
    log = open_log(data, config)
    if log.start() > 0:
        log.close()
        raise DataError(
            f"the log begins at {log.start()}: what came before was removed by retention; {PARTIAL}",
            code="log_truncated",
        )
    return log


def _fresh(manifest: Manifest, log: Log, config: Config, folder: Path) -> ViewStore:
    store = ViewStore(folder / VIEWS)
    core: Core = make_core(manifest, config)
    fold_tail(core, store, log, config.state.users_cached_max)
    Flusher(core, store).flush()
    return store


def _compare(left: Iterator[tuple[bytes, bytes]], right: Iterator[tuple[bytes, bytes]]) -> tuple[int, list[str]]:
    """Entries on the left, and the keys at which the two sorted streams differ."""
    entries = 0
    different: list[str] = []
    for mine, theirs in zip_longest(left, right):
        entries += mine is not None
        if mine != theirs and len(different) < 20:
            different.append((mine or theirs)[0].hex())
    return entries, different
