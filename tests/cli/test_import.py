"""`rtp import`: files into a shard, with the report."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.cli import sinks
from rtp_monolith.cli.import_ import Counts, run_import
from rtp_monolith.errors import NativeError, RtpError
from rtp_monolith.ingest.batches import Batch, Encoded
from rtp_monolith.ingest.columns import Kind

from .fake_shard import FakeShard
from .fake_state import Shards

Rtp = Callable[..., tuple[int, Any]]

CSV = (
    "session,action,product_id,timestamp,price,secret\n"
    "s1,click,a,1593536687,9.5,x\n"
    "s1,click,b,1593536688,,x\n"
    "s2,fly,a,1593536689,1,x\n"
    "s2,click,a,soon,1,x\n"
    "s2,view\n"
    "s2,view,c,1593536690,2,x\n"
)


@pytest.fixture
def events(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_text(CSV)
    return path


def test_the_report_accounts_for_every_row_and_column(rtp: Rtp, shard: FakeShard, events: Path) -> None:
    code, report = rtp("import", "events", events, "--url", shard.url, "--map", "secret=", "--json")
    assert code == 0
    took = {name: report.pop(name) for name in ("took_s", "rows_per_s")}
    assert took["rows_per_s"] > 0
    columns = {one.pop("column"): one for one in report.pop("columns")}
    assert report == {
        "kind": "events",
        "file": "events.csv",
        "format": "csv",
        "dry_run": False,
        "rows": 6,
        "accepted": 3,
        "duplicates": 0,
        "rejected": {"bad_ts": 1, "malformed_row": 1, "unknown_event_type": 1},
        "examples": [
            {"row": 4, "code": "bad_ts", "message": "timestamp: not a time: 'soon'"},
            {"row": 5, "code": "malformed_row", "message": "2 cells under 6 columns"},
            {"row": 3, "code": "unknown_event_type", "message": "refused"},
        ],
        "ignored": ["secret"],
        "made": {"event_id": 4},
        "next_row": 7,
        "position": "p3",
    }
    assert columns["price"] == {
        "field": "props.price",
        "types": ["text"],
        "taken": 4,
        "empty": 1,
        "refused": {},
        "example": None,
    }
    assert columns["timestamp"]["refused"] == {"bad_ts": 1}
    first = next(iter(shard.seen["s1"].values()))
    assert (first["item_id"], first["ts_ms"], first["props"]) == ("a", 1_593_536_687_000, {"price": "9.5"})


def test_importing_twice_counts_once(rtp: Rtp, shard: FakeShard, events: Path) -> None:
    rtp("import", "events", events, "--url", shard.url, "--json")
    code, report = rtp("import", "events", events, "--url", shard.url, "--json")
    assert (code, report["accepted"], report["duplicates"]) == (0, 0, 3)


def test_skipped_rows_keep_their_numbers_and_ids(rtp: Rtp, shard: FakeShard, events: Path) -> None:
    rtp("import", "events", events, "--url", shard.url, "--skip-rows", "1", "--json")
    _, report = rtp("import", "events", events, "--url", shard.url, "--json")
    assert (report["accepted"], report["duplicates"]) == (1, 2)


def test_a_dry_run_opens_a_temporary_folder_and_sends_nothing(
    rtp: Rtp, shard: FakeShard, shards: Shards, events: Path
) -> None:
    code, report = rtp("import", "events", events, "--dry-run", "--url", shard.url, "--json")
    assert code == 0
    assert (report["dry_run"], report["accepted"], report["position"]) == (True, 3, "")
    assert shard.requests == []
    assert not shards.opened[0].exists()
    assert shards.states[0].closed


def test_into_the_folder_of_a_stopped_shard(rtp: Rtp, shards: Shards, events: Path, tmp_path: Path) -> None:
    code, report = rtp("import", "events", events, "--data", tmp_path / "new", "--json")
    assert (code, report["accepted"]) == (0, 3)
    assert shards.opened == [tmp_path / "new"]
    assert shards.states[0].closed


@pytest.mark.parametrize("locked", [NativeError("log_locked", "held"), RtpError("held", code="data_locked")])
def test_the_folder_of_a_running_shard_is_refused(
    rtp: Rtp, shards: Shards, events: Path, tmp_path: Path, locked: RtpError
) -> None:
    shards.locked = locked
    code, answer = rtp("import", "events", events, "--data", tmp_path, "--json")
    assert (code, answer["error"]["code"]) == (1, "data_locked")
    assert "--url" in answer["error"]["message"]


def test_items_and_users_are_put(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    items = tmp_path / "items.jsonl"
    items.write_text('{"id":1,"title":"A","colour":"red"}\n{"id":2,"title":"B"}\n')
    users = tmp_path / "users.tsv"
    users.write_text("user_id\tcountry\nu\tNL\n")
    assert rtp("import", "items", items, "--url", shard.url, "--json")[1]["accepted"] == 2
    assert rtp("import", "users", users, "--url", shard.url, "--json")[1]["accepted"] == 1
    assert shard.records["items"][0] == {"id": "1", "title": "A", "attributes": {"colour": "red"}}
    assert shard.records["users"] == [{"id": "u", "attributes": {"country": "NL"}}]


def test_sessions_become_clicks_in_time_order(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    timed = tmp_path / "t.txt"
    timed.write_text("SessionId\tItemId\tTime\nx\tb\t20\nx\ta\t10\ny\tc\tsoon\n")
    code, report = rtp("import", "sessions", timed, "--url", shard.url, "--json")
    assert (code, report["rows"], report["accepted"], report["rejected"]) == (0, 3, 2, {"bad_ts": 1})
    assert report["examples"] == [{"row": 1, "code": "bad_ts", "message": "line 3: not a time: 'soon'"}]
    assert [(one["item_id"], one["ts_ms"]) for one in shard.seen["x"].values()] == [("a", 10_000), ("b", 20_000)]


def test_lines_of_sessions_end_when_asked(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("a b\nc\n")
    end = "2020-06-30T17:04:47Z"
    code, report = rtp("import", "sessions", lines, "--url", shard.url, "--end", end, "--json")
    assert (code, report["format"]) == (0, "lines")
    assert report["made"] == {"event_id": 3, "session_id": 3, "ts_ms": 3}
    last = max(event["ts_ms"] for mine in shard.seen.values() for event in mine.values())
    assert last == 1_593_536_687_000
    assert rtp("import", "sessions", lines, "--url", shard.url, "--json")[1]["duplicates"] == 3


def test_without_json_the_report_is_a_table(rtp: Rtp, shard: FakeShard, events: Path) -> None:
    code, out = rtp("import", "events", events, "--url", shard.url)
    assert code == 0
    assert "6 rows, 3 accepted, 0 duplicates, 3 rejected" in out
    assert "rejected: bad_ts=1 malformed_row=1 unknown_event_type=1" in out
    assert "made by us: event_id of 4 rows" in out


def test_when_nothing_is_taken_the_command_failed(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"session_id":"s","event_type":"fly","ts_ms":5}\n')
    code, report = rtp("import", "events", path, "--url", shard.url, "--json")
    assert (code, report["rejected"]) == (1, {"unknown_event_type": 1})


def test_an_unknown_type_is_named_by_the_user(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"session_id":"s","event_type":"pv","item_id":"i","ts_ms":5}\n{"session_id":"s","ts_ms":6}\n')
    options = ["--event-type", "pv=view", "--set", "event_type=search"]
    assert rtp("import", "events", path, "--url", shard.url, *options, "--json")[1]["accepted"] == 2
    assert [one["event_type"] for one in shard.seen["s"].values()] == ["view", "search"]


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--url", "http://127.0.0.1:1", "--data", "x"],
        ["--url", "http://127.0.0.1:1", "--map", "price"],
        ["--url", "http://127.0.0.1:1", "--map", "price=cost"],
        ["--url", "http://127.0.0.1:1", "--set", "=x"],
        ["--url", "http://127.0.0.1:1", "--format", "xml"],
        ["--url", "http://127.0.0.1:1", "--skip-rows", "-1"],
    ],
)
def test_wrong_use(rtp: Rtp, events: Path, args: list[str]) -> None:
    assert rtp("import", "events", events, *args)[0] == 2


def test_a_bad_end_is_wrong_use(rtp: Rtp, events: Path) -> None:
    assert rtp("import", "sessions", events, "--url", "http://127.0.0.1:1", "--end", "soon")[0] == 2


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [("a", b"??", "unknown_format"), ("a.csv.gz", b"no gzip", "bad_compression"), ("a.json", b"[1]", "json_array")],
)
def test_a_file_that_cannot_be_read(
    rtp: Rtp, shard: FakeShard, tmp_path: Path, name: str, data: bytes, code: str
) -> None:
    (tmp_path / name).write_bytes(data)
    exit_code, answer = rtp("import", "items", tmp_path / name, "--url", shard.url, "--json")
    assert (exit_code, answer["error"]["code"]) == (1, code)


def test_no_shard_at_the_address(rtp: Rtp, events: Path) -> None:
    code, answer = rtp("import", "events", events, "--url", "http://127.0.0.1:1", "--json")
    assert (code, answer["error"]["code"]) == (1, "unreachable")


def test_a_config_that_is_wrong(rtp: Rtp, shards: Shards, events: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("nonsense = 1\n")
    code, answer = rtp("import", "events", events, "--data", tmp_path, "--config", config, "--json")
    assert (code, answer["error"]["code"]) == (1, "bad_config")


def test_an_interrupted_import_says_where_to_go_on() -> None:
    counts = Counts()
    told: list[str] = []

    def send(kind: Kind, batch: Batch) -> sinks.Answer:
        if batch.numbers[0] > 1_000:
            raise KeyboardInterrupt
        return sinks.Answer(1_000, 0, [], "p")

    records = (Encoded(n, b"{}", "") for n in range(1, 3_001))
    with pytest.raises(KeyboardInterrupt):
        run_import(send, "events", records, counts, ahead=False, tell=told.append)
    assert told == ["stopped; all rows before 1001 are answered, go on with --skip-rows 1000"]


def test_a_key_from_the_environment(rtp: Rtp, shard: FakeShard, events: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RTP_KEY", "from-env")
    rtp("import", "events", events, "--url", shard.url, "--json")
    assert shard.requests[0][2]["Authorization"] == "Bearer from-env"


def test_real_sessions_of_diginetica(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    folder = os.environ.get("RTP_DATA")
    if folder is None:
        pytest.skip("RTP_DATA is not set: no real sessions to read")
    file = Path(folder) / "diginetica" / "test_sessions.txt.zst"
    code, report = rtp("import", "sessions", file, "--url", shard.url, "--json")
    assert (code, len(shard.seen), report["rejected"]) == (0, 15_963, {})
    assert report["rows"] == report["accepted"] == 15_963 + 60_858
