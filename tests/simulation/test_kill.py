"""Nothing acknowledged is lost and nothing counts twice, however often the shard is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from random import Random
from typing import Any

from rtp_monolith import config as configuration
from rtp_monolith.state.rebuild import rebuild, verify
from rtp_monolith.state.recovery import VIEWS
from rtp_monolith.state.store import ViewStore
from tests.conftest import RTP
from tests.simulation.lineage import CONFIG, Lineage
from tests.simulation.oracle import Event, Oracle
from tests.simulation.shards import HttpShard, LightShard, Nursery
from tests.simulation.traffic import Body, Client
from tests.simulation.views import item_counts

RETAIN = "retain_bytes = 262144\n"
IMPORTED = 12_000
LOG_BYTES_PER_EVENT = 100
REMOVED_BYTES = 500_000


def check_counts(data: Path, oracle: Oracle) -> None:
    """Counts that users share, in the views of a stopped shard."""
    store = ViewStore(data / VIEWS)
    counts = item_counts(store.everything())
    store.close()
    assert {item: one.totals for item, one in counts.items() if one.totals} == oracle.item_counts


def check_views(data: Path, config: str) -> None:
    """The views are the fold of the log to the byte, and stay so when they are made again."""
    read = configuration.parse(config)
    report = verify(data, read)
    assert report.equal and report.entries > 500, report
    rebuild(data, read)
    again = verify(data, read)
    assert again.equal and again.entries == report.entries, again


def test_killed_while_writing_and_flushing(nursery: Nursery, socket: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    lineage = Lineage(11, LightShard(nursery, data, CONFIG, socket))
    lineage.run(60)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report())
    check_counts(data, lineage.oracle)
    check_views(data, CONFIG)


def test_killed_while_old_segments_are_removed(nursery: Nursery, socket: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    # Retention follows a whole flush, which slices this large finish within a life; how many lives it takes to remove
    # so much is the disk's to say.
    lineage = Lineage(13, LightShard(nursery, data, CONFIG + RETAIN, socket, slice_records=64))
    lineage.run(30)
    while (begins := log_begins(data)) < REMOVED_BYTES and lineage.deaths < 300:
        lineage.run(10)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report(), f"the log begins at {begins}", sep=", ")
    assert begins >= REMOVED_BYTES, "retention removed next to nothing"
    check_counts(data, lineage.oracle)


def test_killed_while_serving(tmp_path: Path) -> None:
    data, config = tmp_path / "data", tmp_path / "rtp.toml"
    config.write_text(CONFIG)
    lineage = Lineage(17, HttpShard(data, tmp_path / "shard.log", ["--config", str(config)]))
    lineage.run(8, compare_every=4)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report())
    check_counts(data, lineage.oracle)
    check_views(data, CONFIG)


def log_begins(data: Path) -> int:
    """The offset of the oldest segment."""
    return min(int(path.stem) for path in (data / "log").glob("*.log"))


def log_bytes(data: Path) -> int:
    return sum(path.stat().st_size for path in (data / "log").glob("*.log")) if (data / "log").exists() else 0


def import_events(file: Path, data: Path, config: Path, killed_at_bytes: int | None) -> dict[str, Any] | None:
    """The report of an import; None when it was killed, with the log at about that length."""
    command = [*RTP, "import", "events", str(file), "--data", str(data), "--config", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while killed_at_bytes is not None and process.poll() is None:
            if log_bytes(data) >= killed_at_bytes:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.001)
        output, errors = process.communicate()
    if process.returncode == -signal.SIGKILL:
        return None
    assert process.returncode == 0, errors.decode()
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report


def test_killed_while_importing(nursery: Nursery, socket: Path, tmp_path: Path) -> None:
    """An import that was killed is run again, from its beginning, until it ends."""
    seed, data, config, file = 19, tmp_path / "data", tmp_path / "rtp.toml", tmp_path / "events.jsonl"
    config.write_text(CONFIG)
    # So many people that none has more events than a shard remembers ids for; one body of an import is as long as
    # several of this client, so nobody may sign in late.
    client = Client(seed, "m", users=400, browsers=400, joins=False)
    body = Body("events", events_of(client), 0, b"")
    file.write_text("".join(json.dumps(flat(event)) + "\n" for event in body.records))
    lineage = Lineage(seed, LightShard(nursery, data, CONFIG, socket))
    rng, killed = Random(f"{seed}/import"), 0
    for _ in range(6):
        at = rng.randrange(IMPORTED * LOG_BYTES_PER_EVENT)
        killed += import_events(file, data, config, log_bytes(data) + at) is None
    report = import_events(file, data, config, None)
    assert report is not None and report["accepted"] + report["duplicates"] == len(body), report
    body.tell(lineage.oracle)
    lineage.run(4, compare_every=2)
    lineage.settle()
    lineage.shard.stop()
    print(f"{killed} imports killed", lineage.report(), sep=", ")
    assert killed >= 3
    check_counts(data, lineage.oracle)
    check_views(data, CONFIG)


def events_of(client: Client) -> list[Event]:
    """The valid events of several bodies."""
    events: list[Event] = []
    while len(events) < IMPORTED:
        events += [event for event in client.body(60).records if "session_id" in event]
    return events


def flat(event: Event) -> dict[str, Any]:
    """A row of a table: what it does not know becomes a prop."""
    return {**{name: value for name, value in event.items() if name != "props"}, **event.get("props", {})}
