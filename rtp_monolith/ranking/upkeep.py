"""What recall needs kept up beside the lists: the words of new items indexed, a graph of vectors where one pays.

Invariant: nothing here takes more than a moment of the loop: words are indexed a few items at a time, a graph is built
by a child process and read by a thread. It does not know bundles: it follows the vectors that the core has.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from rtp_monolith._native import Core
from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.ranking.nearest import Build, Nearest, Shape

Lent = Callable[[], AbstractContextManager[None]]

log = logging.getLogger(__name__)

TICK_S = 0.05
ANN = ("ann", "ann_user")
INDEXED_PER_TICK = 100
INDEXED_AT_START = 1 << 30


class Graphs:
    """The graph of one bundle's vectors, where the catalogue is so large that one may pay. `nearest` is what the lists
    ask; `lent` puts the vectors in the place of those in use for as long as the core is looked at."""

    def __init__(self, core: Core, config: Config, clock: Clock, lent: Lent = nullcontext) -> None:
        self.nearest = Nearest(core, clock.monotonic_s)
        self._core = core
        self._lent = lent
        sources = [
            surface.sources[name] for surface in config.surfaces.values() for name in ANN if name in surface.sources
        ]
        self._quota = self._wanted = max((source.quota for source in sources), default=0)
        """How many a search asks for; 0 where no graph is wanted."""
        self._build: Build | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def building(self) -> bool:
        return self._build is not None

    def vectors_changed(self, are_there: bool = True) -> None:
        """Other vectors altogether, or none: a graph of the old ones is of no use."""
        self.stop()
        self._wanted = self._quota if are_there else 0
        self.nearest.adopt(None, 0)

    async def tick(self) -> None:
        """The graph follows the catalogue; one that is due is begun, one that is built is adopted."""
        if self._build is not None:
            await self._look_at_the_build(self._build)
            return
        if self.nearest.graph is None and not self._wanted:
            return
        with self._lent():
            self.nearest.follow()
            if self.nearest.graph is None and self.nearest.wants_graph():
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
            with self._lent():
                if not self.nearest.adopt(graph, self._wanted):
                    self._wanted = 0  # no use building it again
        self.stop()

    def stop(self) -> None:
        """Gives up what is being built."""
        if self._build is not None:
            self._build.stop()
            self._build = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


class Upkeep:
    """`graphs` are of the bundle in use, `beside` of the one that is tried, whose vectors are `lent`. Without `attach`
    only what `start` does is done."""

    def __init__(self, core: Core, config: Config, clock: Clock, lent: Lent) -> None:
        self.graphs = Graphs(core, config, clock)
        self.beside = Graphs(core, config, clock, lent)
        self.beside.vectors_changed(False)
        self._core = core
        self._searches = any("text" in surface.sources for surface in config.surfaces.values())
        self._task: asyncio.Task[None] | None = None

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
        self.graphs.stop()
        self.beside.stop()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.tick()

    async def tick(self) -> None:
        """A little of whatever is to be done. One graph at a time is built."""
        if self._searches:
            self._core.index_text(INDEXED_PER_TICK)
        await self.graphs.tick()
        if not self.graphs.building:
            await self.beside.tick()
