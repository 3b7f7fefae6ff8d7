"""Real clicks through a real shard: Serenade's train part imported, its test part played click by click.

The published figures (HR@20 .6402, MRR@20 .3277; README of bolcom/serenade) come from an index that never changes. Here
it is live: it learns each test click as it comes, and the session that asks is left out of its own neighbours.
"""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests.conftest import RTP, StartShard

CONFIG = Path(__file__).parents[2] / "bench" / "serenade.toml"
EVALUATIONS = 931


@pytest.fixture(scope="module")
def clicks(rtp_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serenade")
    with zipfile.ZipFile(rtp_data / "serenade" / "example.zip") as archive:
        for name in ("train.txt", "test.txt"):
            archive.extract(name, folder)
    return folder


def test_live_session_knn_reaches_its_published_figures(clicks: Path, start_shard: StartShard) -> None:
    shard = start_shard("--clock", "events", config=CONFIG.read_text())
    options = ["--train", str(clicks / "train.txt"), "--json"]
    options += [word for name in ("knn", "popular", "covis") for word in ("--surface", name)]
    played = subprocess.run(
        [*RTP, "replay", "http", str(clicks / "test.txt"), "--url", shard.url, *options],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert played.returncode == 0, played.stderr
    report = json.loads(played.stdout.splitlines()[-1])
    assert report["train"]["accepted"] == 113_601
    assert (report["sessions"], report["steps"], report["evaluations"]) == (302, 1_233, EVALUATIONS)
    assert report["stale"] == 0, "a list missed a click that was acknowledged before it was asked for"
    by_surface = {one["surface"]: one["protocol"] for one in report["surfaces"]}
    assert by_surface["knn"]["hr"] == pytest.approx(0.640, abs=0.01)
    assert by_surface["knn"]["mrr"] == pytest.approx(0.328, abs=0.01)
    assert by_surface["popular"]["hr"] < 0.05, "popularity knows nothing of the session"
    assert by_surface["covis"]["mrr"] < by_surface["knn"]["mrr"]
