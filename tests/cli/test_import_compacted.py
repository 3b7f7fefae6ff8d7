"""Items and users by a compacted stream: to a folder, over HTTP, from standard input, again, after an interruption."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith._native import Log
from rtp_monolith.clock import WallClock
from rtp_monolith.config import Config
from rtp_monolith.state.shard_state import ShardState

from .fake_shard import FakeShard

Rtp = Callable[..., tuple[int, Any]]
STREAM: list[dict[str, Any]] = [
    {"key": "a", "value": {"title": "A", "price": 1}, "ts": 1},
    {"key": "b", "value": {"title": "B", "price": 2}, "ts": 2},
    {"key": "a", "value": {"title": "A", "price": 3}, "ts": 3},
    {"key": "c", "value": {"title": "C", "colour": "red"}, "ts": 4},
    {"key": "b", "value": None, "ts": 5},
    {"key": "d", "value": None, "ts": 6},
]
PEOPLE: list[dict[str, Any]] = [
    {"key": "u", "value": {"attributes": {"tier": "gold", "age": 30}}},
    {"key": "v", "value": {"attributes": {"tier": "silver"}, "features": {"spent": 5}}},
    {"key": "u", "value": {"attributes": {"tier": "platinum"}}},
]


def written(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in records))
    return path


def frames(data: Path) -> list[int]:
    """Kinds of the records in the log, decisions and events among them."""
    log = Log(data / "log", read_only=True)
    found = [frame[2] for frame in log.frames(log.start(), 1 << 24)]
    log.close()
    return found


def state(data: Path, read: Callable[[ShardState], Any]) -> Any:
    shard = ShardState.open(data, Config(), WallClock())
    try:
        return read(shard)
    finally:
        shard.close()


def item(data: Path, name: str) -> Any:
    body = state(data, lambda shard: shard.item(name))
    return None if body is None else json.loads(body)


def attributes(data: Path, name: str) -> dict[str, Any]:
    """The user's attributes: those that a record without any would remove."""

    def read(shard: ShardState) -> Any:
        shard.load_request(name, name)
        gone = shard.core.replace_user(name, json.dumps({"id": name, "attributes": {}, "features": {}}).encode())
        return {} if gone is None else json.loads(gone)

    found: dict[str, Any] = state(data, read)
    return {part: sorted(found[part]) for part in ("attributes", "features") if found.get(part)}


def test_the_last_record_of_each_key_counts(rtp: Rtp, tmp_path: Path) -> None:
    data = tmp_path / "data"
    code, report = rtp(
        "import", "items", written(tmp_path / "s.jsonl", STREAM), "--compacted", "--data", data, "--json"
    )
    assert (code, report["format"], report["rows"]) == (0, "compacted", 6)
    assert (report["accepted"], report["superseded"], report["removed"], report["rejected"]) == (2, 2, 2, {})
    assert item(data, "a")["price"] == 3
    assert item(data, "c")["attributes"] == {"colour": "red"}
    assert item(data, "b") is None and item(data, "d") is None
    assert len(frames(data)) == 2, "what is superseded or was never there is not written"


def test_a_stream_that_is_read_again_writes_nothing(rtp: Rtp, tmp_path: Path) -> None:
    data, stream = tmp_path / "data", written(tmp_path / "s.jsonl", STREAM)
    rtp("import", "items", stream, "--compacted", "--data", data, "--json")
    before = frames(data)
    code, report = rtp("import", "items", stream, "--compacted", "--data", data, "--json")
    assert (code, report["accepted"], report["duplicates"], report["removed"]) == (0, 0, 2, 2)
    assert frames(data) == before
    # It goes on: one value is new, one key goes.
    more = [*STREAM, {"key": "c", "value": None}, {"key": "a", "value": {"title": "A", "price": 4}}]
    code, report = rtp("import", "items", written(stream, more), "--compacted", "--data", data, "--json")
    assert (report["accepted"], report["duplicates"], report["removed"]) == (1, 0, 3)
    assert len(frames(data)) == len(before) + 2
    assert item(data, "c") is None and item(data, "a")["price"] == 4


def test_interrupted_anywhere_it_is_run_again(rtp: Rtp, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    rtp("import", "items", written(tmp_path / "s.jsonl", STREAM), "--compacted", "--data", whole, "--json")
    for cut in range(len(STREAM)):
        data = tmp_path / f"cut{cut}"
        rtp("import", "items", written(tmp_path / "p.jsonl", STREAM[:cut]), "--compacted", "--data", data, "--json")
        code, _ = rtp("import", "items", tmp_path / "s.jsonl", "--compacted", "--data", data, "--json")
        assert code == 0
        assert [item(data, name) for name in "abcd"] == [item(whole, name) for name in "abcd"]


def test_users_are_taken_whole_and_taken_away(rtp: Rtp, tmp_path: Path) -> None:
    data, stream = tmp_path / "data", written(tmp_path / "u.jsonl", PEOPLE)
    code, report = rtp("import", "users", stream, "--compacted", "--data", data, "--json")
    assert (code, report["accepted"], report["superseded"]) == (0, 2, 1)
    assert attributes(data, "u") == {"attributes": ["tier"]}
    before = frames(data)
    _, report = rtp("import", "users", stream, "--compacted", "--data", data, "--json")
    assert (report["accepted"], report["duplicates"], frames(data)) == (0, 2, before)
    more = [{"key": "u", "value": {"attributes": {"age": 31}}}, {"key": "v", "value": None}]
    _, report = rtp("import", "users", written(stream, [*PEOPLE, *more]), "--compacted", "--data", data, "--json")
    assert report["accepted"] == 2
    assert attributes(data, "u") == {"attributes": ["age"]}, "what a record does not name is gone"
    assert attributes(data, "v") == {}


def test_over_http_what_is_put_and_what_is_taken_away_go_in_turn(rtp: Rtp, shard: FakeShard, tmp_path: Path) -> None:
    shard.records["items"] = [{"id": "b"}, {"id": "x/y"}, {"id": "z"}]
    stream = written(tmp_path / "s.jsonl", [*STREAM, {"key": "x/y", "value": None}])
    code, report = rtp("import", "items", stream, "--compacted", "--url", shard.url, "--json")
    assert (code, report["accepted"], report["removed"]) == (0, 2, 3)
    assert {record["id"] for record in shard.records["items"]} == {"a", "c", "z"}
    _, report = rtp("import", "items", stream, "--compacted", "--url", shard.url, "--json")
    assert (report["accepted"], report["duplicates"]) == (0, 2)
    people = written(tmp_path / "u.jsonl", [*PEOPLE, {"key": "v", "value": None}])
    assert rtp("import", "users", people, "--compacted", "--url", shard.url, "--json")[1]["accepted"] == 2
    assert shard.records["users"][1] == {"id": "v", "attributes": {}, "features": {}}


def test_from_standard_input(rtp: Rtp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(json.dumps(each) + "\n" for each in STREAM)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    code, report = rtp("import", "items", "-", "--compacted", "--data", tmp_path / "data", "--json")
    assert (code, report["accepted"], report["removed"]) == (0, 2, 2)


@pytest.mark.parametrize("options", [["-"], ["s.jsonl", "--compacted", "--skip-rows", "1"]])
def test_wrong_use(rtp: Rtp, tmp_path: Path, options: list[str]) -> None:
    written(tmp_path / "s.jsonl", STREAM)
    file, *rest = options
    where = file if file == "-" else str(tmp_path / file)
    assert rtp("import", "items", where, *rest, "--data", tmp_path / "data")[0] == 2


def test_a_row_that_cannot_be_read_is_named_and_the_rest_is_taken(rtp: Rtp, tmp_path: Path) -> None:
    records = [{"key": "a", "value": {"price": "cheap"}}, {"key": "b"}, {"key": "c", "value": {"title": "C"}}]
    stream = written(tmp_path / "s.jsonl", records)
    code, report = rtp("import", "items", stream, "--compacted", "--data", tmp_path / "data", "--json")
    assert (code, report["accepted"]) == (0, 1)
    assert report["rejected"] == {"wrong_type": 1, "missing_field": 1}
    assert {each["row"] for each in report["examples"]} == {1, 2}
