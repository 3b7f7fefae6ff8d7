"""What was acknowledged survives a power cut, which takes everything that was not synced."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rtp_monolith import config as configuration
from rtp_monolith.state.rebuild import verify
from tests.simulation.lineage import CONFIG, Lineage
from tests.simulation.power import PowerCutShard, build_recorder, recording_nursery

CUTS = 100


def test_a_hundred_power_cuts(tmp_path: Path) -> None:
    data, record = tmp_path / "data", tmp_path / "record"
    record.touch()
    nursery = recording_nursery(build_recorder(tmp_path), data, record)
    try:
        with tempfile.TemporaryDirectory(prefix="rtp-") as folder:
            shard = PowerCutShard(nursery, data, CONFIG, Path(folder) / "s", record)
            lineage = Lineage(23, shard)
            lineage.run(CUTS)
            lineage.settle()
            shard.stop()
            print(f"{lineage.report()}, {shard.cut_bytes} bytes cut")
    finally:
        nursery.close()
    assert shard.cuts >= CUTS
    assert shard.cut_bytes > 0, "nothing was ever lost: the cuts were no cuts"
    report = verify(data, configuration.parse(CONFIG))
    assert report.equal, report.different
