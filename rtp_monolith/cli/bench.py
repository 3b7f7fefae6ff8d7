"""`rtp bench`: what this machine does with a shard, and beside it what it does with nothing of ours in the way.

Invariant: without `--url` the shard is our own, on a temporary folder, loaded over HTTP; the floor is always measured
in the same run. It does not know how the load is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from rtp_monolith.cli.bench_client import parse_address
from rtp_monolith.cli.bench_parts import Bench, Plan, Report, ingest, rank
from rtp_monolith.cli.bench_shard import Cores, Running, floor_server, machine, own_shard
from rtp_monolith.cli.bench_traffic import Catalogue
from rtp_monolith.cli.bench_visible import visible
from rtp_monolith.cli.output import emit_json, json_option, progress
from rtp_monolith.cli.target import config_option, load_config, url_options
from rtp_monolith.clock import WallClock

BUNDLES = Path(__file__).resolve().parents[2] / "models"
_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])
Measure = Callable[[Bench], Awaitable[Report]]


@click.group()
def bench() -> None:
    """Measure ranking, ingest, visibility and recall, each beside its floor."""


def sizes(connections: int, users: int) -> Callable[[Command], Command]:
    """Adds the options that every measurement over HTTP has."""

    def add(command: Command) -> Command:
        options = (
            click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True),
            click.option("--items", type=click.IntRange(min=10), default=100_000, show_default=True),
            click.option("--users", type=click.IntRange(min=64), default=users, show_default=True),
            click.option("--connections", type=click.IntRange(1, 1024), default=connections, show_default=True),
            url_options,
            json_option,
        )
        for option in reversed(options):
            command = option(command)
        return command

    return add


@bench.command("ingest")
@click.option("--batch", type=click.IntRange(1, 1000), default=100, show_default=True, help="Events in one request.")
@click.option("--rate", type=click.FloatRange(min=0.1), help="Events per second in an open loop; closed without.")
@sizes(connections=16, users=100_000)
def ingest_command(
    batch: int,
    rate: float | None,
    seconds: float,
    items: int,
    users: int,
    connections: int,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Durable events per second, and how long an acknowledgement takes."""
    plan = Plan(seconds, items, users, connections, batch=batch, rate_per_s=rate)
    show(measure("ingest", ingest, plan, url, key), as_json)


@bench.command("rank")
@click.option("--open-loop", type=click.FloatRange(min=0.1), help="Lists per second that do not wait for each other.")
@click.option("--events-rate", type=click.FloatRange(min=0), default=0.0, help="Events per second arriving beside.")
@click.option("--events-batch", type=click.IntRange(1, 1000), default=10, show_default=True)
@click.option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    default=BUNDLES,
    help="Folder whose newest bundle lends its graphs; the repository's own unless given.",
)
@click.option("--surface", default="home", show_default=True, help="Of --config, which is asked.")
@config_option
@sizes(connections=8, users=50_000)
def rank_command(
    open_loop: float | None,
    events_rate: float,
    events_batch: int,
    models: Path,
    surface: str,
    config: Path | None,
    seconds: float,
    items: int,
    users: int,
    connections: int,
    url: str | None,
    key: str | None,
    as_json: bool,
) -> None:
    """Lists of 20 by the whole cascade per second, and how long one takes."""
    plan = Plan(
        seconds,
        items,
        users,
        connections,
        rate_per_s=open_loop,
        events_per_s=events_rate,
        events_batch=events_batch,
        surface=surface,
    )
    show(ranked(models, plan, url, key, config), as_json)


@bench.command("visible")
@sizes(connections=32, users=100_000)
def visible_command(
    seconds: float, items: int, users: int, connections: int, url: str | None, key: str | None, as_json: bool
) -> None:
    """Event, acknowledgement, list: does the list know the event?"""
    show(measure("visible", visible, Plan(seconds, items, users, connections), url, key), as_json)


@bench.command("restart")
@click.option("--users", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@click.option("--items", type=click.IntRange(min=10), default=100_000, show_default=True)
@click.option("--events-per-user", type=click.IntRange(1, 50), default=4, show_default=True)
@json_option
def restart_command(users: int, items: int, events_per_user: int, as_json: bool) -> None:
    """How long a shard with many users takes to start, and what a user and an item cost."""
    from rtp_monolith.cli.bench_restart import restart

    host = machine()
    show({"command": "restart", "machine": host, **restart(users, items, events_per_user, progress)}, as_json)


@bench.command("dataset")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="A shard's folder.")  # fmt: skip
@json_option
@config_option
def dataset_command(data: Path, as_json: bool, config: Path | None) -> None:
    """How fast `rtp replay dataset` makes rows of a log, on one core."""
    from rtp_monolith.cli.bench_dataset import dataset

    show({"command": "dataset", "machine": machine(), **dataset(data, load_config(config), progress)}, as_json)


@bench.command("features")
@click.option("--items", type=click.IntRange(min=10), default=20_000, show_default=True)
@click.option("--users", type=click.IntRange(min=10), default=1_000, show_default=True, help="Of 144 events each.")
@click.option("--lists", type=click.IntRange(min=1), default=2_000, show_default=True)
@json_option
@config_option
def features_command(items: int, users: int, lists: int, as_json: bool, config: Path | None) -> None:
    """What the rows of a list, a step of a person and the record of one cost, on one core."""
    from rtp_monolith.cli import bench_bundle
    from rtp_monolith.cli.bench_features import features
    from rtp_monolith.config import parse

    loaded = parse(bench_bundle.SURFACES) if config is None else load_config(config)
    host = machine()
    with Cores.choose().load_here():
        found = features(loaded, items, users, lists, progress)
    show({"command": "features", "machine": host, **found}, as_json)


@bench.command("recall")
@click.option("--items", default="10000,100000,1000000", show_default=True, help="Sizes, separated by commas.")
@click.option("--dimension", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--k", type=click.IntRange(1, 10_000), default=1_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0), default=2.0, show_default=True, help="Of each timing.")
@click.option("--hnswlib/--without-hnswlib", "graph", default=True, show_default=True)
@json_option
def recall_command(items: str, dimension: int, k: int, seconds: float, graph: bool, as_json: bool) -> None:
    """How many of the nearest items are found, and how fast: the scan, hnswlib, brute force."""
    from rtp_monolith.cli.bench_recall import recall
    from rtp_monolith.ranking.nearest import Shape

    sizes = _sizes(items)
    host = machine()
    reports = recall(sizes, dimension, k, seconds, Shape() if graph else None, progress)
    named = {f"{report['vectors']}_{report['items']}": report for report in reports}
    show({"command": "recall", "k": k, "dimension": dimension, "machine": host, **named}, as_json)


@bench.command("rules")
@click.option("--rounds", type=click.IntRange(1), default=400, show_default=True, help="Lists of each variant.")
@json_option
def rules_command(rounds: int, as_json: bool) -> None:
    """What each rule of a surface costs a list of 200 candidates."""
    from rtp_monolith.cli.bench_rules import rules

    show({"command": "rules", "machine": machine(), **rules(rounds, progress)}, as_json)


@bench.command("sources")
@click.option("--items", type=click.IntRange(min=10), default=20_000, show_default=True)
@click.option("--users", type=click.IntRange(min=10), default=20_000, show_default=True, help="One visit each.")
@click.option("--lists", type=click.IntRange(min=1), default=500, show_default=True, help="Of each variant.")
@click.option("--quota", type=click.IntRange(1, 1000), default=200, show_default=True, help="Of each source.")
@json_option
def sources_command(items: int, users: int, lists: int, quota: int, as_json: bool) -> None:
    """What each source of recall costs a list."""
    from rtp_monolith.cli.bench_sources import sources

    host = machine()
    with Cores.choose().load_here():
        found = sources(items, users, lists, quota, progress)
    show({"command": "sources", "machine": host, **found}, as_json)


@bench.command("train")
@click.option("--items", type=click.IntRange(2), default=10_000, show_default=True)
@click.option("--sessions", type=click.IntRange(32), default=640, show_default=True, help="Of 51 clicks, in a round.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@json_option
def train_command(items: int, sessions: int, rounds: int, seed: int, threads: int, as_json: bool) -> None:
    """How much of a bare PyTorch loop's speed the training loop keeps: SASRec, 64 units, 2 layers, 50 items."""
    from rtp_monolith.cli.evaluate import load_torch

    load_torch(threads)
    from rtp_monolith.training.bench_loop import compare

    host = machine()
    found = compare(WallClock(), items=items, sessions=sessions, rounds=rounds, seed=seed, tell=progress)
    show({"command": "train", "machine": host, **msgspec.structs.asdict(found)}, as_json)


@bench.command("knn")
@click.option("--clicks", type=click.IntRange(1), default=1_000_000, show_default=True, help="Generated.")
@click.option("--items", type=click.IntRange(1), default=100_000, show_default=True, help="Generated.")
@click.option("--train", type=_FILE, help="Sessions of the index, instead of generated ones.")
@click.option("--test", type=_FILE, help="With --train: sessions whose prefixes are asked.")
@click.option("--queries", type=click.IntRange(1), default=5_000, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@json_option
def knn_command(
    clicks: int, items: int, train: Path | None, test: Path | None, queries: int, seed: int, as_json: bool
) -> None:
    """How long session-kNN takes to answer, and in how much memory."""
    from rtp_monolith.cli.bench_knn import of_clicks, of_file

    if (train is None) != (test is None):
        raise click.UsageError("--train and --test go together")
    host = machine()
    if train is not None and test is not None:
        found = of_file(train, test, queries, progress)
    else:
        found = of_clicks(clicks, items, queries, seed, progress)
    show({"command": "knn", "machine": host, **found}, as_json)


@bench.command("freshness")
@click.option("--train", type=_FILE, required=True, help="Sessions to learn from.")
@click.option("--test", type=_FILE, required=True, help="Sessions whose next clicks are asked for.")
@click.option("--model", default="auto", show_default=True, help="As in `rtp evaluate`.")
@click.option("--k", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Length of the lists.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@click.option(
    "--draw", type=click.Path(dir_okay=False, path_type=Path), multiple=True, help=".svg or .png; repeatable."
)
@json_option
def freshness_command(
    train: Path, test: Path, model: str, k: int, seed: int, minutes: float, threads: int, draw: tuple[Path, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """What lists lose when the session is held back by clicks, by time, or whole."""
    from rtp_monolith.cli.evaluate import check_drawing, prepare_torch

    clock = WallClock()
    until_s = clock.monotonic_s() + minutes * 60
    for path in draw:
        check_drawing(path)
    prepare_torch([model], threads)
    from rtp_monolith.cli.bench_freshness import show as show_freshness
    from rtp_monolith.training.evaluate import Request
    from rtp_monolith.training.freshness import freshness

    request = Request(
        train=train, test=test, model=model, protocol="prefixes", attributes=None, refit=True, k=k, seed=seed,
        until_s=until_s,
    )  # fmt: skip
    host = machine()
    show_freshness(freshness(request, clock, progress), k, host, draw, as_json)


@bench.command("published")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="For each way.")
@click.option("--items", type=click.IntRange(min=10), default=20_000, show_default=True)
@click.option("--users", type=click.IntRange(min=64), default=20_000, show_default=True)
@click.option("--connections", type=click.IntRange(1, 1024), default=8, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@json_option
def published_command(seconds: float, items: int, users: int, connections: int, rounds: int, as_json: bool) -> None:
    """What a list pays for its user's published row: none, embedded, from Redis, from the cache."""
    from rtp_monolith.cli.bench_published import published

    host = machine()
    plan = Plan(seconds, items, users, connections)
    show({"command": "published", "seconds": seconds, "machine": host, **published(plan, rounds, progress)}, as_json)


def _sizes(text: str) -> list[int]:
    """`10000,1e6` as numbers."""
    try:
        sizes = [int(float(part)) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise click.BadParameter(f"{text!r} is not a list of sizes", param_hint="--items")
    return sizes


@bench.command("all")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=10.0, show_default=True)
@click.option("--items", type=click.IntRange(min=10), default=100_000, show_default=True)
@click.option("--restart-users", type=click.IntRange(min=1), default=1_000_000, show_default=True)
@json_option
def all_command(seconds: float, items: int, restart_users: int, as_json: bool) -> None:
    """Every figure that is promised, one after the other."""
    from rtp_monolith.cli.bench_restart import restart

    host = machine()
    reports: Report = {
        "ingest": measure("ingest", ingest, Plan(seconds, items, 100_000, 16), None, None),
        "ingest_single": measure(
            "ingest", ingest, Plan(seconds, items, 100_000, batch=1, rate_per_s=200.0), None, None
        ),
        "rank": ranked(BUNDLES, Plan(seconds, items), None, None),
        "rank_mixed": ranked(BUNDLES, Plan(seconds, items, rate_per_s=500.0, events_per_s=2_000.0), None, None),
        "visible": measure("visible", visible, Plan(seconds, items, 100_000, 32), None, None),
    }
    reports["restart"] = restart(restart_users, items, 4, progress)
    show({"command": "all", "machine": host, **reports}, as_json)


def measure(
    name: str, part: Measure, plan: Plan, url: str | None, key: str | None, served: Served | None = None
) -> Report:
    """Starts what is needed, runs one measurement and says on what."""
    import uvloop

    cores = Cores.choose()
    host = machine()
    prefix = f"bench{WallClock().wall_ms():x}"
    with (
        target(url, key, cores, served) as running,
        floor_server(cores) as floor,
        cores.load_here(),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        report = runner.run(_run(part, Bench(running, floor, plan, prefix, progress)))
    return {"command": name, "seconds": plan.seconds, "machine": host, **report}


async def _run(part: Measure, run: Bench) -> Report:
    return await part(run)


@contextlib.contextmanager
def target(url: str | None, key: str | None, cores: Cores, served: Served | None = None) -> Iterator[Running]:
    """The user's deployment, or a shard of our own."""
    if url is not None:
        yield Running(parse_address(url, key))
        return
    config, models = (None, None) if served is None else (served.config, served.models)
    with own_shard(cores, None, config, models) as running:
        yield running


class Served(msgspec.Struct, frozen=True):
    """What a shard of ours serves with: settings, bundles, and which shipped bundle those are of."""

    config: Path
    models: Path
    name: str


@contextlib.contextmanager
def cascade(models: Path, items: int, config: Path | None) -> Iterator[Served | None]:
    """A bundle of the shipped graphs for the catalogue of the benchmark; None, said aloud, where none is shipped."""
    from rtp_monolith.cli import bench_bundle

    shipped = bench_bundle.newest(models)
    if shipped is None:
        progress(f"rank: no bundle in {models}: lists are made without a model")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="rtp-bench-") as folder:
        settings = Path(folder) / "bench.toml" if config is None else config
        served = Served(settings, Path(folder) / "models", f"{shipped.parent.name}/{shipped.name}")
        if config is None:
            settings.write_text(bench_bundle.SURFACES)
        bench_bundle.make(shipped, served.models, Catalogue(items))
        yield served


def ranked(models: Path, plan: Plan, url: str | None, key: str | None, config: Path | None = None) -> Report:
    """`measure` of lists by the whole cascade, with what its graphs cost alone beside the floor; a shard of ours has
    the settings of `config`, or those of the benchmark."""
    if url is not None:
        return measure("rank", rank, plan, url, key)
    with cascade(models, plan.items, config) as served:
        report = measure("rank", rank, plan, None, None, served)
        report["bundle"] = None if served is None else served.name
        if served is not None:
            from rtp_monolith.cli.bench_bundle import graphs_ms

            with Cores.choose().load_here():
                report["floor"] |= graphs_ms(served.models)
    return report


def show(report: Report, as_json: bool) -> None:
    """The report as one JSON line, or a figure a line."""
    if as_json:
        emit_json(report)
        return
    for line in lines("", report):
        click.echo(line)


def lines(prefix: str, report: Report) -> Iterator[str]:
    """`floor.ratio: 0.7`, nested names joined by dots."""
    for name, value in report.items():
        if isinstance(value, dict):
            yield from lines(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}: {value}"


@bench.command("users")
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="A shard's folder, whose log is read.")  # fmt: skip
@click.option("--bundle", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True,
              help="A bundle's folder, trained on that log.")  # fmt: skip
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The shard's TOML.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@json_option
def users_command(data: Path, bundle: Path, config: Path | None, seed: int, threads: int, as_json: bool) -> None:
    """Past, session and context of users: each alone, and put together in three ways, on the end of a log."""
    from rtp_monolith.cli.evaluate import load_torch

    load_torch(threads)
    from rtp_monolith.cli.bench_users import show as show_users
    from rtp_monolith.training.fusion import FusionSettings
    from rtp_monolith.training.users import compare_users

    found = compare_users(data, load_config(config), bundle, FusionSettings(), seed=seed, tell=progress)
    show_users(found, machine(), as_json)
