"""The tables of the lake: their columns, and how a row finds its partition.

A partition is an hour of event time in UTC, `date=YYYY-MM-DD/hour=HH`; inside the lake an hour is a number, counted
from 1970. Invariant: a file of a table has exactly the columns of `SCHEMAS`, in their order. It does not know where
rows come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from rtp_monolith.errors import LakeError

TableName = Literal["events", "impressions", "rewards", "training"]
TABLES: tuple[TableName, ...] = ("events", "impressions", "rewards", "training")
US_PER_HOUR = 3_600_000_000
HOURS_PER_DAY = 24

# As `LogColumns` gives a column: rows, nulls, bits of what is there, offsets, data.
Buffers = tuple[int, int, bytes | None, bytes | None, bytes]

_TIME = pa.timestamp("us", tz="UTC")
_TEXTS = pa.list_(pa.string())
LINE = pa.struct([("item_id", pa.string()), ("quantity", pa.int32()), ("price", pa.float64())])

EVENTS = pa.schema(
    [
        ("log_offset", pa.int64()),
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("user_id", pa.string()),
        ("linked", pa.bool_()),
        ("session_id", pa.string()),
        ("item_id", pa.string()),
        ("ts", _TIME),
        ("received", _TIME),
        ("request_id", pa.string()),
        ("position", pa.int32()),
        ("trusted", pa.bool_()),
        ("dwell_ms", pa.float64()),
        ("value", pa.float64()),
        ("props", pa.map_(pa.string(), pa.string())),
        ("lines", pa.list_(LINE)),
    ]
)
IMPRESSIONS = pa.schema(
    [
        ("log_offset", pa.int64()),
        ("request_id", pa.string()),
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("surface", pa.string()),
        ("ts", _TIME),
        ("item_id", pa.string()),
        ("position", pa.int32()),
        ("score", pa.float32()),
        ("propensity", pa.float32()),
        ("explored", pa.bool_()),
        ("source", _TEXTS),
        ("model", pa.string()),
        ("degraded", _TEXTS),
        ("state_version", pa.int64()),
        ("context", pa.string()),
    ]
)
REWARDS = pa.schema(
    [
        *(
            IMPRESSIONS.field(name)
            for name in (
                *("log_offset", "request_id", "user_id", "session_id", "surface", "ts", "item_id", "position"),
                *("score", "propensity", "explored", "model"),
            )
        ),
        pa.field("viewed", pa.bool_()),
        pa.field("clicked", pa.bool_()),
        pa.field("first_click", _TIME),
        pa.field("dwell_ms", pa.float64()),
        pa.field("carted", pa.bool_()),
        pa.field("purchased", pa.bool_()),
        pa.field("quantity", pa.int64()),
        pa.field("value", pa.float64()),
        pa.field("refunded", pa.bool_()),
    ]
)
TRAINING = pa.schema(
    [
        ("ts", _TIME),
        *(("list", pa.int64()), ("as_of_ms", pa.int64()), ("offset", pa.int64())),
        *((name, pa.string()) for name in ("request_id", "user_id", "session_id", "surface", "bundle", "item_id")),
        *(("position", pa.int32()), ("propensity", pa.float32())),
        *((f"label_{name}", pa.int8()) for name in ("click", "cart", "purchase", "dwell")),
        ("dwell_ms", pa.int64()),
    ]
)
"""What every run of training rows has; its files have a column for each feature as well."""
SCHEMAS: dict[TableName, pa.Schema] = {
    **{"events": EVENTS, "impressions": IMPRESSIONS},
    **{"rewards": REWARDS, "training": TRAINING},
}


def events_table(columns: Mapping[str, Buffers]) -> Any:
    """The events of `LogColumns.read` as an Arrow table."""
    lines = [_flat(LINE.field(name).type, columns[f"lines.{name}"]) for name in ("item_id", "quantity", "price")]
    nested = {
        "props": _pairs(columns["props"], columns["props.key"], columns["props.value"]),
        "lines": _lists(EVENTS.field("lines").type, columns["lines"], pa.StructArray.from_arrays(lines, fields=LINE)),
    }
    return _table(EVENTS, columns, nested)


def impressions_table(columns: Mapping[str, Buffers]) -> Any:
    """The shown items of `LogColumns.read` as an Arrow table."""
    nested = {
        "source": _lists(_TEXTS, columns["source"], _flat(pa.string(), columns["source.name"])),
        "degraded": _lists(_TEXTS, columns["degraded"], _flat(pa.string(), columns["degraded.code"])),
    }
    return _table(IMPRESSIONS, columns, nested)


def _table(schema: Any, columns: Mapping[str, Buffers], nested: Mapping[str, Any]) -> Any:
    arrays = [nested.get(field.name) for field in schema]
    made = [
        _flat(field.type, columns[field.name]) if array is None else array
        for field, array in zip(schema, arrays, strict=True)
    ]
    return pa.Table.from_arrays(made, schema=schema)


def _flat(kind: Any, column: Buffers) -> Any:
    rows, nulls, valid, offsets, data = column
    bits = None if valid is None else pa.py_buffer(valid)
    if pa.types.is_string(kind):
        ends = pa.py_buffer(bytes(4) if offsets is None else offsets)
        return pa.Array.from_buffers(kind, rows, [bits, ends, pa.py_buffer(data)], null_count=nulls)
    return pa.Array.from_buffers(kind, rows, [bits, pa.py_buffer(data)], null_count=nulls)


def _lists(kind: Any, column: Buffers, values: Any) -> Any:
    rows, nulls, valid, offsets, _ = column
    bits = None if valid is None else pa.py_buffer(valid)
    ends = pa.py_buffer(bytes(4) if offsets is None else offsets)
    return pa.Array.from_buffers(kind, rows, [bits, ends], null_count=nulls, children=[values])


def _pairs(column: Buffers, keys: Buffers, values: Buffers) -> Any:
    entries = pa.StructArray.from_arrays(
        [_flat(pa.string(), keys), _flat(pa.string(), values)],
        fields=[pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string())],
    )
    return _lists(EVENTS.field("props").type, column, entries)


def hours_of(table: Any) -> Any:
    """int64 [rows]: the hour of each row's `ts`."""
    return table.column("ts").cast(pa.int64()).to_numpy() // US_PER_HOUR


def by_hour(table: Any) -> Iterator[tuple[int, Any]]:
    """The rows of each hour, hours ascending, rows in their order."""
    if len(table) == 0:
        return
    hours = hours_of(table)
    if hours[0] == hours[-1] and (hours == hours[0]).all():
        yield int(hours[0]), table
        return
    order = np.argsort(hours, kind="stable")
    sorted_hours = hours[order]
    begins = np.flatnonzero(np.diff(sorted_hours, prepend=sorted_hours[0] - 1))
    for begin, end in zip(begins, [*begins[1:], len(order)], strict=True):
        yield int(sorted_hours[begin]), table.take(pa.array(order[begin:end]))


def partition(hour: int) -> str:
    """The folder of an hour below its table. Raises LakeError for a time beyond the year 9999."""
    try:
        at = datetime.fromtimestamp(hour * 3600, UTC)
    except (ValueError, OverflowError):
        raise LakeError(f"hour {hour} is no time") from None
    return f"date={at:%Y-%m-%d}/hour={at:%H}"


def spread(hours: list[int], wide: int) -> Iterator[tuple[int, int]]:
    """(first, last) of groups of ascending hours that lie within `wide` hours each."""
    begin = 0
    for n in range(1, len(hours) + 1):
        if n == len(hours) or hours[n] - hours[begin] >= wide:
            yield hours[begin], hours[n - 1]
            begin = n
