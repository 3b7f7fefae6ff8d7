"""SQL over a lake: one SELECT, through DuckDB, on the committed files of one version.

Invariant: a query reads `events`, `impressions`, `rewards` and `training` and nothing else; it writes nothing anywhere.
It does not know how an answer is printed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import msgspec

from rtp_monolith.errors import LakeError
from rtp_monolith.lake import duck
from rtp_monolith.lake.journal import load
from rtp_monolith.lake.tables import TABLES

READING = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


class Answer(msgspec.Struct, frozen=True):
    """Columns by name, each name once, with DuckDB's types; rows as DuckDB gives them."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]


def query(folder: Path, sql: str) -> Answer:
    """The answer to one statement. Raises LakeError: `query_forbidden` for anything but one SELECT, `bad_query` with
    DuckDB's words, `lake_missing`.
    """
    journal = load(folder)
    with duck.connect() as connection:
        for table in TABLES:
            duck.view(connection, table, table, folder, journal.of(table))
        duck.close_off(connection, folder, journal.files)
        try:
            _check(connection, sql)
            result = connection.execute(sql)
            columns = _distinct([name for name, *_ in result.description])
            types = [str(kind) for _, kind, *_ in result.description]
            return Answer(columns, types, result.fetchall())
        except duckdb.Error as error:
            raise LakeError(str(error), code="bad_query") from None


def _check(connection: Any, sql: str) -> None:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise LakeError(f"{len(statements)} statements: give one SELECT", code="query_forbidden")
    kind = statements[0].type
    if kind not in READING or (kind == duckdb.StatementType.EXPLAIN and "analyze" in sql.lower().split()[1:2]):
        raise LakeError(f"{kind.name} is not a SELECT: a lake is only read", code="query_forbidden")


def _distinct(names: list[str]) -> list[str]:
    """Repeated names with a number."""
    found: dict[str, int] = {}
    out = []
    for name in names:
        found[name] = found.get(name, 0) + 1
        out.append(name if found[name] == 1 else f"{name}_{found[name]}")
    return out
