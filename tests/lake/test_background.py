"""A running shard writes its lake in a child process, which is gone when the shard is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rtp_monolith.errors import LakeError
from rtp_monolith.lake.query import query
from tests.conftest import Shard, StartShard

BASE_MS = 1_790_000_000_000
WITHIN_S = 120.0


def eventually(what: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.05)


def send(shard: Shard, first: int, n: int) -> None:
    events = [
        {"event_id": f"e{k}", "session_id": f"s{k % 7}", "event_type": "click", "item_id": "a", "ts_ms": BASE_MS + k}
        for k in range(first, first + n)
    ]
    status, reply = shard.call("POST", "/v1/events", events)
    assert status == 200 and reply["accepted"] == n


def metric(shard: Shard, name: str) -> float:
    _, text = shard.call("GET", "/metrics")
    lines = [line for line in text.decode().splitlines() if line.startswith(f"rtp_{name} ")]
    return float(lines[0].split()[1]) if lines else -1.0


def children(pid: int) -> list[int]:
    return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
        int(found)
        for task in Path(f"/proc/{pid}/task").iterdir()
        if task.name != str(pid)
        for found in (task / "children").read_text().split()
    ]


def test_a_shard_writes_its_lake_beside_its_work(start_shard: StartShard, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shard = start_shard("--clock", "events", config=f"[lake]\npath = {json.dumps(str(lake))}\ninterval_ms = 200\n")
    shard.call("PUT", "/v1/items", [{"id": "a"}, {"id": "b"}])
    send(shard, 0, 50)
    shard.call("POST", "/v1/recommend", {"surface": "home", "session_id": "s1", "k": 2})
    # The list leaves out what the session clicked: one item.
    eventually(lambda: metric(shard, "lake_rows") == 51)
    assert query(lake, "select count(*), count(distinct event_id) from events").rows == [(50, 50)]
    assert metric(shard, "lake_running") == 1 and metric(shard, "lake_failures") == 0
    eventually(lambda: metric(shard, "lake_lag_bytes") == 0)
    assert 0 <= metric(shard, "lake_lag_seconds") < WITHIN_S
    (child,) = children(shard.pid)
    assert os.getpriority(os.PRIO_PROCESS, child) > os.getpriority(os.PRIO_PROCESS, shard.pid) or (
        os.getpriority(os.PRIO_PROCESS, child) == 19
    )
    # The child dies with a shard that is killed, and the next one goes on where it was.
    shard.kill()
    eventually(lambda: not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text())
    shard.start()
    send(shard, 50, 10)
    eventually(lambda: metric(shard, "lake_rows") == 61)
    assert query(lake, "select count(*), count(distinct event_id) from events").rows == [(60, 60)]
    (child,) = children(shard.pid)
    assert shard.stop() == 0
    assert not Path(f"/proc/{child}").exists()


def test_training_rows_arrive_beside_a_running_shard_and_once(start_shard: StartShard, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    windows = "rows = true\nclick_window_ms = 1000\nconversion_window_ms = 1000\n"
    settings = f"[lake]\npath = {json.dumps(str(lake))}\ninterval_ms = 200\n{windows}"
    shard = start_shard("--clock", "events", config=settings)
    shard.call("PUT", "/v1/items", [{"id": "a"}])

    def see(first: int) -> None:
        events = [
            {"event_id": f"i{k}", "session_id": f"s{k}", "event_type": "impression", "item_id": "a",
             "ts_ms": BASE_MS + 5_000 * k, "request_id": f"r{k}"}
            for k in range(first, first + 900)
        ]  # fmt: skip
        status, reply = shard.call("POST", "/v1/events", events)
        assert status == 200 and reply["accepted"] == 900

    def rows() -> int:
        try:
            ((n, lists),) = query(lake, "select count(*), count(distinct list) from training").rows
        except LakeError:
            return 0
        assert n == lists, "each once"
        return int(n)

    see(0)
    eventually(lambda: rows() > 0)
    first = rows()
    shard.kill()
    shard.start()
    see(900)
    eventually(lambda: rows() > first)
    found = query(lake, "select list, request_id from training order by list").rows
    assert found == [(n, f"r{n}") for n in range(len(found))], "none left out"
    assert metric(shard, "lake_failures") == 0


def test_a_child_that_dies_is_started_again(start_shard: StartShard, tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    shard = start_shard("--clock", "events", config=f"[lake]\npath = {json.dumps(str(lake))}\ninterval_ms = 200\n")
    send(shard, 0, 5)
    eventually(lambda: metric(shard, "lake_rows") == 5)
    (child,) = children(shard.pid)
    os.kill(child, 9)
    eventually(lambda: metric(shard, "lake_failures") == 1)
    send(shard, 5, 5)
    eventually(lambda: metric(shard, "lake_rows") == 10)
    assert query(lake, "select count(distinct event_id) from events").rows == [(10,)]


def test_without_a_path_nothing_is_started(shard: Shard) -> None:
    assert children(shard.pid) == []
    assert metric(shard, "lake_running") == -1.0


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    from rtp_monolith.lake.background import check_installed

    check_installed()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "duckdb" else object())
    with pytest.raises(LakeError, match=r"duckdb: install rtp-monolith\[lake\]") as caught:
        check_installed()
    assert caught.value.code == "lake_unavailable"
