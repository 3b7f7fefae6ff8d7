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
    assert written == {"items": 80, "events": 500, "seed": 3, "end_ms": end_ms, "out": str(tmp_path)}
    last = orjson.loads((tmp_path / "events.jsonl").read_bytes().splitlines()[-1])
    assert last["ts_ms"] == end_ms


def test_a_shop_smaller_than_its_categories_is_wrong_use(tmp_path: Path) -> None:
    result = CliRunner().invoke(generate, ["shop", "--items", "57", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "57 is not in the range" in result.output
