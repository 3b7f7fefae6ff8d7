"""Files of a dataset that come one after another, each whole or not there: a run that was killed goes on behind the
last one and ends with the same files.

Invariant: a part that the card lists is on disk, whole, and never written again; a card says what run it belongs to,
and another run is refused. It does not know what stands in a part.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from rtp_monolith.errors import DataError
from rtp_monolith.manifest import write_durably

FORMAT = 1
NAME = "_dataset.json"
"""Readers of Parquet folders pass over what begins with an underline."""


class Part(msgspec.Struct, frozen=True):
    """One file: `lists` of the walk that it and what was left out before it take up, `past` the offset at which the
    state stands behind it, `counts` so far."""

    file: str
    sha256: str
    bytes: int
    rows: int
    lists: int
    past: int
    counts: dict[str, int]


class Card(msgspec.Struct, frozen=True):
    """What stands beside the parts. `run` is all that decides them; `complete` when no more will come."""

    format: int
    run: dict[str, Any]
    parts: list[Part] = []
    complete: bool = False
    counts: dict[str, int] = {}


class PartFolder:
    """The parts of one run under `folder`. Raises DataError: `dataset_differs` when the folder holds those of another
    run, `dataset_exists` when it holds something else, `data_unreadable`."""

    def __init__(self, folder: Path, run: dict[str, Any], may_differ: tuple[str, ...] = ()) -> None:
        """Of what may differ, the run that is there decides."""
        self.folder = folder
        path = folder / NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            card = msgspec.json.decode(path.read_bytes(), type=Card) if path.exists() else None
        except (OSError, msgspec.DecodeError) as error:
            raise DataError(f"{path}: {error}", code="data_unreadable") from None
        if card is None:
            if any(each.name != f"{Path(NAME).stem}.draft" for each in folder.iterdir()):
                raise DataError(f"{folder} is not empty and no dataset", code="dataset_exists")
            card = Card(FORMAT, run)
            write_durably(path, msgspec.json.encode(card))
        self.card = card
        kept = {key: value for key, value in run.items() if key not in may_differ}
        theirs = {key: value for key, value in card.run.items() if key not in may_differ}
        differing = sorted(key for key in kept.keys() | theirs.keys() if kept.get(key) != theirs.get(key))
        if card.format != FORMAT or differing:
            what = ", ".join(differing) or "format"
            raise DataError(f"{folder} holds another run's rows: {what} differ", code="dataset_differs")

    def draft(self) -> Path:
        """Where the next part is written."""
        return self.folder / f"_part-{len(self.card.parts):05d}.draft"

    def commit(self, rows: int, lists: int, past: int, counts: dict[str, int]) -> None:
        """The draft becomes a part."""
        draft = self.draft()
        digest = hashlib.sha256()
        with draft.open("rb") as file:
            os.fsync(file.fileno())
            while block := file.read(1 << 20):
                digest.update(block)
        final = draft.with_name(draft.stem.removeprefix("_") + ".parquet")
        size = draft.stat().st_size
        draft.replace(final)
        part = Part(final.name, digest.hexdigest(), size, rows, lists, past, counts)
        self._write(msgspec.structs.replace(self.card, parts=[*self.card.parts, part]))

    def complete(self, counts: dict[str, int]) -> None:
        """No more parts will come."""
        self.draft().unlink(missing_ok=True)
        self._write(msgspec.structs.replace(self.card, complete=True, counts=counts))

    def discard(self) -> None:
        """Takes the folder of a run without rows away."""
        for path in (self.draft(), self.folder / NAME):
            path.unlink(missing_ok=True)
        self.folder.rmdir()

    def _write(self, card: Card) -> None:
        write_durably(self.folder / NAME, msgspec.json.format(msgspec.json.encode(card), indent=1) + b"\n")
        self.card = card
