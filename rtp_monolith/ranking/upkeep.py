"""What recall needs kept up beside the lists: the words of new items indexed, a graph of vectors where one pays.

Invariant: nothing here takes more than a moment of the loop: words are indexed a few items at a time, a graph is built
by a child process and read by a thread. It does not know bundles: it follows the vectors that the core has.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from pathlib import Path

from rtp_monolith._native import Core
from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.ranking.nearest import Build, Nearest, Shape

log = logging.getLogger(__name__)

TICK_S = 0.05
INDEXED_PER_TICK = 100
INDEXED_AT_START = 1 << 30


class Upkeep:
    """`nearest` is what the lists ask. Without `attach` only what `start` does is done."""

    def __init__(self, core: Core, config: Config, clock: Clock) -> None:
        self.nearest = Nearest(core, clock.monotonic_s)
        self._core = core
        sources = [surface.sources for surface in config.surfaces.values()]
        self._searches = any("text" in each for each in sources)
        self._wanted = max((each["ann"].quota for each in sources if "ann" in each), default=0)
        self._task: asyncio.Task[None] | None = None
        self._build: Build | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def start(self) -> None:
        """Everything that is there now; a shard is not ready before."""
        if self._searches:
            self._core.index_text(INDEXED_AT_START)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._stop_build()

    def vectors_changed(self) -> None:
        """Other vectors altogether: a graph of the old ones is of no use."""
        self._stop_build()
        self.nearest.adopt(None, 0)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.tick()

    async def tick(self) -> None:
        """A little of whatever is to be done."""
        if self._searches:
            self._core.index_text(INDEXED_PER_TICK)
        self.nearest.follow()
        if self._build is not None:
            await self._look_at_the_build(self._build)
        elif self._wanted and self.nearest.graph is None and self.nearest.wants_graph():
            self._folder = tempfile.TemporaryDirectory(prefix="rtp-graph-")
            self._build = Build(self._core, Path(self._folder.name), Shape(), self._wanted)

    async def _look_at_the_build(self, build: Build) -> None:
        """Adopts the graph once it is there, if the vectors are still those and it is quicker than the scan."""
        try:
            graph = await asyncio.to_thread(build.done)
        except ChildProcessError as error:
            log.warning("%s; the scan goes on", error)
            self._wanted = 0
        else:
            if graph is None or build is not self._build:
                return
            if not self.nearest.adopt(graph, self._wanted):
                self._wanted = 0  # no use building it again
        self._stop_build()

    def _stop_build(self) -> None:
        if self._build is not None:
            self._build.stop()
            self._build = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
