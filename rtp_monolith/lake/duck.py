"""DuckDB over files of the lake: one connection in memory, small, that reaches nothing else.

Invariant: views are made of the files of one version of the journal; once closed off, a connection opens those files
and no others, and no setting can change that. It does not know what is asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from rtp_monolith.lake.journal import LakeFile
from rtp_monolith.lake.tables import SCHEMAS, TableName

MEMORY = "1GB"


def connect(scratch: Path | None = None) -> Any:
    """A connection for one thread of work; what does not fit into memory goes to `scratch`, or is refused."""
    where = "" if scratch is None else str(scratch)
    connection = duckdb.connect(
        ":memory:",
        config={
            **{"threads": 1, "memory_limit": MEMORY, "temp_directory": where},
            **{"autoinstall_known_extensions": False, "autoload_known_extensions": False},
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def view(connection: Any, name: str, table: TableName, folder: Path, files: Iterable[LakeFile]) -> None:
    """A view over files of a table, with the columns `date` and `hour` of their folders; without files an empty one."""
    paths = [str(folder / file.path) for file in files]
    if paths:
        listed = ", ".join(_quoted(path) for path in paths)
        typed = "hive_partitioning = true, hive_types = {'date': DATE, 'hour': INTEGER}"
        connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}], {typed})")
        return
    connection.register(f"no_{name}", SCHEMAS[table].empty_table())
    connection.execute(f"CREATE VIEW {name} AS SELECT *, NULL::DATE AS date, NULL::INTEGER AS hour FROM no_{name}")


def close_off(connection: Any, folder: Path, files: Iterable[LakeFile]) -> None:
    """From here on the connection reads these files and nothing else of the machine or the network."""
    listed = ", ".join(_quoted(str(folder / file.path)) for file in files)
    connection.execute(f"SET allowed_paths = [{listed}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
