"""What a running shard says of its features, and `rtp features diff --url` against it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RTP, Shard
from tests.contract.conftest import Talk

LIKES = """
[features.user.likes]
meaning = "likes of a week"
aggregate = "count"
where = "event_type == 'like'"
window = "7d"
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "shard.toml").write_text(LIKES)
    shard = Shard(folder / "data", folder / "shard.log", ["--config", str(folder / "shard.toml")]).start()
    try:
        yield Talk(shard)
    finally:
        shard.stop()


def test_the_shard_lists_what_it_computes(served: Talk) -> None:
    document = served.expect(200, "GET", "/v1/features")
    (own,) = [each for each in document["features"] if each["own"]]
    assert (own["name"], own["scope"], own["version"], own["owner"]) == ("user_likes", "user", 1, "team")
    assert document["known"] == {"user_likes": {"1": own["fingerprint"]}}
    assert len({each["name"] for each in document["features"]}) == len(document["features"]) >= 80


def diff(*arguments: str) -> tuple[int, Any]:
    done = subprocess.run([*RTP, "features", "diff", *arguments, "--json"], capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1]) if done.stdout else done.stderr


def test_a_file_is_compared_with_a_running_shard(served: Talk, tmp_path: Path) -> None:
    same, changed, empty = (tmp_path / name for name in ("same.toml", "changed.toml", "folder"))
    same.write_text(LIKES)
    changed.write_text(LIKES.replace("7d", "1d"))
    empty.mkdir()
    url = ("--url", served.shard.url)
    assert diff(*url, str(same)) == (0, {"added": [], "removed": [], "renewed": [], "changed": [], "refused": []})
    code, document = diff(*url, str(changed))
    assert (code, document["refused"]) == (1, [{"code": "feature_changed", "feature": "user_likes"}])
    for arguments in ([*url, str(same), str(changed)], [str(same)], [*url, str(empty)]):
        assert diff(*arguments)[0] == 2, arguments
