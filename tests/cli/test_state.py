"""`rtp state`: show, rebuild, verify and stats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .fake_shard import FakeShard
from .fake_state import Shards

Rtp = Callable[..., tuple[int, Any]]


def test_show_over_http_quotes_the_key(rtp: Rtp, shard: FakeShard) -> None:
    shard.routes["GET", "/v1/users/a%2Fb%20c/state"] = {"user_id": "a/b c"}
    assert rtp("state", "show", "a/b c", "--url", shard.url, "--json") == (0, {"user_id": "a/b c"})
    code, out = rtp("state", "show", "a/b c", "--url", shard.url)
    assert (code, out) == (0, '{\n  "user_id": "a/b c"\n}\n')


def test_show_in_a_folder(rtp: Rtp, shards: Shards, tmp_path: Path) -> None:
    assert rtp("state", "show", "u", "--data", tmp_path, "--json") == (0, {"user_id": "u", "state_version": 3})
    code, answer = rtp("state", "show", "nobody", "--data", tmp_path, "--json")
    assert (code, answer["error"]["code"]) == (1, "unknown_user")
    assert shards.opened == [tmp_path] * 2


def test_rebuild_and_verify(rtp: Rtp, shards: Shards, tmp_path: Path) -> None:
    assert rtp("state", "rebuild", "--data", tmp_path, "--json") == (0, {"frames": 12})
    assert rtp("state", "rebuild", "--data", tmp_path) == (0, "frames: 12\n")
    assert rtp("state", "rebuild", "--data", tmp_path, "--partial") == (0, "frames: 7\n")
    assert rtp("state", "verify", "--data", tmp_path, "--json") == (0, {"equal": True})
    shards.equal = False
    assert rtp("state", "verify", "--data", tmp_path, "--json") == (1, {"equal": False})
    assert rtp("state", "rebuild", "--data", tmp_path / "none")[0] == 1


def test_stats(rtp: Rtp, shard: FakeShard, shards: Shards, tmp_path: Path) -> None:
    assert rtp("state", "stats", "--data", tmp_path, "--json") == (
        0,
        {"users": 2, "items": 5, "user_record_bytes_mean": 250.0},
    )
    text = '# HELP x\nrtp_users 2.0\nrtp_ms_bucket{le="1"} 4\nrtp_ms_count 4\npython_info 1\nrtp_e{code="a b"} 3\n'
    shard.plan = [(200, {}, text)]
    made = {"rtp_users": 2.0, "rtp_ms_count": 4.0, 'rtp_e{code="a b"}': 3.0}
    assert rtp("state", "stats", "--url", shard.url, "--json") == (0, made)
    assert rtp("state", "stats", "--url", shard.url, "--json")[0] == 1


@pytest.mark.parametrize(
    "args", [["show", "u"], ["rebuild"], ["verify"], ["stats"], ["rebuild", "--url", "http://x"], ["nothing"]]
)
def test_wrong_use(rtp: Rtp, args: list[str]) -> None:
    assert rtp("state", *args)[0] == 2
