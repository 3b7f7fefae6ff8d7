"""Nothing acknowledged is lost and nothing counts twice, however often the shard is killed."""

from __future__ import annotations

from pathlib import Path

from rtp_monolith import config as configuration
from rtp_monolith.state.rebuild import verify
from tests.simulation.lineage import CONFIG, Lineage
from tests.simulation.shards import LightShard, Nursery


def test_killed_while_writing_and_flushing(nursery: Nursery, socket: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    lineage = Lineage(11, LightShard(nursery, data, CONFIG, socket))
    lineage.run(60)
    lineage.settle()
    lineage.shard.stop()
    print(lineage.report())
    report = verify(data, configuration.parse(CONFIG))
    assert report.equal, report.different
