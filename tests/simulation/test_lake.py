"""A writer of the lake that is killed at any moment, and run again, gives every row once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from random import Random

import msgspec

from rtp_monolith.lake.journal import load
from rtp_monolith.lake.query import query
from tests.conftest import RTP

EVENTS = 50_000
LIVES = 4
BASE_MS = 1_790_000_000_000
SUMS = (
    "select count(*), count(distinct event_id), count(distinct log_offset), sum(hash(event_id, props, ts)::hugeint)"
    " from events"
)


def made_log(data: Path, folder: Path) -> None:
    rows = [
        {
            **{"event_id": f"e{n}", "session_id": f"s{n % 400}", "event_type": "click", "item_id": f"i{n % 50}"},
            # Some ten hours, so many files that no life ends before it is killed; every tenth event is sent twice.
            **{"ts_ms": BASE_MS + n * 700, "color": "red"},
        }
        for n in range(EVENTS)
    ]
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows + rows[::10]))
    subprocess.run([*RTP, "import", "events", str(file), "--data", str(data)], check=True, capture_output=True)


def files(lake: Path) -> int:
    """How many Parquet files there are, while folders come and go: a walk passes over what has gone."""
    return sum(name.endswith(".parquet") for _, _, names in os.walk(lake) for name in names)


def test_killed_while_writing(tmp_path: Path) -> None:
    data, lake, whole, config = tmp_path / "data", tmp_path / "lake", tmp_path / "whole", tmp_path / "rtp.toml"
    made_log(data, tmp_path)
    config.write_text("[lake]\nfile_rows_max = 1000\n")
    rng, killed, versions = Random(5), 0, []
    command = [*RTP, "lake", "write", "--data", str(data), "--lake", str(lake), "--config", str(config), "--json"]
    for _ in range(LIVES):
        begun = files(lake)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            more = rng.randrange(1, 8)
            while process.poll() is None:
                if files(lake) >= begun + more:
                    time.sleep(rng.random() * 0.02)
                    process.send_signal(signal.SIGKILL)
                    break
                time.sleep(0.005)
            process.communicate()
        killed += process.returncode == -signal.SIGKILL
        if (lake / "journal.json").exists():
            versions.append(load(lake).version)
            (rows, events, offsets, _) = query(lake, SUMS).rows[0]
            assert rows == events == offsets, "a row twice"
    final = subprocess.run(command, check=True, capture_output=True)
    report = msgspec.json.decode(final.stdout.splitlines()[-1])
    subprocess.run([*command[:-5], "--lake", str(whole), "--json"], check=True, capture_output=True)
    print(f"{killed} of {LIVES} killed, versions {versions}, {report['rows']}")
    assert killed >= 2
    assert query(lake, SUMS).rows == query(whole, SUMS).rows
    assert query(lake, SUMS).rows[0][:3] == (EVENTS, EVENTS, EVENTS)
    on_disk = {str(path.relative_to(lake)) for path in lake.glob("*/*/*/*.parquet")}
    journal = load(lake)
    assert on_disk == {file.path for file in journal.files} | {each.path for each in journal.retired}
