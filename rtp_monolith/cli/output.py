"""What a command says: JSON alone on stdout, progress on stderr, failures with a code.

Invariant: with `--json` the last line of stdout is one JSON document and nothing else goes there. It does not know
what the commands do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
import msgspec

Command = TypeVar("Command", bound=Callable[..., Any])

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


class Failure(click.ClickException):
    """The command could not do its work; `code` is stable, for scripts."""

    exit_code = FAILED

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def format_message(self) -> str:
        return f"{self.code}: {self.message}"


class Finished(click.exceptions.Exit):
    """The command has said all it had to say; only the exit code is left."""


def json_option(command: Command) -> Command:
    """Adds `--json`, passed on as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document as the last line of stdout.")(
        command
    )


def progress(text: str) -> None:
    """One line for the person who waits."""
    click.echo(text, err=True)


def emit_json(document: object) -> None:
    """The one JSON line."""
    click.echo(msgspec.json.encode(document).decode())


def error_document(code: str, message: str) -> dict[str, dict[str, str]]:
    """The form of every error, the same as over HTTP."""
    return {"error": {"code": code, "message": message}}


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned by spaces; numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(title), *(len(row[n]) for row in cells), 0) for n, title in enumerate(header)]
    numeric = [bool(rows) and all(isinstance(row[n], int | float) for row in rows) for n in range(len(header))]
    lines = [_line(list(header), widths, numeric)]
    lines.extend(_line(row, widths, numeric) for row in cells)
    return "\n".join(lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    return "" if value is None else str(value)


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    aligned = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    )
    return "  ".join(aligned).rstrip()
