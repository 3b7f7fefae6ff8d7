from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.cli.main import run
from tests.conftest import StartShard
from tests.ranking.bundles import flipped, make_bundle


class Command:
    """`rtp models …` with `--json`: its exit code and its document."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *args: str) -> tuple[int, Any]:
        code = run(["models", *args, "--json"])
        lines = self._capsys.readouterr().out.splitlines()
        return code, json.loads(lines[-1]) if lines else None


@pytest.fixture
def rtp(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """`tiny/1`, `tiny/2`, and `tiny/3` with a bit turned."""
    folder = tmp_path / "models"
    for version in ("1", "2"):
        make_bundle(folder, version=version)
    flipped(make_bundle(folder, version="3") / "items.npy")
    return folder


def named(version: str | None) -> Any:
    return None if version is None else {"name": "tiny", "version": version}


def test_a_folder_is_listed_shown_and_verified_without_a_shard(rtp: Command, models: Path) -> None:
    code, listing = rtp("list", "--models", str(models))
    assert (code, listing["active"]) == (0, None)
    assert [each["version"] for each in listing["bundles"]] == ["1", "2", "3"]
    code, shown = rtp("show", "tiny", "2", "--models", str(models))
    assert (code, shown["active"], shown["manifest"]["version"]) == (0, False, "2")
    code, verified = rtp("verify", "tiny", "1", "--models", str(models))
    assert (code, verified["fits"], verified["items"], verified["heads"]) == (
        0,
        True,
        60,
        ["click", "cart", "purchase"],
    )


def test_what_does_not_fit_ends_with_1_and_its_code(rtp: Command, models: Path, tmp_path: Path) -> None:
    code, refused = rtp("verify", "tiny", "3", "--models", str(models))
    assert (code, refused["error"]["code"]) == (1, "bundle_checksum")
    code, refused = rtp("show", "tiny", "4", "--models", str(models))
    assert (code, refused["error"]["code"]) == (1, "bundle_missing")
    data = tmp_path / "data"
    (tmp_path / "items.jsonl").write_text('{"id": "i1"}\n')
    assert run(["import", "items", str(tmp_path / "items.jsonl"), "--data", str(data)]) == 0
    code, refused = rtp("activate", "tiny", "3", "--data", str(data), "--models", str(models))
    assert (code, refused["error"]["code"]) == (1, "bundle_checksum")
    code, refused = rtp("rollback", "--data", str(data), "--models", str(models))
    assert (code, refused["error"]["code"]) == (1, "bundle_no_previous")


@pytest.mark.parametrize(
    "args", [["activate", "tiny", "1"], ["rollback"], ["list"], ["verify", "tiny", "1"], ["verify"]]
)
def test_wrong_use_ends_with_2(args: list[str]) -> None:
    assert run(["models", *args]) == 2


def test_a_stopped_shard_serves_what_was_activated_when_it_starts(
    rtp: Command, models: Path, start_shard: StartShard, tmp_path: Path
) -> None:
    shard = start_shard("--models", str(models))
    shard.call("PUT", "/v1/items", [{"id": "i1"}, {"id": "i2"}])
    code, status = rtp("activate", "tiny", "2", "--url", shard.url)
    assert (code, status) == (0, {"active": named("2"), "previous": None})
    code, listing = rtp("list", "--url", shard.url)
    assert (code, [each["active"] for each in listing["bundles"]]) == (0, [False, True, False])
    assert rtp("show", "tiny", "2", "--url", shard.url)[1]["active"] is True
    assert rtp("activate", "tiny", "9", "--url", shard.url)[1]["error"]["code"] == "bundle_missing"
    code, refused = rtp("list", "--data", str(shard.data), "--models", str(models))
    assert (code, refused["error"]["code"]) == (1, "data_locked")
    shard.stop()
    at = ("--data", str(shard.data), "--models", str(models))
    assert rtp("activate", "tiny", "1", *at) == (0, {"active": named("1"), "previous": named("2")})
    listing = rtp("list", *at)[1]
    assert (listing["active"], listing["previous"]) == (named("1"), named("2"))
    assert rtp("rollback", *at) == (0, {"active": named("2"), "previous": named("1")})
    assert rtp("rollback", *at)[1]["active"] == named("1")
    shard.start()
    assert shard.call("POST", "/v1/recommend", {"surface": "home", "session_id": "s"})[1]["model"] == named("1")
    assert rtp("rollback", "--url", shard.url)[1] == {"active": named("2"), "previous": named("1")}
