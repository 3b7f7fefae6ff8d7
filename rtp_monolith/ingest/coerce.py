"""Cells of files made into the values that the contract wants: text, numbers, times, lists.

Invariant: a cell becomes exactly one value or is refused with the code that the shard itself would give; nothing is
guessed twice. It does not know which column a cell is from.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Callable

import msgspec

ID_CHARACTERS_MAX = 128
# A number below the bound is seconds, below the next milliseconds, and so on: 1e11 s is the year 5138, 1e11 ms is 1973.
SECONDS_BELOW, MILLISECONDS_BELOW, MICROSECONDS_BELOW = 1e11, 1e14, 1e17
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?\Z")
_TRUE = frozenset(("true", "t", "yes", "y", "1", "in stock", "in_stock", "instock", "available"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "out of stock", "out_of_stock", "outofstock", "unavailable"))

Coerce = Callable[[object], object]


class CellRefused(Exception):
    """The cell is not what its field needs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def text(cell: object) -> str:
    """Text; a number is its shortest text, so that an id kept as an integer stays the id."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool) or not isinstance(cell, int | float | decimal.Decimal):
        return _text_of_other(cell)
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return str(int(cell))  # columns of integers with gaps come as floats
    return str(cell)


def identifier(cell: object) -> str:
    """Text of 1 to 128 characters."""
    if type(cell) is str and len(cell) <= ID_CHARACTERS_MAX:
        return cell
    if isinstance(cell, bool | list | dict):
        raise CellRefused("wrong_type", f"not an id: {_shown(cell)}")
    value = text(cell)
    if len(value) > ID_CHARACTERS_MAX:
        raise CellRefused("too_long", f"longer than {ID_CHARACTERS_MAX} characters")
    return value


def number(cell: object) -> int | float:
    """A finite number, from text too."""
    if isinstance(cell, bool):
        raise CellRefused("wrong_type", f"not a number: {_shown(cell)}")
    if isinstance(cell, int):
        return cell
    if isinstance(cell, str) and re.fullmatch(r"\s*[+-]?\d+\s*", cell) and len(cell) < 20:
        return int(cell)
    if isinstance(cell, str) and "_" in cell:  # Python's own notation, nobody else's
        raise CellRefused("wrong_type", f"not a number: {_shown(cell)}")
    try:
        value = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise CellRefused("wrong_type", f"not a number: {_shown(cell)}") from None
    if not math.isfinite(value):
        raise CellRefused("wrong_type", f"not a finite number: {_shown(cell)}")
    return value


def whole(cell: object) -> int:
    """An integer; 3.0 is one, 3.5 is refused."""
    value = number(cell)
    if value != int(value):
        raise CellRefused("wrong_type", f"not a whole number: {_shown(cell)}")
    return int(value)


def boolean(cell: object) -> bool:
    """True and false in their usual spellings; a number (stock) is true above zero."""
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, str):
        word = cell.strip().lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    try:
        return number(cell) > 0
    except CellRefused:
        raise CellRefused("wrong_type", f"not true or false: {_shown(cell)}") from None


def milliseconds(cell: object) -> int:
    """A time already in ms since 1970."""
    if isinstance(cell, datetime.datetime | datetime.date):
        return moment(cell)
    try:
        return whole(cell)
    except CellRefused:
        raise CellRefused("bad_ts", f"not milliseconds since 1970: {_shown(cell)}") from None


def moment(cell: object) -> int:
    """A time as ms since 1970 from seconds, ms, us or ns (told apart by size), ISO 8601 text or a date value.

    Text and values without a zone are taken as UTC.
    """
    if isinstance(cell, datetime.datetime):
        return _ms(cell)
    if isinstance(cell, datetime.date):
        return _ms(datetime.datetime(cell.year, cell.month, cell.day))
    try:
        value = number(cell)
    except CellRefused:
        return _iso(cell)
    size = abs(value)
    if size < SECONDS_BELOW:
        return round(value * 1000)
    if size < MILLISECONDS_BELOW:
        return round(value)
    return round(value // 1000 if size < MICROSECONDS_BELOW else value // 1_000_000)


def texts(cell: object) -> list[str]:
    """A list of text: a list, a JSON array, or text separated by `|`; empty parts are left out."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = msgspec.json.decode(cell)
        except msgspec.DecodeError as error:
            raise CellRefused("wrong_type", f"not a JSON array: {error}") from None
    if isinstance(cell, str):
        return [part.strip() for part in cell.split("|") if part.strip()]
    if not isinstance(cell, list) or not all(isinstance(part, str | int | float) for part in cell):
        raise CellRefused("wrong_type", f"not a list of text: {_shown(cell)}")
    return [text(part) for part in cell]


def floats(cell: object) -> list[float]:
    """A list of numbers or its JSON text."""
    if isinstance(cell, str):
        try:
            cell = msgspec.json.decode(cell)
        except msgspec.DecodeError as error:
            raise CellRefused("wrong_type", f"not a JSON array: {error}") from None
    if not isinstance(cell, list):
        raise CellRefused("wrong_type", f"not an array of numbers: {_shown(cell)}")
    return [float(number(part)) for part in cell]


def attribute(cell: object) -> object:
    """Text, number, boolean or a list of text; from text, plain numbers, true, false and JSON arrays of text are
    recognized, while leading zeros, exponents and more than 15 digits stay text."""
    if isinstance(cell, bool | int):
        return cell
    if isinstance(cell, float):
        return number(cell)
    if isinstance(cell, list):
        return texts(cell)
    if not isinstance(cell, str):
        return text(cell)
    if cell in ("true", "false"):
        return cell == "true"
    if _PLAIN_NUMBER.match(cell):
        return float(cell) if "." in cell else int(cell)
    if cell.startswith("["):
        try:
            parts = msgspec.json.decode(cell, type=list[str])
        except msgspec.DecodeError:
            return cell
        return parts
    return cell


def mapping(cell: object) -> dict[str, object]:
    """An object, or its JSON text."""
    if isinstance(cell, str):
        try:
            cell = msgspec.json.decode(cell)
        except msgspec.DecodeError as error:
            raise CellRefused("wrong_type", f"not a JSON object: {error}") from None
    if not isinstance(cell, dict):
        raise CellRefused("wrong_type", f"not an object: {_shown(cell)}")
    return {str(name): value for name, value in cell.items() if value is not None}


def _text_of_other(cell: object) -> str:
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise CellRefused("wrong_type", "bytes that are not UTF-8") from None
    if isinstance(cell, bool | list | dict):
        try:
            return msgspec.json.encode(cell).decode()
        except (TypeError, ValueError):
            raise CellRefused("wrong_type", f"not plain JSON: {_shown(cell)}") from None
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    raise CellRefused("wrong_type", f"not text: {_shown(cell)}")


def _iso(cell: object) -> int:
    if isinstance(cell, str):
        try:
            return _ms(datetime.datetime.fromisoformat(cell.strip().removesuffix(" UTC")))
        except ValueError:
            pass
    raise CellRefused("bad_ts", f"not a time: {_shown(cell)}")


def _ms(value: datetime.datetime) -> int:
    if value.tzinfo is None:
        value = value.replace(tzinfo=datetime.UTC)
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (value - epoch) // datetime.timedelta(milliseconds=1)


def _shown(cell: object) -> str:
    return repr(cell)[:80]
