"""The running audit: silent where nothing differs, an alarm where a feature was broken, alive again after its death."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Audit, Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.metrics import Metrics
from rtp_monolith.monitoring import watch as watches
from rtp_monolith.monitoring.watch import FOLDER, Watch
from rtp_monolith.state.shard_state import ShardState
from tests.monitoring.test_skew import NOW, REQUESTS, changed, traffic

CONFIG = Config(audit=Audit(share=1.0, interval_ms=100))
WAIT_S = 60.0


class Watched:
    """A shard whose traffic is audited while it runs."""

    def __init__(self, data: Path, **more: object) -> None:
        self.clock = ManualClock(NOW)
        self.shard = ShardState.open(data, CONFIG, self.clock)
        self.metrics = Metrics()
        self.watch = Watch(data, CONFIG, self.metrics, self.shard.copy_views, **more)  # type: ignore[arg-type]

    def value(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.metrics.render().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not reached():  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    def attach(self) -> None:
        loop = asyncio.get_running_loop()
        self.shard.attach(loop)
        self.watch.attach(loop)

    async def lists(self) -> None:
        """Lists in a thread of their own, as `traffic` has its own loop; then they are in the log."""
        await asyncio.to_thread(traffic, self.shard, self.clock, CONFIG)
        await self.until(lambda: self.shard.log.durable() == self.shard.log.end())

    async def close(self) -> None:
        await self.watch.close()
        self.shard.close()


def test_values_are_compared_once_and_nothing_differs(tmp_path: Path) -> None:
    async def run() -> None:
        watched = Watched(tmp_path)
        watched.attach()
        await watched.until(lambda: watched.watch.stats()["audit_running"] == 1)
        for lists in (REQUESTS, 2 * REQUESTS):
            await watched.lists()
            values = lists * 3 * len(FEATURES)
            await watched.until(lambda values=values: watched.value("rtp_feature_audit_values_total") >= values)
            assert watched.value("rtp_feature_audit_values_total") == values
        assert watched.value("rtp_feature_audit_decisions_total") == 2 * REQUESTS
        assert watched.value("rtp_feature_skew_total") == 0
        await watched.until(lambda: watched.watch.stats()["audit_lag_bytes"] == 0)
        await watched.close()
        assert not (tmp_path / FOLDER).exists()

    asyncio.run(run())


def test_a_broken_feature_raises_the_alarm(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        broken = changed("user_clicks_1h", window="1d")
        watched = Watched(tmp_path, features=broken, any_plan=True)
        watched.attach()
        await watched.until(lambda: watched.watch.stats()["audit_running"] == 1)
        await watched.lists()
        await watched.until(lambda: watched.value("rtp_feature_skew_total") == 3 * REQUESTS)
        assert 'rtp_feature_skew_total{feature="user_clicks_1h"}' in watched.metrics.render().decode()
        await watched.close()

    with caplog.at_level(logging.ERROR, watches.__name__):
        asyncio.run(run())
    assert "user_clicks_1h was served as 1.0 and is 2.0" in caplog.text


def test_it_begins_again_after_its_process_died(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        watched = Watched(tmp_path)
        watched.attach()
        await watched.until(lambda: watched.watch.stats()["audit_running"] == 1)
        for pid in children():
            os.kill(pid, signal.SIGKILL)
        await watched.until(lambda: watched.watch.stats()["audit_restarts"] == 1)
        assert watched.watch.stats()["audit_running"] == 0
        await watched.until(lambda: watched.watch.stats()["audit_running"] == 1)
        await watched.lists()
        await watched.until(lambda: watched.value("rtp_feature_audit_values_total") == REQUESTS * 3 * len(FEATURES))
        await watched.close()

    with caplog.at_level(logging.WARNING, watches.__name__):
        asyncio.run(run())
    assert "is started again" in caplog.text


def test_views_that_cannot_be_copied_leave_the_shard_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        watched, asked = Watched(tmp_path), 0

        async def refuse(_: Path) -> None:
            nonlocal asked
            asked += 1
            raise DataError("no space left", code="data_unreadable")

        watched.watch._copy = refuse
        watched.attach()
        await watched.until(lambda: asked == 2)
        reply = watched.shard.ingest_sync("items", json.dumps([{"id": "later"}]).encode(), "json", trusted=True)
        assert reply.accepted == 1 and watched.watch.stats()["audit_running"] == 0
        await watched.close()

    with caplog.at_level(logging.WARNING, watches.__name__):
        asyncio.run(run())
    assert "no space left" in caplog.text


def children() -> Iterator[int]:
    """The processes that follow a log for this one."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent, line = int(path.read_text().rsplit(")", 1)[1].split()[1]), (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"spawn_main" in line:
            yield int(path.parent.name)
