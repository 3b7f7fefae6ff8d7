"""Training rows in the lake, by the hour of each list, as the table `training`: what `rtp replay dataset` wrote, or
rows that arrive as the log goes on.

The table holds the rows of one run at a time, with `ts` (the list's moment) in front; another run replaces them in one
commit. Invariant: a finished run's rows are in the lake whole or not at all, those of one that goes on up to a list of
its walk, each row once, however often it is asked for. It does not know how a row was made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.parquet as parquet

from rtp_monolith.errors import LakeError
from rtp_monolith.lake.journal import Arrived, Lake, LakeFile
from rtp_monolith.lake.tables import TRAINING, by_hour

CARD = "_dataset.json"
US_PER_MS = 1_000


class Part(msgspec.Struct, frozen=True):
    """One file of a run."""

    file: str
    sha256: str
    rows: int


class Card(msgspec.Struct, frozen=True):
    """What stands beside the files; more is in it."""

    parts: list[Part]
    complete: bool


class Shelved(msgspec.Struct, frozen=True):
    """What the table holds; `replaced` are files of the run before, `changed` is False when the run was there."""

    rows: int
    files: int
    replaced: int
    changed: bool


def shelve(lake: Lake, folder: Path, now_ms: int) -> Shelved:
    """Puts a finished run into the lake, in place of the one that is there. Raises LakeError `rows_unreadable`."""
    card = _card(folder)
    digest = hashlib.blake2b(msgspec.json.encode(card.parts), digest_size=8).hexdigest()
    before = lake.journal.of("training")
    if lake.journal.training == digest:
        return Shelved(sum(file.rows for file in before), len(before), 0, False)
    added: list[LakeFile] = []
    for number, part in enumerate(card.parts):
        for hour, rows in by_hour(_rows(folder, part)):
            added.append(lake.write("training", hour, f"{digest}-{number:05d}", rows, 0, 0))
    lake.commit(added, before, now_ms, training=digest)
    return Shelved(sum(file.rows for file in added), len(added), len(before), True)


class RowGroup(Protocol):
    """Rows of some lists in their order, as `training/arriving.py` gives them."""

    @property
    def rows(self) -> Any: ...
    @property
    def lists(self) -> int: ...
    @property
    def past(self) -> int: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class RowSource(Protocol):
    """Rows of a log that goes on; `run` tells apart what decides them."""

    @property
    def run(self) -> str: ...
    def groups(self, until: int, lists: int, past: int) -> Iterator[RowGroup]: ...
    def close(self) -> None: ...


def arrive(lake: Lake, source: RowSource, now_ms: int) -> int:
    """Writes the rows that are not in the lake and whose lists are final within what the lake has of the log, a commit
    for each group; returns how many. Rows of another run go with the first of these. Raises what the source raises."""
    run, arrived = source.run, lake.journal.arrived
    if lake.journal.training != run:
        arrived = Arrived()
    written = 0
    for group in source.groups(lake.journal.position, arrived.lists, arrived.past):
        others = [] if lake.journal.training == run else lake.journal.of("training")
        name = f"{run}-{group.lists:012d}-{lake.journal.version + 1:x}"
        parts = list(by_hour(dated(group.rows)))
        added = [lake.write("training", hour, name, rows, group.start, group.end) for hour, rows in parts]
        lake.commit(added, others, now_ms, training=run, arrived=Arrived(group.lists, group.past))
        written += len(group.rows)
    return written


def _card(folder: Path) -> Card:
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LakeError(f"{folder} holds no rows of `rtp replay dataset`: {error}", code="rows_unreadable") from None
    if not card.complete:
        raise LakeError(f"{folder} is not finished: give the command again that made it", code="rows_unreadable")
    return card


def _rows(folder: Path, part: Part) -> Any:
    """A part's rows, dated."""
    path = folder / part.file
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise LakeError(f"{path} is not what was written", code="rows_unreadable")
        rows = parquet.read_table(pa.BufferReader(data))
    except (OSError, pa.ArrowException) as error:
        raise LakeError(f"{path}: {error}", code="rows_unreadable") from None
    return dated(rows)


def dated(rows: Any) -> Any:
    """Rows as the table has them: `ts` in front, every column nullable."""
    moment = pa.array(rows.column("as_of_ms").to_numpy() * US_PER_MS, TRAINING.field("ts").type)
    fields = [TRAINING.field("ts"), *(field.with_nullable(True) for field in rows.schema)]
    return pa.Table.from_arrays([moment, *rows.columns], schema=pa.schema(fields)).combine_chunks()


def columns_of(lake_folder: Path, files: list[LakeFile]) -> Any:
    """The schema of the table's files; that of an empty table without any."""
    return parquet.read_schema(lake_folder / files[0].path) if files else TRAINING
