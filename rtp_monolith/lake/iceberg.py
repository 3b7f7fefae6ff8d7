"""The lake as Iceberg tables of an SQL catalog, `rtp.events` and so on, through pyiceberg.

The Parquet files stay where they are; a table lists them, partitioned by the hour of `ts`. Invariant: after `register`
each table's current snapshot lists exactly the files of the journal: what a compaction or retention replaced leaves the
table in the snapshot in which its successor enters. Registering again changes nothing, also after a crash between two
tables. It does not know who reads the tables.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchTableError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, TableProperties
from pyiceberg.transforms import HourTransform
from sqlalchemy.exc import SQLAlchemyError

from rtp_monolith.errors import LakeError
from rtp_monolith.lake.journal import Journal, Lake
from rtp_monolith.lake.tables import SCHEMAS, TABLES, TableName
from rtp_monolith.lake.training_rows import columns_of

NAMESPACE = "rtp"
CATALOG = "rtp"
WAREHOUSE = "iceberg"
SNAPSHOTS_KEPT = 20


class Registered(msgspec.Struct, frozen=True):
    """What one registration changed; `files` is what the tables list afterwards."""

    added: int
    removed: int
    files: int


def open_catalog(uri: str, folder: Path) -> Catalog:
    """The catalog of a lake, made when it is not there. Raises LakeError `bad_catalog`."""
    if not uri.startswith("sqlite:///"):
        raise LakeError(f"{uri!r} is not sqlite:///FILE", code="bad_catalog")
    warehouse = (folder / WAREHOUSE).absolute()
    warehouse.mkdir(parents=True, exist_ok=True)
    try:
        catalog = SqlCatalog(CATALOG, uri=uri, warehouse=f"file://{warehouse}")
        catalog.create_namespace_if_not_exists(NAMESPACE)
    except SQLAlchemyError as error:
        raise LakeError(f"{uri}: {error.args[0] if error.args else error}", code="bad_catalog") from None
    return catalog


def register(lake: Lake, uri: str, now_ms: int) -> Registered:
    """Brings the tables of a catalog to the lake's version."""
    journal = lake.journal
    catalog = open_catalog(uri, lake.folder)
    added = removed = 0
    for name in TABLES:
        table = _table(catalog, name)
        if name == "training":
            table = _widened(table, journal, lake.folder)
        more, fewer = _bring(table, journal, name, lake.folder)
        added, removed = added + more, removed + fewer
    # The version that is noted is the one that was read: what is committed meanwhile is told the next time.
    known = journal.catalogs.get(uri, -1)
    if added or removed or known < 0 or any(each.version > known for each in journal.retired):
        lake.commit([], [], now_ms, catalogs={**journal.catalogs, uri: journal.version})
    return Registered(added, removed, len(journal.files))


def forget(lake: Lake, uri: str, now_ms: int) -> None:
    """No longer keeps replaced files for this catalog; its tables stay as they are."""
    catalogs = {name: version for name, version in lake.journal.catalogs.items() if name != uri}
    lake.commit([], [], now_ms, catalogs=catalogs)


def _table(catalog: Catalog, name: TableName) -> Table:
    identifier = f"{NAMESPACE}.{name}"
    try:
        table = catalog.load_table(identifier)
    except NoSuchTableError:
        table = catalog.create_table(
            identifier, SCHEMAS[name], properties={"write.metadata.delete-after-commit.enabled": "true"}
        )
    if table.spec().is_unpartitioned():
        with table.update_spec() as change:
            change.add_field("ts", HourTransform(), "ts_hour")
    if table.metadata.name_mapping() is None:
        # Files carry no Iceberg field ids: columns are known by their names.
        with table.transaction() as change_of_table:
            mapping = table.schema().name_mapping.model_dump_json()
            change_of_table.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
    return table


def _widened(table: Table, journal: Journal, folder: Path) -> Table:
    """With a column for each feature that the rows have; columns of earlier runs stay and are null."""
    schema = columns_of(folder, journal.of("training"))
    if not set(schema.names) <= set(table.schema().column_names):
        with table.update_schema() as change:
            change.union_by_name(schema.remove_metadata())
        mapping = table.schema().name_mapping.model_dump_json()
        with table.transaction() as change_of_table:
            change_of_table.set_properties({TableProperties.DEFAULT_NAME_MAPPING: mapping})
    return table


def listed(table: Table) -> dict[str, DataFile]:
    """The files of a table's current snapshot by their addresses."""
    return {task.file.file_path: task.file for task in table.scan().plan_files()}


def _bring(table: Table, journal: Journal, name: TableName, folder: Path) -> tuple[int, int]:
    """One snapshot that makes the table list the files of the journal; (added, removed)."""
    # Not as_uri: a quoted `=` is taken for a part of the name.
    wanted = {f"file://{(folder / file.path).absolute()}" for file in journal.of(name)}
    present = listed(table)
    new = sorted(wanted - present.keys())
    old = sorted(present.keys() - wanted)
    if not new and not old:
        return 0, 0
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as snapshot:
        for address in new:
            snapshot.append_data_file(parquet_file_to_data_file(table.io, transaction.table_metadata, address))
        for address in old:
            snapshot.delete_data_file(present[address])
    _expire(table)
    return len(new), len(old)


def _expire(table: Table) -> None:
    """Old snapshots list files that are gone from the disk soon after they were replaced."""
    snapshots = sorted(table.metadata.snapshots, key=lambda each: each.timestamp_ms)
    old = [each.snapshot_id for each in snapshots[:-SNAPSHOTS_KEPT]]
    if old:
        table.maintenance.expire_snapshots().by_ids(old).commit()
