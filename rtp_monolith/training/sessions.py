"""Files of sessions → sessions of item numbers and the vocabulary that numbers stand for.

Two forms, each plain, `.gz` or `.zst`: one session per line, ids separated by spaces, oldest first; or TSV with the
header `SessionId ItemId Time` and maybe `Action` (further columns are passed over), sorted here by time, clicks of
equal time in the order of the file. An id is any run of bytes without white space; bytes that are not UTF-8 are kept
as escapes.
Invariant: nothing is passed over silently; a line that cannot be read is an error with its number. It does not know
what is trained or measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from rtp_monolith.errors import DataError
from rtp_monolith.ingest.coerce import CellRefused, moment
from rtp_monolith.ingest.files import FileError, RowRefused, text_lines

TIMED_HEADER = ("sessionid", "itemid", "time")
ACTION_HEADERS = ("action", "eventtype", "event_type", "type")
UNKNOWN = -1


class Recorded(msgspec.Struct, frozen=True):
    """Sessions as a file has them: item ids, oldest first; sessions in the order of the file, or of their first click
    when there are times. `names` are the session ids, or what stood first on each line when users were asked for, else
    empty. `times_s` has a time per click, or is None; `actions` what was done, "" where the file does not say, or is
    None."""

    sessions: list[list[str]]
    names: list[str]
    times_s: list[list[float]] | None
    actions: list[list[str]] | None = None

    def items(self) -> int:
        """Clicks in all."""
        return sum(len(session) for session in self.sessions)


class Vocabulary:
    """Item ids and their numbers, in the order of first appearance."""

    def __init__(self, items: Iterable[str] = ()) -> None:
        self.number: dict[str, int] = {}
        for item in items:
            self.number.setdefault(item, len(self.number))

    @classmethod
    def of(cls, sessions: Iterable[Iterable[str]]) -> Vocabulary:
        return cls(item for session in sessions for item in session)

    def __len__(self) -> int:
        return len(self.number)

    def ids(self) -> list[str]:
        """By number."""
        return list(self.number)

    def encode(self, session: Sequence[str]) -> list[int]:
        """Numbers, UNKNOWN for an id that is not here."""
        return [self.number.get(item, UNKNOWN) for item in session]


def read(path: Path, *, users: bool = False) -> Recorded:
    """The sessions of a file; with `users` the first id of each line names the user (in a TSV SessionId does).

    Raises DataError: `empty_file`, `bad_header`, `bad_line`, `bad_compression`, `file_unreadable`.
    """
    try:
        recorded = _timed(path) if _is_timed(path) else _lines(path, users)
    except FileError as error:
        raise DataError(str(error), code=error.code) from error
    except OSError as error:
        raise DataError(f"{path.name}: {error.strerror or error}", code="file_unreadable") from error
    if not recorded.sessions:
        raise DataError(f"{path.name} has no session", code="empty_file")
    return recorded


def _columns(line: bytes) -> tuple[int, int, int, int | None] | None:
    """Where session, item, time and, if there is one, the action stand."""
    names = [cell.strip().strip('"').lower() for cell in line.decode(errors="backslashreplace").split("\t")]
    if not set(TIMED_HEADER) <= set(names):
        return None
    session, item, time = (names.index(name) for name in TIMED_HEADER)
    action = next((names.index(name) for name in ACTION_HEADERS if name in names), None)
    return session, item, time, action


def _is_timed(path: Path) -> bool:
    for _, line in text_lines(path):
        if not isinstance(line, bytes):
            return False
        if b"\t" in line and _columns(line) is None and line.lower().startswith((b"sessionid", b"session_id")):
            raise DataError(f"{path.name}: the header is not SessionId, ItemId, Time", code="bad_header")
        return _columns(line) is not None
    return False


def _lines(path: Path, users: bool) -> Recorded:
    interned: dict[bytes, str] = {}
    sessions: list[list[str]] = []
    for number, line in text_lines(path):
        if isinstance(line, RowRefused):
            raise DataError(f"{path.name}, line {number}: {line.message}", code="bad_line")
        session = []
        for cell in line.split():
            text = interned.get(cell)
            if text is None:
                text = interned[cell] = cell.decode(errors="backslashreplace")
            session.append(text)
        sessions.append(session)
    if not users:
        return Recorded(sessions, [], None)
    return Recorded([each[1:] for each in sessions], [each[0] for each in sessions], None)


def _timed(path: Path) -> Recorded:
    lines = text_lines(path)
    _, header = next(lines)
    columns = _columns(header) if isinstance(header, bytes) else None
    assert columns is not None
    *places_of, action_at = columns
    interned: dict[str, str] = {}
    clicks: list[tuple[float, int, str, str, str]] = []
    for number, line in lines:
        if isinstance(line, RowRefused):
            raise DataError(f"{path.name}, line {number}: {line.message}", code="bad_line")
        cells = [cell.strip() for cell in line.decode(errors="backslashreplace").split("\t")]
        try:
            session, item, time = (cells[column] for column in places_of if column is not None)
            # An empty last cell is cut off with the line's end.
            action = "" if action_at is None or action_at >= len(cells) else cells[action_at].lower()
        except IndexError:
            raise DataError(f"{path.name}, line {number}: too few cells", code="bad_line") from None
        if not (session and item):
            raise DataError(f"{path.name}, line {number}: an empty cell", code="bad_line")
        at_s = _seconds(time, path, number)
        session, item, action = (interned.setdefault(cell, cell) for cell in (session, item, action))
        clicks.append((at_s, number, session, item, action))
    clicks.sort(key=lambda click: click[:2])
    places: dict[str, int] = {}
    sessions: list[list[str]] = []
    times_s: list[list[float]] = []
    actions: list[list[str]] = []
    for at_s, _, session, item, action in clicks:
        place = places.setdefault(session, len(places))
        if place == len(sessions):
            sessions.append([])
            times_s.append([])
            actions.append([])
        sessions[place].append(item)
        times_s[place].append(at_s)
        actions[place].append(action)
    return Recorded(sessions, list(places), times_s, None if action_at is None else actions)


def _seconds(text: str, path: Path, number: int) -> float:
    """Epoch seconds; a date in words is understood as `rtp import` does."""
    try:
        value = float(text)
        if math.isfinite(value):
            return value
    except ValueError:
        try:
            return moment(text) / 1000
        except CellRefused:
            pass
    raise DataError(f"{path.name}, line {number}: {text!r} is no time", code="bad_line")


def read_attributes(path: Path) -> dict[str, list[str]]:
    """`{item: [attribute, …]}` as JSON. Raises DataError `bad_attributes`."""
    from rtp_monolith.ingest.files import open_bytes

    try:
        with open_bytes(path) as stream:
            found = msgspec.json.decode(stream.read())
    except Exception as error:
        raise DataError(f"{path.name} is not JSON of attributes: {error}", code="bad_attributes") from error
    if not isinstance(found, dict):
        raise DataError(f"{path.name} is not an object of items", code="bad_attributes")
    described: dict[str, list[str]] = {}
    for item, own in found.items():
        values = own if isinstance(own, list) else [own]
        if not all(isinstance(value, str | int | float) for value in values):
            raise DataError(
                f"{path.name}: item {item} has an attribute that is no text or number", code="bad_attributes"
            )
        described[item] = list(dict.fromkeys(str(value) for value in values))
    return described
