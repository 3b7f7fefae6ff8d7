"""Nothing acknowledged is lost and nothing counts twice, however often the shard is killed."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtp_monolith import config as configuration
from rtp_monolith.clock import WallClock
from rtp_monolith.state.rebuild import verify
from rtp_monolith.state.shard_state import ShardState
from tests.conftest import RTP
from tests.simulation.lineage import CONFIG, Lineage
from tests.simulation.shards import LightShard, Nursery

RETENTION = "retain_bytes = 262144\n"
USERS, EVENTS_PER_USER = 40, 150


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def socket() -> Iterator[Path]:
    """A short path: those of local sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rtp-") as folder:
        yield Path(folder) / "s"


def test_killed_while_writing_and_flushing(nursery: Nursery, socket: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    lineage = Lineage(11, LightShard(nursery, data, CONFIG, socket))
    lineage.run(50)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report())
    report = verify(data, configuration.parse(CONFIG))
    assert report.equal, report.different


def test_killed_while_retention_removes_what_is_no_longer_needed(
    nursery: Nursery, socket: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    config = CONFIG + RETENTION
    lineage = Lineage(12, LightShard(nursery, data, config, socket))
    lineage.run(30)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report())
    state = ShardState.open(data, configuration.parse(config), WallClock())
    began = state.log.start()
    state.close()
    assert began > 0, "retention removed nothing"


def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Sent again from the beginning, what is there already is a duplicate."""
    rng = random.Random(13)
    file, data = tmp_path / "events.jsonl", tmp_path / "data"
    events = [
        {"event_id": f"{user}-{n}", "user_id": f"u{user}", "session_id": f"s{user}", "event_type": "click"}
        | {"item_id": f"i{(user * n) % 50}", "ts_ms": 1_700_000_000_000 + n}
        for n in range(EVENTS_PER_USER)
        for user in range(USERS)
    ]
    file.write_text("\n".join(map(json.dumps, events)))
    command = [*RTP, "import", "events", str(file), "--data", str(data)]
    for _ in range(25):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(0.35 + rng.random() * 0.5)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60, check=True)
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["accepted"] + report["duplicates"] == len(events)
    state = ShardState.open(data, configuration.Config(), WallClock())
    versions = [json.loads(state.user_state(f"u{user}") or b"{}")["state_version"] for user in range(USERS)]
    state.close()
    assert versions == [EVENTS_PER_USER] * USERS
    assert verify(data, configuration.Config()).equal
