"""The arms of `rtp simulate`: surfaces of a shard asked over HTTP by people of the generated shop.

Invariant: a list is asked for with the position of the last answer, so it knows everything its shopper did. It does not
know how the figures are made.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import click
import msgspec

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.output import Failure
from rtp_monolith.cli.replay_scores import mean, percentile
from rtp_monolith.cli.target import open_shard
from rtp_monolith.demo import experiment
from rtp_monolith.demo.experiment import Figure, Plan, Probe, Shown, Shows
from rtp_monolith.demo.live import Event, LiveShoppers, Page
from rtp_monolith.demo.market import Floats
from rtp_monolith.demo.shop import END_MS_DEFAULT, Item, generate_items, to_ndjson
from rtp_monolith.demo.shoppers import Population, Setting
from rtp_monolith.demo.traffic import Traffic, shoppers_for
from rtp_monolith.demo.visits import SURFACES

BATCH_ITEMS, BATCH_EVENTS = 250, 1000


class ArmSpec(msgspec.Struct, frozen=True):
    """An arm: the surface asked on each kind of page it serves, and the folder of bundles, None without."""

    name: str
    surfaces: dict[str, str]
    bundles: Path | None


class Town(msgspec.Struct, frozen=True):
    """The shop, the people of its log, and behind them in number those whom the log has not seen."""

    items: list[Item]
    population: Population
    logged: int
    events: int
    plan: Plan
    probes: Sequence[int]
    luck: int


class ArmReport(msgspec.Struct, frozen=True):
    """What an arm came to; `degraded` counts lists by the codes they carried."""

    name: str
    surfaces: dict[str, str]
    figures: dict[str, Figure]
    probe: Probe | None
    lists: int
    degraded: dict[str, int]
    list_ms_mean: float
    list_ms_p99: float


class StepReport(msgspec.Struct, frozen=True):
    """The second arm less the first, paired by shopper."""

    before: str
    after: str
    figures: dict[str, Figure]


class Report(msgspec.Struct, frozen=True):
    arms: list[ArmReport]
    steps: list[StepReport]


def parse_arm(text: str) -> ArmSpec:
    """`NAME=SURFACE[,PAGE=SURFACE…][@BUNDLES]`; the first surface is asked on the home and the product page."""
    name, _, rest = text.partition("=")
    asked, _, bundles = rest.partition("@")
    first, *others = asked.split(",")
    surfaces = {"home": first, "product": first}
    for other in others:
        page, _, surface = other.partition("=")
        if page not in SURFACES or not surface:
            raise click.UsageError(f"--arm {text}: {other!r} is not PAGE=SURFACE; pages are {', '.join(SURFACES)}")
        surfaces[page] = surface
    if not name or not first or "=" in first:
        raise click.UsageError(f"--arm {text}: not NAME=SURFACE")
    if bundles and not Path(bundles).is_dir():
        raise click.UsageError(f"--arm {text}: {bundles} is not a folder")
    return ArmSpec(name, surfaces, Path(bundles) if bundles else None)


def judged_pages(specs: Sequence[ArmSpec]) -> frozenset[str]:
    """The kinds of pages that every arm serves. Raises UsageError when they differ: that would compare pages."""
    if len({spec.name for spec in specs}) < len(specs):
        raise click.UsageError("two arms have one name")
    kinds = {frozenset(spec.surfaces) for spec in specs}
    if len(kinds) > 1:
        raise click.UsageError("all arms serve the same kinds of pages, or the figures are of different pages")
    return kinds.pop()


def make_town(
    setting: Setting, items: int, events: int, shoppers: int, visits: int, k: int, probes: int, seed: int, luck: int,
    pages: frozenset[str], shown: Shows = "arm",
) -> Town:  # fmt: skip
    """The shop of `rtp generate shop` with the same options, and `shoppers` people beyond its log."""
    catalogue, logged = generate_items(items, seed=seed), shoppers_for(events)
    people = logged + shoppers + probes
    population = Population(catalogue, seed=seed, shoppers=people, setting=setting)
    plan = Plan(range(logged, logged + shoppers), END_MS_DEFAULT + 60_000, visits, k, pages=pages, shown=shown)
    return Town(catalogue, population, logged, events, plan, range(logged + shoppers, people), luck)


def fill(town: Town, folder: Path, config: Path | None) -> None:
    """Writes the shop and its log into a new folder. Raises Failure when the shard refuses any of it."""
    traffic = Traffic(town.population, town.events, shoppers=town.logged)
    lines = (line for part in traffic.parts() for line in traffic.pen.lines(part))
    with open_shard(folder, config, create=True) as state:
        for start in range(0, len(town.items), BATCH_ITEMS):
            body = to_ndjson(town.items[start : start + BATCH_ITEMS])
            _check(state.ingest_sync("items", body, "ndjson", trusted=True).rejected)
        while body := b"".join(islice(lines, BATCH_EVENTS)):
            _check(state.ingest_sync("events", body, "ndjson", trusted=True).rejected)


def _check(rejected: Sequence[Any]) -> None:
    if rejected:
        raise Failure("refused", f"the shard refused part of the shop: {msgspec.to_builtins(rejected[0])}")


class HttpArm:
    """An arm of a running shard."""

    def __init__(self, client: Client, surfaces: dict[str, str]) -> None:
        self._client = client
        self._surfaces = surfaces
        self._position = ""
        self.degraded: Counter[str] = Counter()
        self.ms: list[float] = []

    def show(self, page: Page, k: int) -> Shown:
        context = {"item_id": page.item_id, "query": page.query, "category": page.category, "device": page.device}
        request: dict[str, Any] = {
            "surface": self._surfaces[page.surface],
            "session_id": page.session_id,
            "user_id": page.user_id,
            "k": k,
            "context": {name: value for name, value in context.items() if value is not None},
        }
        if page.cart:
            request["context"]["cart"] = page.cart
        if self._position:
            request["min_position"] = self._position
        started = time.perf_counter()
        reply = self._client.call("POST", "/v1/recommend", msgspec.json.encode(request))
        self.ms.append((time.perf_counter() - started) * 1000)
        self.degraded.update(reply["degraded"])
        return Shown(reply["request_id"], [item["id"] for item in reply["items"]])

    def send(self, events: Sequence[Event]) -> None:
        if not events:
            return
        reply = self._client.call("POST", "/v1/events", msgspec.json.encode(events))
        _check(reply["rejected"])
        self._position = reply["position"] or self._position


def _probe(town: Town, arm: HttpArm, start_ms: int) -> Probe | None:
    if not town.probes:
        return None
    try:
        return experiment.probe(town.population, arm, town.probes, start_ms, town.plan.k)
    except experiment.TooSmall as error:
        raise Failure("too_small", f"{error}; more --items, or --probes 0") from None


def run(town: Town, places: Iterator[tuple[ArmSpec, str, str | None]], tell: Callable[[str], None]) -> Report:
    """Plays the arms one after the other and compares each with the one before it."""
    draws = experiment.resamples(len(town.plan.shoppers), town.luck)
    played: list[tuple[str, Floats]] = []
    arms = []
    for spec, url, key in places:
        with Client(url, key=key) as client:
            arm = HttpArm(client, spec.surfaces)
            first = town.plan.start_ms - 30_000
            probe = _probe(town, arm, first)
            live = LiveShoppers(town.population, seed=town.luck, prefix=f"{spec.name}-")
            sums = experiment.play_arm(live, town.plan, arm)
        played.append((spec.name, sums))
        found = experiment.figures(sums, draws)
        times = round(mean(arm.ms), 3), round(percentile(arm.ms, 0.99), 3)
        arms.append(ArmReport(spec.name, spec.surfaces, found, probe, len(arm.ms), dict(arm.degraded), *times))
        tell(f"{spec.name}: {len(arm.ms)} lists, true preference {found['preference'].mean:.4f}")
    steps = [
        StepReport(one, two, experiment.differences(before, after, draws))
        for (one, before), (two, after) in pairwise(played)
    ]
    return Report(arms, steps)
