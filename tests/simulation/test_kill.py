"""Nothing acknowledged is lost and nothing counts twice, however often the shard is killed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rtp_monolith import config as configuration
from rtp_monolith.state.rebuild import verify
from tests.simulation.lineage import CONFIG, Lineage
from tests.simulation.shards import HttpShard, LightShard, Nursery


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def socket() -> Iterator[Path]:
    """A short path: those of local sockets have at most 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rtp-") as folder:
        yield Path(folder) / "s"


def test_killed_while_writing_and_flushing(nursery: Nursery, socket: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    lineage = Lineage(11, LightShard(nursery, data, CONFIG, socket))
    lineage.run(60)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report())
    report = verify(data, configuration.parse(CONFIG))
    assert report.equal, report.different
