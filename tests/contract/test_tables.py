"""Publishing to a running shard, embedded and with Redis: lists read it from the answer on, and say what they lack."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RTP, Shard, unused_port
from tests.contract.conftest import Talk, event
from tests.redis_server import RedisServer

DECLARED = """
[limits]
rank_timeout_ms = 2000

[features.user.tier]
published = "text"
words = ["silver", "gold"]
meaning = "loyalty tier"
default = 9.0

[features.item.rate]
published = "number"
meaning = "click rate of a week"
default = 0.5
"""
REDIS = """
[online]
store = "redis"
url = "{url}"
timeout_ms = 40
load_timeout_ms = 1000
refresh_ms = 50
cache_ttl_ms = 1
breaker_cooldown_ms = 200
"""
TABLES = "/v1/features/tables"


class Served(Talk):
    def __init__(self, shard: Shard, redis: RedisServer | None) -> None:
        super().__init__(shard)
        self.redis = redis

    def features(self, session_id: str, **request: Any) -> tuple[dict[str, float], list[str]]:
        """Those of the item `boot`, and what the list had to do without."""
        reply = self.rank(session_id, ["boot", "hat"], explain=True, **request)
        (boot,) = [item for item in reply["items"] if item["id"] == "boot"]
        return boot["explain"]["features"], reply["degraded"]

    def publish(self, file: Path, *options: str, code: int = 0) -> Any:
        command = [*RTP, "features", "publish", str(file), "--url", self.shard.url, "--json", *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def metric(self, name: str) -> float:
        text = self.expect(200, "GET", "/metrics").decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found is not None, f"{name} is not in\n{text}"
        return float(found[1])


@pytest.fixture(scope="module", params=["embedded", "redis"])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp(f"tables_{request.param}")
    redis = RedisServer(folder, unused_port()).start() if request.param == "redis" else None
    text = DECLARED if redis is None else DECLARED + REDIS.format(url=redis.url)
    (folder / "shard.toml").write_text(text)
    shard = Shard(folder / "data", folder / "shard.log", ["--config", str(folder / "shard.toml")])
    try:
        talk = Served(shard.start(), redis)
        talk.put_items({"id": "boot"}, {"id": "hat"})
        yield talk
    finally:
        shard.stop()
        if redis is not None:
            redis.stop()


def test_a_file_is_published_and_the_next_list_reads_it(served: Served, tmp_path: Path) -> None:
    features, degraded = served.features("s", user_id="ann")
    assert (features["user_tier"], features["item_rate"]) == (9.0, 0.5)
    assert not [code for code in degraded if code.startswith("features:")]
    users = tmp_path / "users.csv.gz"
    users.write_bytes(gzip.compress(b"id,tier\nann,gold\nbob,\n"))
    done = served.publish(users, "--scope", "user", "--version", "2026-11-26", "--ttl", "2d")
    assert {name: done[name] for name in ("version", "rows", "features")} == {
        **{"version": "2026-11-26", "rows": 2, "features": ["user_tier"]}
    }
    items = tmp_path / "items.ndjson"
    items.write_text("\n".join(json.dumps({"item_id": f"i{n}", "rate": n}) for n in range(3_000)))
    with items.open("a") as lines:
        lines.write('\n{"item_id": "boot", "rate": 0.25}')
    assert served.publish(items, "--scope", "item", "--version", "one")["rows"] == 3_001
    features, degraded = served.features("s", user_id="ann")
    assert (features["user_tier"], features["item_rate"]) == (2.0, 0.25)
    assert not [code for code in degraded if code.startswith("features:")]
    assert served.features("s", user_id="bob")[0]["user_tier"] == 9.0
    listed = served.expect(200, "GET", TABLES)["tables"]
    assert [(each["scope"], each["version"], each["rows"], each["features"], each["ttl_ms"]) for each in listed] == [
        ("user", "2026-11-26", 2, ["user_tier"], 172_800_000),
        ("item", "one", 3_001, ["item_rate"], 0),
    ]
    command = [*RTP, "features", "tables", "--url", served.shard.url]
    lines_ = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines_[1].split()[:3] == ["user", "2026-11-26", "2"] and "2d" in lines_[1].split()


def test_a_linked_session_has_its_users_row(served: Served) -> None:
    draft = served.expect(201, "POST", f"{TABLES}/user")["draft"]
    assert served.expect(200, "POST", f"{TABLES}/user/{draft}", [{"id": "lea", "tier": "silver"}]) == {"rows": 1}
    assert served.expect(200, "PUT", f"{TABLES}/user/{draft}", {"version": "v"})["rows"] == 1
    assert served.features("phone")[0]["user_tier"] == 9.0
    served.send(event("click", item_id="boot", session_id="phone", user_id="lea"))
    assert served.features("phone")[0]["user_tier"] == 1.0
    assert served.state("lea")["features"]["user_tier"] == 1.0


def test_a_row_that_does_not_fit_leaves_everything_as_it_was(served: Served, tmp_path: Path) -> None:
    before = served.expect(200, "GET", TABLES)
    for text, code in (
        ("id,tier\nann,gold\nann,silver\n", "duplicate_key"),
        ("id,teir\nann,gold\n", "unknown_column"),
        ("id,tier\nann,golden\n", "bad_value"),
        ("id,tier\n", "empty_table"),
        ("tier\ngold\n", "missing_key"),
        ("id,tier\nann\n", "malformed_row"),
    ):
        file = tmp_path / f"{code}.csv"
        file.write_text(text)
        said = served.publish(file, "--scope", "user", "--version", "bad", code=1)
        assert said["error"]["code"] == code
    assert "did you mean `tier`" in served.publish(tmp_path / "unknown_column.csv", "--scope", "user",
                                                   "--version", "bad", code=1)["error"]["message"]  # fmt: skip
    after = served.expect(200, "GET", TABLES)
    assert [each["version"] for each in after["tables"]] == [each["version"] for each in before["tables"]]


def test_the_route_says_what_it_does_not_take(served: Served) -> None:
    words = served.refused(404, "not_found", "POST", f"{TABLES}/session")
    assert "user and item" in words["message"]
    served.refused(404, "unknown_draft", "POST", f"{TABLES}/user/999999", [])
    served.refused(404, "unknown_draft", "PUT", f"{TABLES}/user/x", {"version": "v"})
    draft = served.expect(201, "POST", f"{TABLES}/user")["draft"]
    path = f"{TABLES}/user/{draft}"
    served.refused(400, "malformed_body", "POST", path, b"{")
    served.refused(400, "malformed_body", "POST", path, b"[1]")
    served.refused(415, "unsupported_media_type", "POST", path, b"id,tier", **{"Content-Type": "text/csv"})
    rows = [{"id": f"u{n}", "tier": "gold"} for n in range(500)]
    assert served.expect(200, "POST", f"{path}?from=0", rows) == {"rows": 500}
    assert served.expect(200, "POST", f"{path}?from=0", rows) == {"rows": 500}, "sent again, taken once"
    served.refused(422, "out_of_range", "POST", f"{path}?from=7", rows)
    served.refused(422, "missing_field", "PUT", path, {})
    served.refused(422, "unknown_field", "PUT", path, {"version": "v", "tll_ms": 1})
    served.refused(422, "unknown_column", "POST", path, [{"id": "x", "tir": "gold"}])
    served.refused(404, "unknown_draft", "PUT", path, {"version": "v"})
    assert served.expect(204, "DELETE", path) in (b"", None)


def test_nulls_and_ages_are_metrics(served: Served) -> None:
    draft = served.expect(201, "POST", f"{TABLES}/user")["draft"]
    served.expect(200, "POST", f"{TABLES}/user/{draft}", [{"id": "max", "tier": "gold"}])
    as_of_ms = time.time_ns() // 1_000_000 - 3_600_000
    served.expect(200, "PUT", f"{TABLES}/user/{draft}", {"version": "v", "as_of_ms": as_of_ms})
    values, nulls = (f'rtp_feature_{name}_total{{feature="user_tier"}}' for name in ("values", "nulls"))
    before = served.metric(values), served.metric(nulls)
    for user in ("max", "max", "nobody"):
        served.rank("s", ["boot"], user_id=user)
    assert (served.metric(values) - before[0], served.metric(nulls) - before[1]) == (3, 1)
    assert 3_600 <= served.metric('rtp_feature_age_seconds{feature="user_tier"}') < 3_700
    assert served.metric("rtp_online_reads") > 0 and served.metric("rtp_online_failures") == 0


def test_a_redis_that_keeps_silent_costs_a_list_its_user_and_nothing_else(served: Served) -> None:
    if served.redis is None:
        pytest.skip("the embedded store is part of the shard")
    draft = served.expect(201, "POST", f"{TABLES}/user")["draft"]
    served.expect(200, "POST", f"{TABLES}/user/{draft}", [{"id": "zoe", "tier": "gold"}])
    served.expect(200, "PUT", f"{TABLES}/user/{draft}", {"version": "v"})
    draft = served.expect(201, "POST", f"{TABLES}/item")["draft"]
    served.expect(200, "POST", f"{TABLES}/item/{draft}", [{"id": "boot", "rate": 0.25}])
    served.expect(200, "PUT", f"{TABLES}/item/{draft}", {"version": "v"})
    assert served.features("s", user_id="zoe")[0]["user_tier"] == 2.0
    served.redis.freeze()
    try:
        for n in range(12):
            features, degraded = served.features("s", user_id=f"z{n}")
            assert [code for code in degraded if code.startswith("features:")] == ["features:user_batch"]
            assert (features["user_tier"], features["item_rate"]) == (9.0, 0.25)
        assert served.metric("rtp_online_timeouts") <= 8, "most lists did not wait"
        assert served.metric("rtp_online_refused") > 0
        served.refused(503, "table_unavailable", "GET", TABLES)
    finally:
        served.redis.thaw()
    give_up = time.monotonic() + 20
    while "features:user_batch" in served.features("s", user_id="zoe")[1]:
        assert time.monotonic() < give_up, "it does not recover"
        time.sleep(0.05)
    assert served.features("s", user_id="zoe")[0]["user_tier"] == 2.0


def test_a_shard_without_published_features_has_no_tables(tmp_path: Path) -> None:
    shard = Shard(tmp_path / "data", tmp_path / "log", [])
    try:
        talk = Talk(shard.start())
        talk.refused(409, "no_published_features", "GET", TABLES)
        talk.refused(409, "no_published_features", "POST", f"{TABLES}/user")
        assert not (tmp_path / "data" / "online").exists()
    finally:
        shard.stop()


def test_a_shard_starts_beside_a_redis_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "shard.toml").write_text(DECLARED + REDIS.format(url=f"redis://127.0.0.1:{unused_port()}"))
    shard = Shard(tmp_path / "data", tmp_path / "log", ["--config", str(tmp_path / "shard.toml")])
    try:
        talk = Talk(shard.start())
        talk.put_items({"id": "boot"})
        assert talk.rank("s", ["boot"])["degraded"] == ["no_model", "features:user_batch", "features:item_batch"]
    finally:
        shard.stop()
