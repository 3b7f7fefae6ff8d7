"""Nothing acknowledged is lost when the power goes: only what was synced is left of every file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rtp_monolith import config as configuration
from rtp_monolith.state.rebuild import verify
from tests.simulation import power
from tests.simulation.lineage import CONFIG, Lineage
from tests.simulation.shards import LightShard, Nursery

SEED = 29
CUTS = 100


def test_power_cuts(socket: Path, tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: the recorder of synced lengths cannot be built, power cuts are not tested")
    data = tmp_path / "data"
    supply = power.Power(data, tmp_path / "record", SEED)
    nursery = Nursery(supply.env(power.build(tmp_path, compiler)))
    try:
        lineage = Lineage(SEED, LightShard(nursery, data, CONFIG, socket), supply.cut)
        lineage.run(CUTS, compare_every=20)
        lineage.settle()
        lineage.shard.stop()
    finally:
        nursery.close()
    print(lineage.report(), f"{supply.cut_bytes} bytes and {supply.undone} names lost", sep=", ")
    assert supply.cut_bytes > 0 and supply.undone > 0, "the cuts took nothing: the recorder saw nothing"
    report = verify(data, configuration.parse(CONFIG))
    assert report.equal, report.different


FATES = """
import os, sys
data = sys.argv[1]
def write(name, *parts):
    fd = os.open(f"{data}/{name}", os.O_WRONLY | os.O_CREAT, 0o644)
    for part in parts:
        os.fsync(fd) if part is None else os.write(fd, part)
    return fd
write("half", b"synced", None, b" and not")
os.ftruncate(write("cut", b"synced", None), 2)
write("kept", b"old", None)
folder = os.open(data, os.O_RDONLY)
os.fsync(folder)
write("draft", b"new")
os.rename(f"{data}/draft", f"{data}/kept")
"""


@pytest.mark.parametrize("seed", range(3))
def test_the_recorder_knows_what_was_synced(seed: int, tmp_path: Path) -> None:
    """The model itself, with files of known fate."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("no C compiler: the recorder of synced lengths cannot be built")
    data = tmp_path / "data"
    supply = power.Power(data, tmp_path / "record", seed)
    command = [sys.executable, "-c", FATES, str(data)]
    env = {**os.environ, **supply.env(power.build(tmp_path, compiler))}
    subprocess.run(command, check=True, env=env)
    supply.cut()
    found = {path.name: path.read_bytes() for path in data.iterdir()}
    assert found.pop("draft", b"") == b"", "never synced: empty or gone"
    survived = supply.undone == 0
    assert found == {"half": b"synced", "cut": b"sy", "kept": b"" if survived else b"old"}
