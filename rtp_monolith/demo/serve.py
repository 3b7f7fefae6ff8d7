"""The folder of the demo shard: made once for a seed, used again while its log is still recent.

Invariant: a folder that this module did not make is never emptied, and one that another process serves is not touched.
A shop whose log ended long ago has no trends left, so it is generated again; a seed makes the same shop every time.
Knows nothing of HTTP or of lists.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from itertools import islice
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from rtp_monolith.demo import shop, traffic
from rtp_monolith.errors import ConfigError
from rtp_monolith.records import IngestReply

# Counts up when the same recipe comes to make another shop or another log.
VERSION = 2
AGE_MAX_MS = 12 * 3_600_000
BATCH_ITEMS = 250
BATCH_EVENTS = 1000
# So many of the visits fall into the last hours: a shop that opens now must have something going on now.
RECENT_SHARE = 0.12
MARK = "shop.json"


class Recipe(msgspec.Struct, frozen=True):
    """What a shop is made of; two equal recipes make the same shop, apart from the time it ends."""

    seed: int = 7
    items: int = 3000
    events: int = 60_000
    version: int = VERSION


class Mark(msgspec.Struct, frozen=True):
    """Stands in the folder: what was made there, where its log ended, and whether all of it is in."""

    recipe: Recipe
    end_ms: int
    complete: bool


class Taker(Protocol):
    """The one thing asked of the shard."""

    def ingest_sync(
        self, kind: Literal["events", "items", "users"], body: bytes, media: Literal["ndjson"], *, trusted: bool
    ) -> IngestReply: ...


class ShopFolder:
    """The folder, held by this process until `close`. Raises ConfigError when it belongs to somebody else."""

    def __init__(self, folder: Path, recipe: Recipe, now_ms: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / MARK).exists() and any(path.name != "lock" for path in folder.iterdir()):
            raise ConfigError(f"{folder} is not empty and holds no demo shop: name another folder with --data")
        self.folder = folder
        self.shard = folder / "shard"
        self.recipe = recipe
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError(f"another process serves the demo shop in {folder}") from None
        mark = self._read()
        self.usable = mark is not None and mark.complete and mark.recipe == recipe and now_ms - mark.end_ms < AGE_MAX_MS
        if not self.usable:
            self._write(Mark(recipe, now_ms, complete=False))
            shutil.rmtree(self.shard, ignore_errors=True)

    def fill(self, state: Taker, now_ms: int) -> None:
        """Generates the shop, its log ending now, and writes both into an empty shard.

        Raises ConfigError when the shard refuses any of it: a shop with holes would teach the wrong thing."""
        items = shop.generate_items(self.recipe.items, seed=self.recipe.seed, end_ms=now_ms)
        log = traffic.traffic_of(
            items, self.recipe.events, seed=self.recipe.seed, end_ms=now_ms, recent_share=RECENT_SHARE
        )
        for start in range(0, len(items), BATCH_ITEMS):
            body = shop.to_ndjson(items[start : start + BATCH_ITEMS])
            _check(state.ingest_sync("items", body, "ndjson", trusted=True))
        lines = (line for part in log.parts() for line in log.pen.lines(part))
        while batch := b"".join(islice(lines, BATCH_EVENTS)):
            _check(state.ingest_sync("events", batch, "ndjson", trusted=True))
        self._write(Mark(self.recipe, now_ms, complete=True))
        self.usable = True

    def close(self) -> None:
        os.close(self._lock)

    def _read(self) -> Mark | None:
        try:
            return msgspec.json.decode((self.folder / MARK).read_bytes(), type=Mark)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _write(self, mark: Mark) -> None:
        fresh = self.folder / f"{MARK}.new"
        fresh.write_bytes(msgspec.json.encode(mark))
        fresh.replace(self.folder / MARK)


def _check(reply: IngestReply) -> None:
    if reply.rejected:
        first = reply.rejected[0]
        raise ConfigError(f"the shard refused {first.event_id} of the generated shop: {first.code}, {first.message}")
