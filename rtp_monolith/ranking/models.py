"""Which bundle is served: found at start, changed by an activation, taken back by a rollback.

An activation is a record in the log, so a restart serves what was served before it. A bundle is read, verified and
warmed beside the loop, then swapped in between two requests; one that does not fit is refused with a code, and the one
that is served stays.

Invariant: `active` is what the log says, or, before the first activation, the newest bundle that fits. It does not
know HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import BundleError, ConfigError, FeatureError
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking import bundle_files
from rtp_monolith.ranking.active import Active, fit
from rtp_monolith.ranking.bundle import Bundle, load
from rtp_monolith.ranking.content import AT_START, SLICE, catch_up
from rtp_monolith.ranking.surfaces import CompiledSurface, compile_surfaces
from rtp_monolith.ranking.trials import BY_HAND, NEEDS_ANOTHER, Report, Role, Trial, Trials, checked_share
from rtp_monolith.ranking.upkeep import Upkeep
from rtp_monolith.state.shard_state import ShardState

STAGED_ROWS = 1_000

log = logging.getLogger(__name__)


class Version(msgspec.Struct, frozen=True):
    """A bundle by its names."""

    name: str
    version: str


class Listed(msgspec.Struct, frozen=True):
    """A bundle in the folder; without a readable manifest it has no metrics."""

    name: str
    version: str
    active: bool
    metrics: dict[str, Any]


class Status(msgspec.Struct, frozen=True):
    """What is served, and what a rollback would serve."""

    active: Version | None
    previous: Version | None


class Listing(msgspec.Struct, frozen=True):
    active: Version | None
    previous: Version | None
    bundles: list[Listed]


class Described(msgspec.Struct, frozen=True):
    """The manifest of a bundle, and whether it is served."""

    active: bool
    manifest: bundle_files.Manifest


class Models:
    """The bundles of one shard. `surfaces` are compiled here because a bundle has to fit them."""

    def __init__(
        self, state: ShardState, config: Config, clock: Clock, metrics: Metrics, folder: Path | None = None
    ) -> None:
        self.surfaces: Mapping[str, CompiledSurface] = compile_surfaces(config)
        self.active: Active | None = None
        self.trials = Trials(state, config.canary, clock)
        self.upkeep = Upkeep(state.core, config, clock, self.trials.lent)
        self.trials.tell_of_vectors(self.upkeep.beside.vectors_changed)
        self._clock = clock
        self._state = state
        self._metrics = metrics
        self._folder = folder
        self._encodings_max = config.cascade.encodings_cached_max
        self._one_at_a_time = asyncio.Lock()
        self._making: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Serves what was served last, else the newest that fits.

        Raises ConfigError when a surface's value names a head that the newest bundle lacks, and FeatureError
        `feature_removed` when the team's features lack one that the bundle served last reads.
        """
        self.upkeep.start()
        if self._folder is None:
            return
        core = self._state.core
        recorded = [each for each in (core.active_bundle, core.previous_bundle) if each is not None]
        for name, version in [*recorded, *reversed(bundle_files.list_bundles(self._folder))]:
            try:
                self._use(self._prepare(name, version))
            except BundleError as error:
                if error.code == "bundle_feature_missing" and (name, version) == core.active_bundle:
                    self._refuse_removal(name, version)
                if error.code == "bundle_head_missing" and not recorded:
                    raise ConfigError(error.message) from None
                log.warning("bundle %s/%s is not served: %s: %s", name, version, error.code, error.message)
            else:
                break

    def resume(self) -> None:
        """Goes on with what was tried beside it. Before anybody asks for a list."""
        if self.active is not None:
            self.trials.resume(self._prepare, lambda active: self._stage_part(active.bundle, slice(None)))

    def _refuse_removal(self, name: str, version: str) -> None:
        manifest = bundle_files.read_manifest(self._path(name, version))
        present = {feature.name for feature in self._state.features}
        removed = [each for each in manifest.features if each in self._state.introduced and each not in present]
        if removed:
            text = f"`{removed[0]}` was declared and is not any more; the active bundle {name}/{version} reads it"
            raise FeatureError(text, code="feature_removed", field=removed[0])

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keeps up from now on what the lists search in."""
        self.upkeep.attach(loop)
        self.trials.attach(loop)
        self._state.items_changed = self.make_vectors
        self._making = loop.create_task(self.make_vectors())

    def close(self) -> None:
        if self._making is not None:
            self._making.cancel()
        self.trials.close()
        self.upkeep.close()

    async def activate(self, name: str, version: str) -> Status:
        """Serves this bundle from the next request on. Raises BundleError; then everything is as before."""
        async with self._one_at_a_time:
            active = await asyncio.to_thread(self._prepare, name, version)
            if self.trials.trial is not None:
                await self.trials.end(f"{name}/{version} was activated")
            await self._stage(active.bundle)
            await self._write_down_what_was_chosen()
            await self._state.record_activation(name, version)
            self._state.core.adopt_vectors()
            self._serve(active)
        await self.make_vectors()
        return self.status()

    async def make_vectors(self) -> None:
        """Of items that the bundle in use, or the one that is tried, was not trained on and that are new or changed."""
        for active, beside in ((self.active, False), (self.trials.active, True)):
            if active is not None:
                await catch_up(self._state.core, active.bundle.maker, beside=beside)

    async def rollback(self) -> Status:
        """Serves the bundle that was served before this one. Raises BundleError `bundle_no_previous`."""
        previous = self.previous()
        if previous is None:
            raise BundleError("bundle_no_previous", "no other bundle was active before")
        return await self.activate(previous.name, previous.version)

    async def try_out(self, role: Role, name: str, version: str, share: float) -> Report:
        """Shows this bundle to a share of the people, or makes a share of the lists again with it, unseen. What was
        tried before ends. Raises BundleError, InvalidField `out_of_range`; then everything is as before."""
        checked_share(share)
        async with self._one_at_a_time:
            if self.status().active in (None, Version(name, version)):
                raise BundleError("bundle_in_use", NEEDS_ANOTHER)
            active = await asyncio.to_thread(self._prepare, name, version)
            if self.trials.trial is not None:
                await self.trials.end(f"{name}/{version} is tried")
            await self._stage(active.bundle)
            await self._write_down_what_was_chosen()
            report = await self.trials.begin(Trial(role, name, version, share, self._clock.wall_ms()), active)
        await self.make_vectors()
        return report

    async def _write_down_what_was_chosen(self) -> None:
        """A bundle that was chosen at start, not activated: a rollback has to find it, and so has the next start."""
        served = self.active
        if served is not None and self._state.core.active_bundle is None:
            await self._state.record_activation(served.model.name, served.model.version)

    async def end_trial(self) -> Report:
        """Raises BundleError `bundle_not_tried`."""
        async with self._one_at_a_time:
            return await self.trials.end(BY_HAND)

    def trial(self) -> Report:
        """What is tried, and how it does."""
        return self.trials.report()

    def previous(self) -> Version | None:
        """The bundle that was active before this one."""
        return version_of(self._state.core.previous_bundle)

    def status(self) -> Status:
        served = None if self.active is None else Version(self.active.model.name, self.active.model.version)
        return Status(served, self.previous())

    def listing(self) -> Listing:
        """Every bundle of the folder; reads files, so not for the loop."""
        status = self.status()
        served = status.active
        folder = self._folder
        found = [
            Listed(name, version, served == Version(name, version), metrics_of(folder, name, version))
            for name, version in ([] if folder is None else bundle_files.list_bundles(folder))
        ]
        return Listing(served, status.previous, found)

    def described(self, name: str, version: str) -> Described:
        """Raises BundleError `bundle_missing` or `bundle_format`."""
        manifest = bundle_files.read_manifest(self._path(name, version))
        return Described(self.status().active == Version(name, version), manifest)

    def stats(self) -> dict[str, int | float]:
        """Numbers for `/metrics`."""
        if self.active is None:
            return {"encodings_cached": 0, "encoding_hits": 0, "encoding_misses": 0}
        kept = self.active.encodings
        found = {"encodings_cached": len(kept), "encoding_hits": kept.hits, "encoding_misses": kept.misses}
        return found | self.trials.stats()

    def _path(self, name: str, version: str) -> Path:
        if self._folder is None:
            raise BundleError("bundle_missing", "the shard was started without --models")
        return bundle_files.folder_of(self._folder, name, version)

    def _prepare(self, name: str, version: str) -> Active:
        """Everything that takes time; touches nothing that is served."""
        bundle = load(self._path(name, version), self._state.features)
        active = fit(bundle, self.surfaces, self._encodings_max)
        bundle.warm()
        return active

    async def _stage(self, bundle: Bundle) -> None:
        """Item vectors of many items take a while to encode, so lists are made between two parts of them."""
        for start in range(0, max(1, len(bundle.items)), STAGED_ROWS):
            self._stage_part(bundle, slice(start, start + STAGED_ROWS))
            await asyncio.sleep(0)

    def _stage_part(self, bundle: Bundle, part: slice) -> None:
        self._state.core.stage_vectors(bundle.items[part], bundle.vectors[part], first=not part.start)

    def _use(self, active: Active) -> None:
        """Before anybody asks for a list."""
        self._state.core.set_vectors(active.bundle.items, active.bundle.vectors)
        self._serve(active)
        for _ in range(AT_START // SLICE):
            if active.bundle.maker.step(self._state.core) < SLICE:
                break

    def _serve(self, active: Active) -> None:
        """Between two requests, right after the item vectors: light model and ranker change with them."""
        core, bundle = self._state.core, active.bundle
        core.set_prerank(bundle.prerank, bundle.prerank_plan)
        self.upkeep.graphs.vectors_changed()
        self.active = active
        self._metrics.bundle(bundle.name, bundle.version)


def metrics_of(folder: Path | None, name: str, version: str) -> dict[str, Any]:
    """What the manifest says of the bundle's quality; nothing when it cannot be read."""
    try:
        return {} if folder is None else bundle_files.read_manifest(folder / name / version).metrics
    except BundleError:
        return {}


def version_of(pair: tuple[str, str] | None) -> Version | None:
    return None if pair is None else Version(*pair)
