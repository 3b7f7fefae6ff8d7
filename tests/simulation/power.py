"""A shard whose power is cut: the process dies and every file keeps only what was synced.

Invariant: after `kill` no file is longer than its last synced length. The model: names and renames are durable (a file
system with a journal), contents are what fsync and fdatasync covered; bytes that were overwritten in place stay as they
were written last. `recorder.c`, preloaded into the shard, knows the lengths.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.simulation.shards import LightShard, Nursery

SOURCE = Path(__file__).with_name("recorder.c")


def build_recorder(folder: Path) -> Path:
    """The compiled recording layer; without a C compiler the test says that it was skipped, and why."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler: the layer that records syncs cannot be built")
    library = folder / "recorder.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return library


def recording_nursery(library: Path, data: Path, record: Path) -> Nursery:
    """Forks shards that record what they sync under `data`."""
    return Nursery({"LD_PRELOAD": str(library), "RTP_SYNC_ROOT": str(data), "RTP_SYNC_RECORD": str(record)})


class PowerCutShard(LightShard):
    """A light shard that loses with its life whatever was not synced."""

    def __init__(self, nursery: Nursery, data: Path, config: str, socket: Path, record: Path) -> None:
        super().__init__(nursery, data, config, socket)
        self._record = record
        self._durable: dict[str, int] = {}
        self.cut_bytes = 0
        self.cuts = 0

    def kill(self) -> None:
        super().kill()
        self._read_record()
        for path in sorted(p for p in self.data.rglob("*") if p.is_file()):
            length = self._durable.get(str(path), 0)
            size = path.stat().st_size
            if size > length:
                os.truncate(path, length)
                self.cut_bytes += size - length
            self._durable[str(path)] = min(size, length)
        self.cuts += 1

    def _read_record(self) -> None:
        for line in self._record.read_text().splitlines():
            kind, rest = line.split(" ", 1)
            if kind == "S":
                length, path = rest.split(" ", 1)
                self._durable[path] = int(length)
            else:
                old, new = rest.split("\t")
                self._durable[new] = self._durable.pop(old, 0)
        self._record.write_text("")
