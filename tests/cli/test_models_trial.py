"""`rtp models canary|shadow|trial|end`, on a running shard and on a stopped one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.cli.main import run
from tests.conftest import StartShard

from .test_models import Command, models, rtp

__all__ = ["models", "rtp"]


def test_a_trial_begins_is_told_of_goes_on_after_a_restart_and_ends(
    rtp: Command, models: Path, start_shard: StartShard, capsys: pytest.CaptureFixture[str]
) -> None:
    shard = start_shard("--models", str(models))
    shard.call("PUT", "/v1/items", [{"id": "i1"}, {"id": "i2"}])
    at = ("--url", shard.url)
    assert rtp("activate", "tiny", "1", *at)[0] == 0
    assert rtp("canary", "tiny", "1", *at)[1]["error"]["code"] == "bundle_in_use"
    code, report = rtp("canary", "tiny", "2", "--share", "0.5", *at)
    assert (code, report["trial"]["role"], report["trial"]["share"]) == (0, "canary", 0.5)
    seen = set()
    for n in range(30):
        reply = shard.call("POST", "/v1/recommend", {"surface": "home", "session_id": f"p{n}"})[1]
        seen.add(reply["model"]["version"])
    assert seen == {"1", "2"}
    report = rtp("trial", *at)[1]
    assert report["stays"]["lists"] + report["tried"]["lists"] == 30
    assert run(["models", "trial", *at]) == 0
    assert "canary: tiny/2, a share of 0.5" in capsys.readouterr().out
    shard.stop()
    offline = ("--data", str(shard.data))
    assert rtp("trial", *offline)[1]["trial"]["version"] == "2"
    shard.start()
    at = ("--url", shard.url)
    assert rtp("trial", *at)[1]["trial"]["version"] == "2"
    report = rtp("end", *at)[1]
    assert (report["trial"], report["ended"]["reason"]) == (None, "ended by hand")
    assert rtp("end", *at)[1]["error"]["code"] == "bundle_not_tried"
    code, report = rtp("shadow", "tiny", "2", "--share", "1", *at)
    assert (code, report["trial"]["role"], report["overlap"]["lists"]) == (0, "shadow", 0)
    shard.stop()
    assert rtp("end", *offline)[1]["ended"]["reason"] == "ended by hand"
    assert rtp("end", *offline)[1]["error"]["code"] == "bundle_not_tried"
    more = ("--models", str(models))
    assert rtp("canary", "tiny", "3", *offline, *more)[1]["error"]["code"] == "bundle_checksum"
    assert rtp("canary", "tiny", "1", *offline, *more)[1]["error"]["code"] == "bundle_in_use"
    assert rtp("canary", "tiny", "2", "--share", "1", *offline, *more)[0] == 0
    shard.start()
    assert shard.call("POST", "/v1/recommend", {"surface": "home", "session_id": "s"})[1]["model"]["version"] == "2"


@pytest.mark.parametrize(
    "args", [["canary", "tiny"], ["canary", "tiny", "1", "--share", "0"], ["shadow", "tiny", "1"], ["trial"], ["end"]]
)
def test_wrong_use_ends_with_2(args: list[str]) -> None:
    assert run(["models", *args]) == 2
