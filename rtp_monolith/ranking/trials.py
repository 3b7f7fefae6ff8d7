"""A bundle that is tried beside the one in use: on a stable share of the people (canary), or unseen (shadow).

One at a time. It stands ready in the core with its own item vectors and light model, and for the lists of its people it
is lent the place of the bundle in use: a list is made without waiting for anything, so nobody else notices. Its stages
have breakers of their own. What is tried is a record in the log, so a restart goes on with it and its figures begin
again.

Invariant: when a trial ends, by hand or by `guard`, the bundle in use is as it was, and the log says why it ended. It
does not know files or HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from rtp_monolith._native import Ask
from rtp_monolith.clock import Clock
from rtp_monolith.config import Canary
from rtp_monolith.errors import BundleError, InvalidField
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.guard import Count, Side, verdict
from rtp_monolith.ranking.overlap import Again, Overlap, Served, Shadow
from rtp_monolith.ranking.reply import EXPLORED_BIT
from rtp_monolith.ranking.run import Run
from rtp_monolith.records import RecommendRequest
from rtp_monolith.state.shard_state import ShardState

Role = Literal["canary", "shadow"]
TICK_S = 0.05
BY_HAND = "ended by hand"
NEEDS_ANOTHER = "there must be another bundle in use beside the one that is tried"

log = logging.getLogger(__name__)


class Trial(msgspec.Struct, frozen=True):
    """What is tried; `share` is of the people (canary) or of their lists (shadow)."""

    role: Role
    name: str
    version: str
    share: float
    since_ms: int


class Ended(msgspec.Struct, frozen=True):
    """The trial that ended last, and why."""

    trial: Trial
    reason: str
    at_ms: int


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of a trial record of the log."""

    trial: Trial | None = None
    ended: Ended | None = None


class Report(msgspec.Struct, frozen=True):
    """What is tried, since when, with what figures: of both sides of a canary, or of the lists made again."""

    trial: Trial | None
    stays: Side | None = None
    tried: Side | None = None
    overlap: Overlap | None = None
    ended: Ended | None = None


_read = msgspec.json.Decoder(Record).decode
_write = msgspec.json.Encoder().encode


def recorded(body: bytes) -> Record:
    """What the latest trial record says; nothing when there is none."""
    return _read(body) if body else Record()


class Trials:
    """`trial` is what is tried at the moment, `active` its bundle."""

    def __init__(self, state: ShardState, guard: Canary, clock: Clock) -> None:
        self.trial: Trial | None = None
        self.active: Active | None = None
        self._state = state
        self._core = state.core
        self._guard = guard
        self._clock = clock
        self._ended: Ended | None = None
        self._again: Again | None = None
        self._vectors_changed: Callable[[bool], None] = lambda are_there: None
        self._shadow: Shadow | None = None
        self._counts = (Count(), Count())
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    def make_again_with(self, again: Again) -> None:
        """How a list is made with the bundle that is tried."""
        self._again = again

    def tell_of_vectors(self, changed: Callable[[bool], None]) -> None:
        """Who is told when the vectors on trial are others; False when there are none any more."""
        self._vectors_changed = changed

    def resume(self, prepare: Callable[[str, str], Active], stage: Callable[[Active], None]) -> None:
        """Goes on with what the log says is tried. A bundle that does not fit any more is left out."""
        said = recorded(self._core.trial)
        self._ended = said.ended
        if said.trial is None:
            return
        try:
            active = prepare(said.trial.name, said.trial.version)
        except BundleError as error:
            log.warning(
                "bundle %s/%s is not tried: %s: %s", said.trial.name, said.trial.version, error.code, error.message
            )
            return
        stage(active)
        self._hold(said.trial, active)

    async def begin(self, trial: Trial, active: Active) -> Report:
        """Tries a bundle whose vectors are staged. Raises Overloaded; then nothing is tried."""
        await self._state.record_trial(_write(Record(trial, self._ended)))
        self._hold(trial, active)
        return self.report()

    async def end(self, reason: str) -> Report:
        """Nothing is tried from the next list on. Raises BundleError `bundle_not_tried`, Overloaded."""
        trial = self.trial
        if trial is None:
            raise BundleError("bundle_not_tried", "no bundle is tried")
        self._ended = Ended(trial, reason, self._clock.wall_ms())
        self.drop()
        await self._state.record_trial(_write(Record(None, self._ended)))
        return self.report()

    def drop(self) -> None:
        """Out of the lists at once."""
        self.trial = self.active = self._shadow = None
        self._core.split_people(0, None)
        self._core.drop_beside()
        self._vectors_changed(False)

    def _hold(self, trial: Trial, active: Active) -> None:
        bundle = active.bundle
        self._core.hold_beside(bundle.prerank, bundle.prerank_plan)
        self._vectors_changed(True)
        self._counts = (Count(), Count())
        self.trial, self.active = trial, active
        if trial.role == "canary":
            self._core.split_people(salt_of(trial), trial.share)
        else:
            assert self._again is not None
            self._shadow = Shadow(self._again)

    def of(self, ask: Ask) -> Active | None:
        """The bundle on trial if this list is made with it."""
        if self.trial is not None and self.trial.role == "canary" and self._core.sees_beside(ask):
            return self.active
        return None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """The bundle on trial stands in the place of the one in use. Nothing may be awaited meanwhile."""
        self._core.swap_beside()
        try:
            yield
        finally:
            self._core.swap_beside()

    def made(self, run: Run, shown: int) -> None:
        """A list was sent."""
        trial = self.trial
        if trial is None:
            return
        if trial.role == "canary":
            self._counts[run.is_tried].add(run.degraded, shown, run.times.elapsed_ms())
        elif self._shadow is not None and isinstance(run.request, RecommendRequest):
            drawn = zlib.crc32(run.request_id.encode()) < trial.share * 2**32
            if drawn and not run.is_last_list:
                self._shadow.put(Served(run.request, self._items(run), self._core.state_version(run.ask), run.gathered))

    def _items(self, run: Run) -> tuple[str, ...]:
        """What the list shows, but for what it explores: that is no opinion of the bundle."""
        return tuple(item for item, _, sources in self._core.shown(run.ranked) if not sources & EXPLORED_BIT)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._run())

    def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.tick()

    async def tick(self) -> None:
        """One list of the shadow, or a look at the figures of the canary."""
        if self._shadow is not None:
            self._shadow.step()
        if self.trial is None or self.trial.role != "canary" or self._ending:
            return
        reason = verdict(*self._sides(), self._guard)
        if reason is not None:
            trial = self.trial
            log.warning("bundle %s/%s is taken back: %s", trial.name, trial.version, reason)
            self._ending = True
            try:
                await self.end(reason)
            finally:
                self._ending = False

    def _sides(self) -> tuple[Side, Side]:
        (stays, tried), clicks = self._counts, self._core.split_clicks
        return stays.side(clicks[0]), tried.side(clicks[1])

    def report(self) -> Report:
        trial = self.trial
        if trial is None:
            return Report(None, ended=self._ended)
        if trial.role == "canary":
            stays, tried = self._sides()
            return Report(trial, stays, tried, ended=self._ended)
        return Report(trial, overlap=None if self._shadow is None else self._shadow.report(), ended=self._ended)

    def stats(self) -> dict[str, int | float]:
        """Numbers for `/metrics`."""
        report = self.report()
        found: dict[str, int | float] = {"trial_share": 0.0 if report.trial is None else report.trial.share}
        for name, side in (("canary_stays", report.stays), ("canary_tried", report.tried)):
            if side is not None:
                found |= {f"{name}_{key}": value for key, value in msgspec.structs.asdict(side).items()}
        if report.overlap is not None:
            found |= {f"shadow_{key}": value for key, value in msgspec.structs.asdict(report.overlap).items()}
        return found


def checked_share(share: float) -> float:
    """Raises InvalidField `out_of_range`."""
    if not 0.0 < share <= 1.0:
        raise InvalidField("out_of_range", f"share: {share} is not in (0, 1]", "share")
    return share


def salt_of(trial: Trial) -> int:
    """The same people for a bundle whenever it is tried, others for another one."""
    digest = hashlib.blake2b(f"{trial.name}/{trial.version}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
