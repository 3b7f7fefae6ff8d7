"""Files of sessions: one session per line, or TSV with the header `SessionId ItemId Time`, read as clicks.

Invariant: clicks come in time order over all sessions, and the same file gives the same session ids, event ids and
times every time. Lines have no times, so times are made: one second from click to click over the whole file, the
last one at `end_ms`. A line is read in bounded memory; a TSV is sorted in memory. It does not know what a click
does in a shard.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from rtp_monolith.ingest.coerce import CellRefused, identifier, moment
from rtp_monolith.ingest.files import FileError, RowRefused, text_lines

MADE_STEP_MS = 1_000
MADE_END_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
TIMED_HEADER = ("sessionid", "itemid", "time")


class Click(msgspec.Struct, frozen=True):
    """The `n`-th click (from 0) of a session; `number` is its line (a TSV's header not counted)."""

    number: int
    session_id: str
    n: int
    item_id: str
    ts_ms: int


class RefusedLine(msgspec.Struct, frozen=True):
    """A line that is no click."""

    number: int
    why: RowRefused


def is_timed(path: Path) -> bool:
    """Whether the file is a TSV with times."""
    for _, line in text_lines(path):
        return isinstance(line, bytes) and _timed_columns(line) is not None
    return False


def count_clicks(path: Path) -> int:
    """The number of ids in a file of lines."""
    return sum(len(line.split()) for _, line in text_lines(path) if isinstance(line, bytes))


def read_clicks(path: Path, end_ms: int = MADE_END_MS) -> Iterator[Click | RefusedLine]:
    """All clicks in time order, clicks of equal time in the order of the file; `end_ms` is used for lines only."""
    return _timed_clicks(path) if is_timed(path) else _line_clicks(path, end_ms)


def click_event(click: Click) -> dict[str, object]:
    """The click as an event of an anonymous session; its id depends on session, place and item alone."""
    digest = hashlib.blake2b(f"{click.session_id}\n{click.item_id}".encode(), digest_size=8).hexdigest()
    return {
        "event_id": f"{click.n}-{digest}",
        "session_id": click.session_id,
        "event_type": "click",
        "item_id": click.item_id,
        "ts_ms": click.ts_ms,
    }


def _timed_columns(line: bytes) -> tuple[int, int, int] | None:
    names = [name.strip().lower() for name in line.decode("utf-8", errors="replace").split("\t")]
    if not set(TIMED_HEADER) <= set(names):
        return None
    session, item, time = (names.index(name) for name in TIMED_HEADER)
    return session, item, time


def _timed_clicks(path: Path) -> Iterator[Click | RefusedLine]:
    lines = text_lines(path)
    _, header = next(lines)
    columns = _timed_columns(header) if isinstance(header, bytes) else None
    if columns is None:
        raise FileError("bad_header", f"{path.name}: the header is not SessionId, ItemId, Time")
    # Interned: a click costs three references and a time, not three new objects.
    names: dict[str, str] = {}
    clicks: list[tuple[int, int, str, str]] = []
    for number, line in lines:
        made = line if isinstance(line, RowRefused) else _timed_click(line, columns)
        if isinstance(made, RowRefused):
            yield RefusedLine(number - 1, made)
            continue
        session_id, item_id, ts_ms = made
        clicks.append((ts_ms, number - 1, names.setdefault(session_id, session_id), names.setdefault(item_id, item_id)))
    clicks.sort(key=lambda click: click[:2])
    places: dict[str, int] = {}
    for ts_ms, number, session_id, item_id in clicks:
        n = places.get(session_id, 0)
        places[session_id] = n + 1
        yield Click(number, session_id, n, item_id, ts_ms)


def _timed_click(line: bytes, columns: tuple[int, int, int]) -> tuple[str, str, int] | RowRefused:
    try:
        cells = [cell.strip() for cell in line.decode().split("\t")]
        session, item, time = (cells[column] for column in columns)
    except UnicodeDecodeError:
        return RowRefused("malformed_row", "not UTF-8")
    except IndexError:
        return RowRefused("malformed_row", "too few cells")
    if not (session and item and time):
        return RowRefused("missing_field", "an empty cell")
    try:
        return identifier(session), identifier(item), moment(time)
    except CellRefused as refused:
        return RowRefused(refused.code, refused.message)


def _line_clicks(path: Path, end_ms: int) -> Iterator[Click | RefusedLine]:
    ts_ms = end_ms - (count_clicks(path) - 1) * MADE_STEP_MS
    for number, line in text_lines(path):
        if isinstance(line, RowRefused):
            yield RefusedLine(number, line)
            continue
        # The digest keeps the sessions of two files apart; the number keeps equal lines of one file apart.
        session_id = f"{number}-{hashlib.blake2b(line, digest_size=6).hexdigest()}"
        for n, item in enumerate(line.split()):
            at_ms, ts_ms = ts_ms, ts_ms + MADE_STEP_MS
            try:
                yield Click(number, session_id, n, identifier(item.decode()), at_ms)
            except UnicodeDecodeError:
                yield RefusedLine(number, RowRefused("malformed_row", "not UTF-8"))
            except CellRefused as refused:
                yield RefusedLine(number, RowRefused(refused.code, refused.message))
