"""CONTRACT section 5: the commands, their exit codes, and the JSON that ends their output."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.conftest import RTP, StartShard, unused_port
from tests.contract.conftest import Talk, event, fresh, now_ms


def rtp(*args: str, code: int = 0) -> tuple[str, str]:
    """stdout and stderr of a command that must end with this code."""
    done = subprocess.run([*RTP, *args], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def rtp_json(*args: str, code: int = 0) -> Any:
    """The JSON of a command: alone on stdout."""
    out, _ = rtp(*args, "--json", code=code)
    (line,) = out.splitlines()
    return json.loads(line)


def lines(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return str(path)


def test_import_into_a_running_shard(talk: Talk, tmp_path: Path) -> None:
    url, session = talk.shard.url, fresh()
    items = lines(tmp_path / "items.jsonl", {"id": "im1", "title": "t", "price": 2.5}, {"id": "im2"})
    rtp_json("import", "items", items, "--url", url)
    assert talk.expect(200, "GET", "/v1/items/im1") == {"id": "im1", "title": "t", "price": 2.5}
    sent = [event(session_id=session, item_id=item) for item in ("im1", "im2")]
    packed = tmp_path / "events.jsonl.gz"
    packed.write_bytes(gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in sent)))
    rtp_json("import", "events", str(packed), "--url", url)
    assert talk.state(session)["counts"] == {"click": 2}
    user = fresh("u")
    rtp_json("import", "users", lines(tmp_path / "u.jsonl", {"id": user, "features": {"ltv": 2}}), "--url", url)
    assert talk.state(user)["features"]["ltv"] == 2


def test_import_of_a_table(talk: Talk, tmp_path: Path) -> None:
    table = tmp_path / "items.csv"
    table.write_text("id,title,price,color\ncsv1,First,3.5,red\ncsv2,Second,4,blue\n")
    rtp_json("import", "items", str(table), "--url", talk.shard.url)
    item = talk.expect(200, "GET", "/v1/items/csv1")
    assert (item["title"], item["price"], item["attributes"]) == ("First", 3.5, {"color": "red"})


def test_import_and_look_at_a_stopped_shard(start_shard: StartShard, tmp_path: Path) -> None:
    data, packed = tmp_path / "stopped", tmp_path / "sessions.txt.zst"
    packed.write_bytes(zstandard.compress(b"a b c\nb c\n"))
    rtp_json("import", "sessions", str(packed), "--data", str(data))
    bad = event("teleport", session_id="s", item_id="a")
    rtp_json(
        "import", "events", lines(tmp_path / "e.jsonl", event(session_id="s", item_id="a"), bad), "--data", str(data)
    )
    listed = rtp_json("deadletters", "list", "--data", str(data))["dead_letters"]
    assert [each["code"] for each in listed] == ["unknown_event_type"]
    letter = str(listed[0]["id"])
    assert rtp_json("deadletters", "show", letter, "--data", str(data))["code"] == "unknown_event_type"
    shown = rtp_json("state", "show", "s", "--data", str(data))
    assert shown["counts"] == {"click": 1}
    rtp_json("state", "rebuild", "--data", str(data))
    rtp_json("state", "verify", "--data", str(data))
    other = Talk(start_shard(data=data))
    assert other.state("s")["counts"] == {"click": 1}
    assert set(other.ids("new", k=10)) == {"a", "b", "c"}
    url = other.shard.url
    assert rtp_json("deadletters", "list", "--url", url)["dead_letters"][0]["id"] == listed[0]["id"]
    assert rtp_json("state", "show", "s", "--url", url)["user_id"] == "s"
    rtp_json("import", "items", lines(tmp_path / "i.jsonl", {"id": "x"}), "--data", str(data), code=1)


def test_letters_are_sent_again(talk: Talk) -> None:
    session = fresh()
    early = event("click", session_id=session, item_id="a", ts_ms=now_ms() + 301_500)
    assert talk.send(early)["rejected"][0]["code"] == "ts_in_future"
    time.sleep(1.7)
    rtp_json("deadletters", "replay", "--code", "ts_in_future", "--url", talk.shard.url)
    assert talk.state(session)["counts"] == {"click": 1}


@pytest.mark.parametrize("form", ["sessions", "tsv", "events"])
def test_replay_plays_a_file_as_traffic(talk: Talk, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"file.{'jsonl' if form == 'events' else 'tsv' if form == 'tsv' else 'txt'}"
    if form == "events":
        session = fresh()
        lines(path, *(event(session_id=session, item_id=f"r{n}", ts_ms=now_ms() - 1000 + n) for n in range(4)))
    elif form == "tsv":
        path.write_text(
            "SessionId\tItemId\tTime\n1\tr1\t1700000000\n1\tr2\t1700000010\n2\tr1\t1700000020\n2\tr2\t1700000030\n"
        )
    else:
        path.write_text("r1 r2 r3\nr1 r2\n")
    report = rtp_json("replay", "http", str(path), "--url", talk.shard.url)
    assert isinstance(report, dict) and report


@pytest.mark.parametrize(
    ("part", "figures"),
    [
        ("rank", {"requests_per_s", "p50_ms", "p99_ms"}),
        ("ingest", {"events_per_s", "ack_p99_ms"}),
        ("visible", {"pairs", "stale"}),
    ],
)
def test_bench_prints_its_figures_and_the_floor(part: str, figures: set[str]) -> None:
    report = rtp_json("bench", part, "--seconds", "0.5", "--items", "500", "--users", "100")
    assert figures <= set(report) and isinstance(report["floor"], dict) and report["floor"]
    assert all(isinstance(report[name], int | float) for name in figures)
    if part == "visible":
        assert report["pairs"] > 0 and report["stale"] == 0


@pytest.mark.parametrize(
    "args",
    [
        ["frobnicate"],
        ["serve"],
        ["serve", "--data", "d"],
        ["serve", "--data", "d", "--port", "http"],
        ["serve", "--data", "d", "--port", "1", "--clock", "sand"],
        ["serve", "--data", "d", "--port", "1", "--config", "no such file"],
        ["import", "events", "no such file", "--data", "d"],
        ["import", "events", __file__],
        ["import", "events", __file__, "--data", "d", "--url", "http://127.0.0.1:1"],
        ["import", "feelings", __file__, "--data", "d"],
        ["replay", "http", __file__],
        ["deadletters", "list"],
        ["bench", "rank", "--seconds", "-1"],
    ],
    ids=lambda args: " ".join(args)[:60],
)
def test_wrong_use_ends_with_two(args: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*RTP, *args], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert not (tmp_path / "d").exists()


def test_what_fails_ends_with_one(tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{unused_port()}"
    file = lines(tmp_path / "e.jsonl", event(item_id="a"))
    for args in (
        ["import", "events", file, "--url", nowhere],
        ["deadletters", "list", "--url", nowhere],
        ["state", "show", "x", "--url", nowhere],
        ["deadletters", "list", "--data", str(tmp_path / "none")],
    ):
        assert set(rtp_json(*args, code=1)["error"]) == {"code", "message"}


def test_help_and_version() -> None:
    assert "serve" in rtp("--help")[0]
    assert rtp("--version")[0].strip()


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_a_shard_in_order(start_shard: StartShard, sign: signal.Signals, code: int) -> None:
    shard = start_shard()
    process = shard.process
    assert process is not None
    process.send_signal(sign)
    assert process.wait(20) == code
