"""A compacted stream in a file: of the records of a key the last counts, and one without a value takes the key away.

`{"key": "t-1", "value": {…}, "ts": 1764072000000}` a line, as a topic of Kafka holds it. What `kcat -J` prints, the
value as text under `payload`, is read too. Invariant: what comes out is a function of the last record of each key, so a
stream that is read again from its beginning, or after its broker dropped more of it, gives the same. Keys are held in
memory, values are not: the file is walked twice. It does not know items from users.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from rtp_monolith.ingest.files import Record, RowRefused, read_rows

KEY_CHARS_MAX = 128
VALUE_NAMES = ("value", "payload")


class Latest(msgspec.Struct, frozen=True):
    """The last record of a key; `value` is None where it takes away."""

    number: int
    key: str
    value: Record | None


class Unread(msgspec.Struct, frozen=True):
    """A row that is no record of a stream, or whose key's last value cannot be read."""

    number: int
    why: RowRefused


class Superseded(msgspec.Struct, frozen=True):
    """A row whose key has a later record."""

    number: int


def latest_records(path: Path) -> Iterator[Latest | Unread | Superseded]:
    """What every row of the stream is, in its order. Raises FileError for what concerns the whole file."""
    last: dict[str, int] = {}
    for row in read_rows(path, "jsonl"):
        key = row.cells if isinstance(row.cells, RowRefused) else key_of(row.cells)
        if isinstance(key, str):
            last[key] = row.number
    for row in read_rows(path, "jsonl"):
        if isinstance(row.cells, RowRefused):
            yield Unread(row.number, row.cells)
            continue
        key = key_of(row.cells)
        if isinstance(key, RowRefused):
            yield Unread(row.number, key)
        elif last[key] != row.number:
            yield Superseded(row.number)
        else:
            value = value_of(row.cells, key)
            yield Unread(row.number, value) if isinstance(value, RowRefused) else Latest(row.number, key, value)


def key_of(cells: Record) -> str | RowRefused:
    """The key as text; a number is its digits."""
    key = cells.get("key")
    if isinstance(key, int) and not isinstance(key, bool):
        key = str(key)
    if key is None or key == "":
        return RowRefused("missing_field", "key: a record of a stream has a key")
    if not isinstance(key, str):
        return RowRefused("wrong_type", f"key: text is wanted, not {type(key).__name__}")
    if len(key) > KEY_CHARS_MAX:
        return RowRefused("too_long", f"key: longer than {KEY_CHARS_MAX} characters")
    return key


def value_of(cells: Record, key: str) -> Record | RowRefused | None:
    """The value with its key as `id`, None of a record that takes away."""
    name = next((name for name in VALUE_NAMES if name in cells), None)
    if name is None:
        return RowRefused("missing_field", "value: a record of a stream has one, null to take away")
    value = cells[name]
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError) as error:
            return RowRefused("malformed_row", f"{name}: {error}")
    if value is None:
        return None
    if not isinstance(value, dict):
        return RowRefused("wrong_type", f"{name}: an object or null is wanted, not {type(value).__name__}")
    own = value.get("id", key)
    if str(own) != key:
        return RowRefused("out_of_range", f"{name}.id: {own!r} under the key {key!r}")
    return {**value, "id": key}
