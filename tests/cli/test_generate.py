from __future__ import annotations

from pathlib import Path

import orjson
from click.testing import CliRunner

from rtp_monolith.cli.generate import generate

SHOP = ["shop", "--items", "80", "--events", "500", "--seed", "3"]


def test_the_same_options_write_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        result = CliRunner().invoke(generate, [*SHOP, "--out", str(tmp_path / name)])
        assert result.exit_code == 0, result.output
    for file in ("items.jsonl", "events.jsonl"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert len((tmp_path / "a" / "items.jsonl").read_bytes().splitlines()) == 80
    assert len((tmp_path / "a" / "events.jsonl").read_bytes().splitlines()) == 500


def test_the_log_ends_when_told_and_json_is_alone_on_stdout(tmp_path: Path) -> None:
    end_ms = 1_700_000_000_000
    result = CliRunner().invoke(generate, [*SHOP, "--out", str(tmp_path), "--end-ms", str(end_ms), "--json"])
    written = orjson.loads(result.stdout)
    assert written == {
        "items": 80, "events": 500, "shoppers": 900, "setting": "intent", "seed": 3, "end_ms": end_ms,
        "out": str(tmp_path),
    }  # fmt: skip
    last = orjson.loads((tmp_path / "events.jsonl").read_bytes().splitlines()[-1])
    assert last["ts_ms"] == end_ms


def test_sessions_go_beside_each_other_and_settings_and_sizes_are_heard(tmp_path: Path) -> None:
    options = ["--events", "25000", "--shoppers", "300", "--days", "5", "--setting", "markov", "--json"]
    sessions = ["--sessions-out", str(tmp_path / "s" / "visits.txt")]
    result = CliRunner().invoke(generate, [*SHOP, *options, *sessions, "--out", str(tmp_path)])
    written = orjson.loads(result.stdout)
    assert (written["events"], written["shoppers"], written["setting"]) == (25_000, 300, "markov")
    ids = {orjson.loads(line)["id"] for line in (tmp_path / "items.jsonl").read_bytes().splitlines()}
    for part in ("train", "test"):
        lines = (tmp_path / "s" / f"visits.{part}.txt").read_text().splitlines()
        assert len(lines) == written["sessions"][part] > 1
        assert all(len(line.split()) >= 2 and set(line.split()) <= ids for line in lines)
    events = [orjson.loads(line) for line in (tmp_path / "events.jsonl").read_bytes().splitlines()]
    assert len(events) == 25_000
    assert events[-1]["ts_ms"] - events[0]["ts_ms"] <= 5 * 86_400_000
    assert {event["user_id"] for event in events if "user_id" in event} <= {f"shopper-{n:04d}" for n in range(300)}


def test_some_items_may_be_bare(tmp_path: Path) -> None:
    result = CliRunner().invoke(generate, [*SHOP, "--bare-share", "0.2", "--out", str(tmp_path)])
    assert result.exit_code == 0
    items = [orjson.loads(line) for line in (tmp_path / "items.jsonl").read_bytes().splitlines()]
    assert 4 < sum("title" not in item or "price" not in item for item in items) < 30


def test_a_shop_smaller_than_its_categories_is_wrong_use(tmp_path: Path) -> None:
    result = CliRunner().invoke(generate, ["shop", "--items", "57", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "57 is not in the range" in result.output
