"""`rtp replay http`: recorded sessions as live traffic."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .fake_shard import FakeShard

Rtp = Callable[..., tuple[int, Any]]


@pytest.fixture
def played(tmp_path: Path) -> Path:
    path = tmp_path / "test.txt"
    path.write_text("SessionId\tItemId\tTime\nx\ta\t100\nx\tb\t120\ny\ta\t110\nx\ta\t130\n")
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text("SessionId\tItemId\tTime\nt1\ta\t1\nt1\tb\t2\nt2\ta\t3\n")
    return path


def test_each_step_asks_then_sends_in_time_order(rtp: Rtp, shard: FakeShard, played: Path, train: Path) -> None:
    code, report = rtp("replay", "http", played, "--url", shard.url, "--train", train, "--k", "2", "--json")
    assert code == 0
    assert [path for _, path, _, _ in shard.requests[:2]] == ["/v1/items?only=new", "/v1/events"]
    steps = shard.requests[2:]
    assert [path for _, path, _, _ in steps] == ["/v1/recommend", "/v1/events"] * 4
    bodies = [json.loads(body) for _, _, _, body in steps]
    assert [(b["session_id"], b["item_id"]) for b in bodies[1::2]] == [("x", "a"), ("y", "a"), ("x", "b"), ("x", "a")]
    assert [b["min_position"] for b in bodies[::2]] == ["p3", "p4", "p5", "p6"]
    assert bodies[0] == {"surface": "home", "session_id": "x", "k": 2, "min_position": "p3"}
    assert report["train"]["accepted"] == 3
    assert (report["sessions"], report["steps"], report["evaluations"], report["stale"]) == (2, 4, 2, 0)
    home = report["surfaces"][0]
    # The fake's lists are always a, b: a is hit at 1 three times, b at 2 once.
    assert home["all_steps"] == {"n": 4, "hr": 1.0, "mrr": 0.875}
    assert home["protocol"] == {"n": 2, "hr": 1.0, "mrr": 0.75}
    assert home["degraded"] == {"no_model": 4}


def test_surfaces_are_asked_side_by_side_for_the_same_step(rtp: Rtp, shard: FakeShard, played: Path) -> None:
    surfaces = ["--surface", "home", "--surface", "covis"]
    code, report = rtp("replay", "http", played, "--url", shard.url, *surfaces, "--json")
    assert code == 0
    assert [one["surface"] for one in report["surfaces"]] == ["home", "covis"]
    assert report["lists"] == 8
    assert report["accepted"] == 4
    assert report["surfaces"][0]["all_steps"] == report["surfaces"][1]["all_steps"] == {"n": 4, "hr": 0.5, "mrr": 0.5}


def test_lists_are_sent_as_seen_and_the_click_credits_them(rtp: Rtp, shard: FakeShard, played: Path) -> None:
    surfaces = ["--surface", "home", "--surface", "covis"]
    code, report = rtp("replay", "http", played, "--url", shard.url, *surfaces, "--impressions", "--json")
    assert code == 0 and report["stale"] == 0
    puts = [body for method, _, _, body in shard.requests if method == "PUT"]
    assert [json.loads(line)["id"] for body in puts for line in body.splitlines()] == ["a", "b"], "a list needs items"
    lists = [n for n, (_, path, _, _) in enumerate(shard.requests, start=1) if path == "/v1/recommend"]
    sent = [json.loads(body) for _, path, _, body in shard.requests if path == "/v1/events"]
    assert sent[0]["event_type"] == "click" and "request_id" not in sent[0], "the first list was empty"
    seen, clicked = sent[1][:-1], sent[1][-1]
    assert [(e["event_type"], e["item_id"], e["position"], e["ts_ms"]) for e in seen] == [
        ("impression", "a", 0, 110_000)
    ]
    assert seen[0]["request_id"] == clicked["request_id"] == f"r{lists[2]}", "of the first surface"
    assert (clicked["item_id"], clicked["position"]) == ("a", 0)
    assert "request_id" not in sent[2][-1], "b was not in the list"
    assert report["accepted"] == 4 + 1 + 1 + 2


def test_a_list_that_misses_an_acknowledged_click_fails_the_replay(rtp: Rtp, shard: FakeShard, played: Path) -> None:
    shard.hidden = 1
    code, report = rtp("replay", "http", played, "--url", shard.url, "--json")
    assert (code, report["stale"]) == (1, 2)


def test_the_first_sessions_only(rtp: Rtp, shard: FakeShard, played: Path) -> None:
    _, report = rtp("replay", "http", played, "--url", shard.url, "--limit", "1", "--json")
    assert (report["sessions"], report["steps"]) == (1, 3)
    assert list(shard.seen) == ["x"]


def test_made_times_of_training_lines_end_before_the_played_ones(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    (tmp_path / "train").write_text("a b\n")
    (tmp_path / "test").write_text("a c\n")
    rtp("replay", "http", tmp_path / "test", "--url", shard.url, "--warm", tmp_path / "train", "--end", "100", "--json")
    times = sorted(event["ts_ms"] for mine in shard.seen.values() for event in mine.values())
    assert times == [97_000, 98_000, 99_000, 100_000]


def test_events_are_played_and_lists_asked_before_actions_on_items(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    rows = [
        {"session_id": "s", "event_type": "search", "ts_ms": 1},
        {"session_id": "s", "event_type": "view", "item_id": "a", "ts_ms": 2},
        {"session_id": "s", "user_id": "u", "event_type": "view", "item_id": "a", "ts_ms": 3},
        {"session_id": "s", "event_type": "fly", "item_id": "a", "ts_ms": 4},
    ]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    code, report = rtp("replay", "http", path, "--url", shard.url, "--json")
    assert code == 0
    assert (report["steps"], report["evaluations"], report["accepted"]) == (2, 1, 3)
    assert report["rejected"] == {"unknown_event_type": 1}
    asked = [json.loads(body) for _, route, _, body in shard.requests if route == "/v1/recommend"]
    assert [one.get("user_id") for one in asked] == [None, "u"]


def test_several_connections_keep_each_session_in_order(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    path = tmp_path / "test"
    path.write_text("\n".join(f"a{n} b{n} c{n}" for n in range(30)))
    code, report = rtp("replay", "http", path, "--url", shard.url, "--connections", "4", "--json")
    assert code == 0
    assert (report["sessions"], report["steps"], report["lists"], report["stale"]) == (30, 90, 90, 0)
    for mine in shard.seen.values():
        assert [one["item_id"][0] for one in mine.values()] == ["a", "b", "c"]


def test_without_json_it_prints_a_table(rtp: Rtp, shard: FakeShard, played: Path) -> None:
    code, out = rtp("replay", "http", played, "--url", shard.url)
    assert code == 0
    assert out.splitlines()[1].split() == ["surface", "over", "n", "HR@20", "MRR@20", "list", "ms", "p99", "ms"]
    assert out.splitlines()[2].split()[:5] == ["home", "protocol", "2", "0.5000", "0.5000"]
    assert out.splitlines()[3].split()[:6] == ["home", "all", "steps", "4", "0.5000", "0.5000"]
    assert "lists that missed an earlier acknowledged event: 0" in out


def test_an_unknown_surface_fails(rtp: Rtp, shard: FakeShard, played: Path) -> None:
    code, answer = rtp("replay", "http", played, "--url", shard.url, "--surface", "none", "--json")
    assert (code, answer["error"]["code"]) == (1, "unknown_surface")


def test_a_bad_line_stops_before_anything_is_skipped(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    path = tmp_path / "test"
    path.write_text("SessionId\tItemId\tTime\nx\ta\tsoon\n")
    code, answer = rtp("replay", "http", path, "--url", shard.url, "--json")
    assert (code, answer["error"]["code"]) == (1, "bad_file")
    assert shard.requests == []


@pytest.mark.parametrize("args", [[], ["--url", "http://x", "--k", "0"], ["--url", "http://x", "--connections", "0"]])
def test_wrong_use(rtp: Rtp, played: Path, args: list[str]) -> None:
    assert rtp("replay", "http", played, *args)[0] == 2


def test_real_sessions_of_serenade_give_its_evaluations(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    folder = os.environ.get("RTP_DATA")
    if folder is None:
        pytest.skip("RTP_DATA is not set: no real sessions to play")
    with zipfile.ZipFile(Path(folder) / "serenade" / "example.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith("test.txt"))
        (tmp_path / "test.txt").write_bytes(archive.read(name))
    code, report = rtp("replay", "http", tmp_path / "test.txt", "--url", shard.url, "--json")
    assert code == 0
    assert (report["sessions"], report["evaluations"], report["steps"]) == (302, 931, 1_233)
    assert (report["accepted"], report["stale"]) == (1_233, 0)
