"""`rtp features publish|tables` on a stopped shard and on a Redis: files of every form, whole or not at all."""

from __future__ import annotations

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import zstandard

from rtp_monolith.cli import features_publish
from rtp_monolith.cli.main import run
from rtp_monolith.config import Online
from rtp_monolith.state.online.embedded import FOLDER, EmbeddedTables
from rtp_monolith.state.online.redis import RedisTables
from rtp_monolith.state.online.store import TableStore, Version
from tests.conftest import unused_port
from tests.redis_server import RedisServer

DECLARED = """
[features.user.budget]
published = "number"
meaning = "spend of a year"

[features.user.tier]
published = "text"
words = ["silver", "gold"]
meaning = "tier"

[features.item.look]
published = "vector"
length = 2
meaning = "embedding"
"""


class Place:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.data = folder, folder / "data"
        self.data.mkdir()
        self.config = folder / "shard.toml"
        self.config.write_text(DECLARED)
        self._capsys = capsys

    def file(self, name: str, content: bytes) -> Path:
        (self.folder / name).write_bytes(content)
        return self.folder / name

    def run(self, *arguments: object, code: int = 0) -> Any:
        assert run(["features", *map(str, arguments), "--config", str(self.config), "--json"]) == code
        return json.loads(self._capsys.readouterr().out.splitlines()[-1])

    def publish(self, file: Path, scope: str = "user", *options: object, code: int = 0) -> Any:
        return self.run(
            *("publish", file, "--scope", scope, "--version", "v", "--data", self.data, *options), code=code
        )

    def rows(self, scope: Any) -> dict[str, list[float]]:
        """What is read of the last version."""

        async def read() -> dict[str, list[float]]:
            store: TableStore = EmbeddedTables(self.data / FOLDER)
            versions: tuple[Version, ...] = await store.versions(scope)
            found = {
                id: np.frombuffer(row, "<f4").tolist()
                async for rows in store.scan(scope, versions[-1].id)
                for id, row in rows
            }
            await store.close()
            return found

        return asyncio.run(read())


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, capsys)


def test_files_of_every_form_say_the_same(place: Place) -> None:
    records = [{"id": "ann", "budget": 12.5, "tier": "gold"}, {"id": "7", "budget": 3.0, "tier": "silver"}]
    lines = "".join(json.dumps(each) + "\n" for each in records).encode()
    table = b"id,budget,tier\nann,12.5,gold\n7,3,silver\n"
    parquet.write_table(pa.Table.from_pylist(records), place.folder / "u.parquet")
    files = [
        place.file("u.ndjson", lines),
        place.file("u.jsonl.zst", zstandard.compress(lines)),
        place.file("u.csv", table),
        place.file("u.csv.gz", gzip.compress(table)),
        place.file("u.tsv", table.replace(b",", b"\t")),
        place.folder / "u.parquet",
    ]
    for file in files:
        done = place.publish(file)
        assert (done["rows"], done["features"]) == (2, ["user_budget", "user_tier"]), file
        assert place.rows("user") == {"ann": [12.5, 2.0], "7": [3.0, 1.0]}, file


def test_vectors_of_every_form(place: Place) -> None:
    records = [{"item_id": "a", "look": [0.5, -1.0]}, {"item_id": "b", "look": None}]
    kind = pa.schema([("item_id", pa.string()), ("look", pa.list_(pa.float32()))])
    parquet.write_table(pa.Table.from_pylist(records, kind), place.folder / "i.parquet")
    files = [
        place.folder / "i.parquet",
        place.file("i.ndjson", "\n".join(json.dumps(each) for each in records).encode()),
        place.file("i.csv", b'item_id,look\na,"[0.5, -1]"\nb,\n'),
    ]
    for file in files:
        place.publish(file, "item")
        found = place.rows("item")
        assert found["a"] == [0.5, -1.0] and np.isnan(found["b"]).all(), file


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"id": "a", "budgte": 1}', "unknown_column"),
        ('{"id": "a", "budget": "1"}', "bad_value"),
        ('{"id": "a", "budget": 1}\n{"id": "a", "budget": 2}', "duplicate_key"),
        ('{"budget": 1}', "missing_key"),
        ('{"id": "a", "budget": 1}\n{"id": ', "malformed_row"),
        ("[]", "json_array"),
        ("", "empty_table"),
        ('{"id": "a"}', "empty_table"),
    ],
)
def test_a_file_that_does_not_fit_publishes_nothing(place: Place, text: str, code: str) -> None:
    good = place.file("good.ndjson", b'{"id": "old", "budget": 1}')
    place.publish(good)
    assert place.publish(place.file("bad.ndjson", text.encode()), code=1)["error"]["code"] == code
    (table,) = place.run("tables", "--data", place.data)["tables"]
    assert table["rows"] == 1 and place.rows("user") == {"old": [1.0, pytest.approx(float("nan"), nan_ok=True)]}


def test_numbers_that_are_none_are_refused(place: Place) -> None:
    table = pa.table({"id": ["a", "b"], "budget": [1.0, float("nan")]})
    parquet.write_table(table, place.folder / "u.parquet")
    said = place.publish(place.folder / "u.parquet", code=1)["error"]
    assert (said["code"], "row 2: `budget` is nan" in said["message"]) == ("bad_value", True)


def test_what_is_published_anew_takes_the_place_of_the_old_at_once(place: Place) -> None:
    place.publish(place.file("both.ndjson", b'{"id": "a", "budget": 1, "tier": "gold"}'))
    place.publish(place.file("tier.csv", b"id,tier\na,silver\n"), "user", "--ttl", "36h", "--as-of", "2026-11-26")
    found = place.run("tables", "--data", place.data)["tables"]
    assert [(each["features"], each["ttl_ms"]) for each in found] == [
        (["user_budget"], 0),
        (["user_tier"], 36 * 3_600_000),
    ]
    assert found[1]["as_of_ms"] == 1_795_651_200_000
    place.publish(place.file("budget.csv", b"id,budget\na,2\n"))
    assert [each["features"] for each in place.run("tables", "--data", place.data)["tables"]] == [
        ["user_tier"],
        ["user_budget"],
    ]


def test_a_wrong_use_is_told_apart(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.file("u.csv", b"id,budget\na,1\n")
    said = ("features", "publish", str(file), "--scope", "user", "--version", "v", "--config", str(place.config))
    assert run(said) == 2
    assert run([*said, "--data", str(place.data), "--url", "http://127.0.0.1:1"]) == 2
    assert run([*said, "--data", str(place.data), "--ttl", "soon"]) == 2
    assert run([*said, "--data", str(place.folder / "nowhere")]) == 1
    store = EmbeddedTables(place.data / FOLDER)
    assert place.publish(file, code=1)["error"]["code"] == "data_locked"
    asyncio.run(store.close())
    place.config.write_text("")
    assert place.publish(file, code=1)["error"]["code"] == "no_published_features"


def test_large_files_go_in_batches(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_publish, "DIRECT_ROWS", 100)
    text = "id,budget\n" + "".join(f"u{n},{n}\n" for n in range(1_050))
    assert place.publish(place.file("u.csv", text.encode()))["rows"] == 1_050
    assert len(place.rows("user")) == 1_050
    twice = place.publish(place.file("twice.csv", f"{text}u3,1\n".encode()), code=1)
    assert twice["error"]["code"] == "duplicate_key"


def test_into_the_redis_of_a_configuration(place: Place) -> None:
    server = RedisServer(place.folder, unused_port()).start()
    try:
        place.config.write_text(f'{DECLARED}[online]\nstore = "redis"\nurl = "{server.url}"\n')
        file = place.file("u.csv", b"id,budget\na,1\n")
        done = place.run("publish", file, "--scope", "user", "--version", "v")
        assert done["rows"] == 1
        (table,) = place.run("tables")["tables"]
        assert (table["scope"], table["version"]) == ("user", "v")

        async def read() -> list[bytes | None]:
            store = RedisTables(Online(store="redis", url=server.url))
            (version,) = await store.versions("user")
            rows = await store.read("user", [version.id], "a")
            await store.close()
            return rows

        assert asyncio.run(read()) == [np.array([1, np.nan], "<f4").tobytes()]
        with_data = ["features", "publish", str(file), "--scope", "user", "--version", "v", "--data", str(place.data)]
        assert run([*with_data, "--config", str(place.config)]) == 2, "the rows would not lie where it says"
    finally:
        server.stop()
