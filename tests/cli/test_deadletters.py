"""`rtp deadletters`: over HTTP and in the folder of a stopped shard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.errors import NativeError
from rtp_monolith.ingest.dead_letters import DeadLetters

from .fake_shard import FakeShard
from .fake_state import Shards

Rtp = Callable[..., tuple[int, Any]]
LETTER = {"id": 3, "received_ms": 7, "code": "bad_ts", "message": "m", "payload": "{}", "cut": False, "replayed": True}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    letters = DeadLetters(tmp_path / "dead_letters")
    good = '{"event_id":"%s","session_id":"s","event_type":"click","item_id":"i"}'
    letters.put(1, "unknown_event_type", "was unknown then", (good % "1").encode())
    letters.put(2, "bad_ts", "not a time", b'{"event_type":"fly"}')
    letters.put(3, "unknown_event_type", "was unknown then", (good % "2").encode())
    letters.close()
    return tmp_path


@pytest.mark.parametrize("document", [[LETTER], {"dead_letters": [LETTER], "next": None}])
def test_list_over_http(rtp: Rtp, shard: FakeShard, document: Any) -> None:
    shard.routes["GET", "/v1/deadletters?after=2&limit=5&code=bad_ts"] = document
    args = ["deadletters", "list", "--url", shard.url, "--after", "2", "--limit", "5", "--code", "bad_ts"]
    assert rtp(*args, "--json") == (0, {"dead_letters": [LETTER]})
    code, out = rtp(*args)
    assert code == 0
    assert out.splitlines()[1].split() == ["3", "7", "bad_ts", "yes", "m"]


def test_show_over_http(rtp: Rtp, shard: FakeShard) -> None:
    shard.routes["GET", "/v1/deadletters/3"] = LETTER
    assert rtp("deadletters", "show", "3", "--url", shard.url, "--json") == (0, LETTER)
    assert rtp("deadletters", "show", "4", "--url", shard.url, "--json")[0] == 1


def test_replay_over_http(rtp: Rtp, shard: FakeShard) -> None:
    report = {"tried": 2, "accepted": 2, "duplicates": 0, "rejected": []}
    shard.routes["POST", "/v1/deadletters/replay"] = report
    assert rtp("deadletters", "replay", "1", "2", "--url", shard.url, "--json") == (0, report)
    assert json.loads(shard.requests[-1][3]) == {"ids": [1, 2]}
    rtp("deadletters", "replay", "--code", "bad_ts", "--url", shard.url, "--json")
    assert json.loads(shard.requests[-1][3]) == {"code": "bad_ts"}


def test_list_and_show_in_a_folder(rtp: Rtp, shards: Shards, data: Path) -> None:
    code, made = rtp("deadletters", "list", "--data", data, "--code", "bad_ts", "--json")
    assert code == 0
    assert [one["id"] for one in made["dead_letters"]] == [2]
    assert rtp("deadletters", "show", "2", "--data", data)[1].splitlines()[-1] == '{"event_type":"fly"}'
    code, answer = rtp("deadletters", "show", "9", "--data", data, "--json")
    assert (code, answer["error"]["code"]) == (1, "unknown_dead_letter")
    assert [one.closed for one in shards.states] == [True] * 3


def test_replay_in_a_folder_marks_what_was_accepted(rtp: Rtp, shards: Shards, data: Path) -> None:
    code, report = rtp("deadletters", "replay", "--code", "unknown_event_type", "--data", data, "--json")
    assert (code, report) == (0, {"tried": 2, "accepted": 2, "duplicates": 0, "rejected": []})
    assert [one.replayed for one in DeadLetters(data / "dead_letters").list()] == [True, False, True]
    code, report = rtp("deadletters", "replay", "--code", "unknown_event_type", "--data", data, "--json")
    assert (code, report["tried"]) == (0, 0)


def test_what_is_refused_again_is_said(rtp: Rtp, shards: Shards, data: Path) -> None:
    code, report = rtp("deadletters", "replay", "2", "1", "--data", data, "--json")
    assert (code, report["accepted"]) == (1, 1)
    assert report["rejected"] == [{"id": 2, "code": "unknown_event_type", "message": "refused"}]
    code, out = rtp("deadletters", "replay", "2", "--data", data)
    assert (code, "1 rejected again" in out) == (1, True)


def test_a_locked_or_missing_folder(rtp: Rtp, shards: Shards, data: Path) -> None:
    code, answer = rtp("deadletters", "list", "--data", data / "none", "--json")
    assert (code, answer["error"]["code"]) == (1, "no_data")
    shards.locked = NativeError("log_locked", "held")
    code, answer = rtp("deadletters", "list", "--data", data, "--json")
    assert (code, answer["error"]["code"]) == (1, "data_locked")


@pytest.mark.parametrize(
    "args",
    [
        ["list"],
        ["list", "--url", "http://x", "--data", "y"],
        ["list", "--url", "http://x", "--limit", "0"],
        ["show", "x", "--url", "http://x"],
        ["replay", "--url", "http://x"],
        ["replay", "1", "--code", "bad_ts", "--url", "http://x"],
        ["replay", "1"],
    ],
)
def test_wrong_use(rtp: Rtp, args: list[str]) -> None:
    assert rtp("deadletters", *args)[0] == 2
