"""The card of a data directory: what it was made with and can never change afterwards.

Invariant: a directory that `claim` returned for holds exactly the manifest returned. It does not know the files beside
it.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from rtp_monolith.errors import DataError

LAYOUT = 1
NAME = "manifest.json"


class Manifest(msgspec.Struct, frozen=True):
    """`partitions`: the fixed number of partitions that user keys hash to."""

    layout: int
    partitions: int


def claim(data: Path, partitions: int, *, create: bool = True) -> Manifest:
    """The manifest of `data`, made with `partitions` when the directory is new.

    Raises DataError: `data_missing` (and `create` is False), `data_layout` for one made by another version,
    `data_unreadable` otherwise.
    """
    path = data / NAME
    try:
        if path.exists():
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        elif not create:
            raise DataError(f"{data} is not a data directory of rtp", code="data_missing")
        else:
            data.mkdir(parents=True, exist_ok=True)
            manifest = Manifest(LAYOUT, partitions)
            write_durably(path, msgspec.json.encode(manifest))
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: {error}", code="data_unreadable") from None
    if manifest.layout != LAYOUT:
        raise DataError(f"{path} says layout {manifest.layout}, this is {LAYOUT}", code="data_layout")
    return manifest


def write_durably(path: Path, content: bytes) -> None:
    """Whole or not at all, also when the power goes."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was named or renamed in the folder is on the disk when this returns."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
