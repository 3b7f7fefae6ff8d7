"""Training rows in the lake: a run whole or not at all, each row once, another instead, read by SQL and Iceberg."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rtp_monolith.errors import LakeError
from rtp_monolith.lake import iceberg, upkeep
from rtp_monolith.lake.journal import Lake, Windows, load
from rtp_monolith.lake.query import query
from rtp_monolith.lake.tables import TRAINING
from rtp_monolith.lake.training_rows import CARD, shelve

WINDOWS = Windows(1_800_000, 3_600_000, 86_400_000)
HOUR_MS = 3_600_000
BEGAN_MS = 490_000 * HOUR_MS
PLAIN = [field for field in TRAINING if field.name != "ts"]


def rows_of(moments: list[int], **features: list[float]) -> pa.Table:
    """Rows as the dataset writes them: plain columns, then a column for each feature that is never null."""
    plain: dict[str, Any] = {
        field.name: pa.array([0] * len(moments), field.type) if field.type != pa.string() else
        pa.array([f"{field.name}{n}" for n in range(len(moments))])
        for field in PLAIN
    }  # fmt: skip
    plain["as_of_ms"] = pa.array([BEGAN_MS + moment for moment in moments], pa.int64())
    schema = [*(pa.field(name, column.type) for name, column in plain.items())]
    schema += [pa.field(name, pa.float32(), False, {"fingerprint": "f"}) for name in features]
    columns = [*plain.values(), *(pa.array(values, pa.float32()) for values in features.values())]
    return pa.Table.from_arrays(columns, schema=pa.schema(schema))


def written(folder: Path, *parts: pa.Table, complete: bool = True) -> Path:
    folder.mkdir()
    listed = []
    for number, part in enumerate(parts):
        name = f"part-{number:05d}.parquet"
        parquet.write_table(part, folder / name)
        digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        listed.append({"file": name, "sha256": digest, "rows": len(part), "bytes": 1})
    (folder / CARD).write_bytes(msgspec.json.encode({"parts": listed, "complete": complete, "format": 1}))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two parts, three hours: the second part goes on in the hour in which the first ends."""
    first = rows_of([0, 1, HOUR_MS], user_age=[1.0, 2.0, 3.0])
    return written(tmp_path / "run", first, rows_of([HOUR_MS + 5, 30 * HOUR_MS], user_age=[4.0, 5.0]))


def asked(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    return query(folder, sql).rows


def test_rows_lie_by_hour_with_their_moment(tmp_path: Path, run: Path) -> None:
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        shelved = shelve(lake, run, 0)
    assert (shelved.rows, shelved.files, shelved.replaced, shelved.changed) == (5, 4, 0, True)
    found = asked(
        tmp_path / "lake", "select hour, count(*), sum(user_age) from training group by date, hour order by 3"
    )
    hour = BEGAN_MS // HOUR_MS % 24
    assert found == [(hour, 2, 3.0), ((hour + 6) % 24, 1, 5.0), ((hour + 1) % 24, 2, 7.0)]
    (moments,) = asked(tmp_path / "lake", "select count(*) from training where epoch_ms(ts) = as_of_ms")
    assert moments == (5,)
    names = query(tmp_path / "lake", "select * from training").columns
    assert names == [*TRAINING.names, "user_age", "date", "hour"]


def test_the_same_run_again_changes_nothing_and_another_takes_its_place(tmp_path: Path, run: Path) -> None:
    other = written(tmp_path / "other", rows_of([7], item_price=[9.0]))
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        shelve(lake, run, 0)
        version = lake.journal.version
        assert shelve(lake, run, 0).changed is False and lake.journal.version == version
        shelved = shelve(lake, other, 0)
        assert (shelved.rows, shelved.replaced, len(lake.journal.retired)) == (1, 4, 4)
        assert lake.sweep() == 0, "what was replaced stays for those who read it"
    assert asked(tmp_path / "lake", "select item_price from training") == [(9.0,)]


@pytest.mark.parametrize("spoil", ["gone", "turned", "open", "none"])
def test_what_is_no_finished_run_leaves_the_lake_as_it_was(tmp_path: Path, run: Path, spoil: str) -> None:
    bad = written(
        tmp_path / "bad", rows_of([0], user_age=[1.0]), rows_of([1], user_age=[1.0]), complete=spoil != "open"
    )
    if spoil == "gone":
        (bad / "part-00001.parquet").unlink()
    if spoil == "turned":
        data = bytearray((bad / "part-00001.parquet").read_bytes())
        data[20] ^= 1
        (bad / "part-00001.parquet").write_bytes(data)
    if spoil == "none":
        (bad / CARD).unlink()
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        shelve(lake, run, 0)
        with pytest.raises(LakeError) as refused:
            shelve(lake, bad, 0)
        assert refused.value.code == "rows_unreadable"
    assert asked(tmp_path / "lake", "select count(*) from training") == [(5,)]
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        assert len(list((lake.folder / "training").glob("date=*/hour=*/*.parquet"))) == 4, "the rest was swept"


def test_retention_takes_old_hours_and_merging_leaves_them(tmp_path: Path, run: Path) -> None:
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        shelve(lake, run, 0)
        assert upkeep.compact(lake, 1_000, 0, everything=True) == upkeep.Compacted(0, 0)
        lake.commit([], [], 0, latest_us=(BEGAN_MS + 30 * HOUR_MS) * 1_000)
        assert upkeep.retain(lake, 1, 0) == 3
    assert asked(tmp_path / "lake", "select user_age from training") == [(5.0,)]


def test_a_lake_without_rows_has_an_empty_table(tmp_path: Path) -> None:
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        lake.commit([], [], 0)
    assert asked(tmp_path / "lake", "select count(*), count(label_click) from training") == [(0, 0)]


def test_iceberg_knows_the_columns_of_every_run(tmp_path: Path, run: Path) -> None:
    other = written(tmp_path / "other", rows_of([7], item_price=[9.0]))
    uri = f"sqlite:///{tmp_path / 'catalog.db'}"
    with Lake(tmp_path / "lake", WINDOWS) as lake:
        shelve(lake, run, 0)
        iceberg.register(lake, uri, 0)
        table = iceberg.open_catalog(uri, lake.folder).load_table("rtp.training")
        assert sorted(table.scan().to_arrow().column("user_age").to_pylist()) == [1.0, 2.0, 3.0, 4.0, 5.0]
        shelve(lake, other, 0)
        iceberg.register(lake, uri, 0)
        rows = iceberg.open_catalog(uri, lake.folder).load_table("rtp.training").scan().to_arrow()
        assert (rows.column("item_price").to_pylist(), rows.column("user_age").to_pylist()) == ([9.0], [None])
        assert load(lake.folder).catalogs[uri] == lake.journal.version - 1
