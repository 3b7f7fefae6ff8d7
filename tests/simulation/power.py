"""What a power cut leaves of a directory, from the record of `recorder.c`.

The model is a journaling file system with ordered metadata. Every file is cut to the length at which it was last synced
in this life, or to what it had when the life began; a file that was never synced is empty. Names are made, changed and
removed in order; those after the last sync of their directory are undone from a random point on. Bytes that were
overwritten in place and folders that were made count as written.

Invariant: what is on the disk after `cut` is what the next life may rely on. It knows neither log nor views.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from random import Random

SOURCE = Path(__file__).with_name("recorder.c")


def build(folder: Path, compiler: str) -> Path:
    """The recorder as a library to preload."""
    library = folder / "recorder.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    return library


class Power:
    """The power supply of one data directory; `begin` before each life, `cut` after each death."""

    def __init__(self, data: Path, record: Path, seed: int) -> None:
        self._data = data
        self._record = record
        self._rng = Random(f"{seed}/power")
        self._lengths: dict[int, int] = {}
        self.cut_bytes = 0
        self.undone = 0
        record.mkdir()
        data.mkdir()

    def env(self, library: Path) -> dict[str, str]:
        return {"LD_PRELOAD": str(library), "RTP_CUT_DATA": str(self._data), "RTP_CUT_RECORD": str(self._record)}

    def cut(self) -> None:
        """Takes the directory back to what is certain, and begins a new record."""
        lengths, names = self._read()
        for operation in reversed(names[self._rng.randrange(len(names) + 1) :]):
            self.undone += 1
            self._undo(operation)
        self._lengths = {}
        for path in self._data.rglob("*"):
            if path.is_file():
                status = path.stat()
                length = min(status.st_size, lengths.get(status.st_ino, 0))
                if length < status.st_size:
                    self.cut_bytes += status.st_size - length
                    os.truncate(path, length)
                self._lengths[status.st_ino] = length
        for path in self._record.iterdir():
            path.unlink()

    def _read(self) -> tuple[dict[int, int], list[list[str]]]:
        """Synced lengths by inode, and the changes of names that no sync of their directory followed."""
        lengths = dict(self._lengths)
        names: list[list[str]] = []
        record = self._record / "record"
        for line in record.read_text().splitlines() if record.exists() else ():
            kind, *words = line.split(" ")
            if kind == "S":
                lengths[int(words[0])] = int(words[1])
            elif kind == "T":
                lengths[int(words[0])] = min(lengths.get(int(words[0]), 0), int(words[1]))
            elif kind == "D":
                synced = Path(words[0])
                names = [each for each in names if Path(each[-1]).parent != synced]
            else:
                if kind == "C":
                    lengths[int(words[0])] = 0
                names.append([kind, *words])
        return lengths, names

    def _undo(self, operation: list[str]) -> None:
        kind, kept = operation[0], self._record / operation[1]
        name = Path(operation[-1])
        with contextlib.suppress(FileNotFoundError):
            if kind == "C":
                name.unlink()
            elif kind == "R":
                name.rename(operation[2])
        if kind in "RU" and kept.exists() and not name.exists() and name.parent.is_dir():
            os.link(kept, name)
