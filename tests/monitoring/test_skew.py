"""The audit sees a feature that was computed otherwise, and nothing where nothing changed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from rtp_monolith.cli.main import run
from rtp_monolith.clock import ManualClock, WallClock
from rtp_monolith.config import Audit, Bots, Config
from rtp_monolith.errors import DataError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.spec import Feature
from rtp_monolith.metrics import Metrics
from rtp_monolith.monitoring.skew import AuditReport, audit, replay_and_compare
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_recommend
from rtp_monolith.state.shard_state import ShardState

HOUR_MS = 3_600_000
NOW = 480_000 * HOUR_MS
CONFIG = Config(audit=Audit(share=1.0))
REQUESTS = 10


def changed(name: str, **change: object) -> list[Feature]:
    """The catalogue with one feature broken."""
    return [msgspec.structs.replace(each, **change) if each.name == name else each for each in FEATURES]


def traffic(shard: ShardState, clock: ManualClock, config: Config = CONFIG) -> None:
    """Two clicks, the older three hours ago, then lists of three items."""
    shard.ingest_sync("items", b'[{"id":"a","price":2},{"id":"b"},{"id":"c"},{"id":"d"}]', "json", trusted=True)
    now = clock.now_ms()
    events = [
        {
            "event_id": f"e{n}",
            "session_id": "s",
            "user_id": "u",
            "event_type": "click",
            "item_id": "a",
            "ts_ms": now - n,
        }
        for n in (0, 3 * HOUR_MS)
    ]
    shard.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True)
    pipeline = Pipeline(shard, config, clock, Metrics())
    for n in range(REQUESTS):
        request = {"surface": "home", "session_id": "s", "user_id": "u", "request_id": f"r{n}", "k": 3}
        asyncio.run(pipeline.recommend(read_recommend(json.dumps(request).encode()), deadline_ms=1000))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    clock = ManualClock(NOW)
    shard = ShardState.open(tmp_path, CONFIG, clock)
    traffic(shard, clock)
    shard.close()
    return tmp_path


def test_nothing_differs_where_nothing_changed(data: Path) -> None:
    values = REQUESTS * 3 * len(FEATURES)
    assert replay_and_compare(data, CONFIG, 1.0, 0) == AuditReport(REQUESTS, values, 0, 0, 0, {}, [])


def test_a_broken_feature_is_named(data: Path) -> None:
    report = replay_and_compare(data, CONFIG, 1.0, 0, changed("user_clicks_1h", window="1d"), any_plan=True)
    assert (report.different, report.features) == (3 * REQUESTS, {"user_clicks_1h": 3 * REQUESTS})
    first = report.examples[0]
    assert (first.feature, first.served, first.replayed) == ("user_clicks_1h", 1.0, 2.0)


def test_a_changed_plan_is_counted_and_not_compared(data: Path) -> None:
    report = replay_and_compare(data, CONFIG, 1.0, 0, changed("user_clicks_1h", window="1d"))
    assert (report.compared, report.different, report.other_plan) == (0, 0, REQUESTS)
    assert replay_and_compare(data, CONFIG, 1.0, 0, FEATURES[1:], any_plan=True).other_plan == REQUESTS


def test_another_configuration_is_counted_and_not_compared(data: Path) -> None:
    other = Config(audit=CONFIG.audit, bots=Bots(contributions_per_hour_max=1))
    report = replay_and_compare(data, other, 1.0, 0)
    assert (report.compared, report.different, report.other_config) == (0, 0, REQUESTS)


def test_the_share_is_drawn_by_seed(data: Path) -> None:
    assert replay_and_compare(data, CONFIG, 0.0, 0).decisions == 0
    drawn = [replay_and_compare(data, CONFIG, 0.5, seed).decisions for seed in range(8)]
    assert drawn == [replay_and_compare(data, CONFIG, 0.5, seed).decisions for seed in range(8)]
    assert len(set(drawn)) > 1 and 20 <= sum(drawn) <= 60


def test_the_shard_may_run_meanwhile(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    shard = ShardState.open(tmp_path, CONFIG, clock)
    traffic(shard, clock)
    assert shard.log.wait_durable(shard.log.end(), 10_000)
    report = audit(tmp_path, CONFIG, 1.0, 0)
    assert (report.decisions, report.different) == (REQUESTS, 0)
    reply = shard.ingest_sync("items", b'[{"id":"later"}]', "json", trusted=True)
    assert reply.accepted == 1
    shard.close()


def test_a_log_without_its_beginning_is_refused(tmp_path: Path) -> None:
    config = msgspec.structs.replace(CONFIG, log=msgspec.structs.replace(CONFIG.log, segment_bytes=1 << 16))
    clock = WallClock()
    shard = ShardState.open(tmp_path, config, clock)
    for batch in range(6):
        body = json.dumps([{"id": f"i{batch}-{n}", "title": "t" * 500} for n in range(100)]).encode()
        shard.ingest_sync("items", body, "json", trusted=True)
    shard.log.retain(max_bytes=1, older_than_ms=None, keep_from=shard.log.end())
    assert shard.log.start() > 0
    shard.close()
    with pytest.raises(DataError, match="log begins at") as refused:
        replay_and_compare(tmp_path, config, 1.0, 0)
    assert refused.value.code == "log_truncated"


def test_the_command_says_what_differs(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "shard.toml"
    file.write_text("[audit]\nshare = 1.0\n")
    assert run(["state", "audit", "--data", str(data), "--config", str(file), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["decisions"], said["different"], said["examples"]) == (REQUESTS, 0, [])
    assert run(["state", "audit", "--data", str(data), "--config", str(file), "--share", "2"]) == 2
