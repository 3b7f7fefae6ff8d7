"""`rtp serve`: run one shard until it is told to stop.

Invariant: wrong use is found before anything is opened or bound, and ends with exit code 2.
It does not know how a shard is opened or served: this is where the two meet.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rtp_monolith.cli.target import load_config
from rtp_monolith.clock import Clock, ClockName, make_clock
from rtp_monolith.config import Config
from rtp_monolith.errors import ConfigError, FeatureError
from rtp_monolith.metrics import Metrics
from rtp_monolith.serving.ports import Shard

if TYPE_CHECKING:
    from rtp_monolith.lake.background import BackgroundLake
    from rtp_monolith.state.online.tables import OnlineTables
    from rtp_monolith.state.shard_state import ShardState


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the shard.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="0 takes a free one and prints it.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Other than loopback needs a key in --config.")
@click.option("--models", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of bundles.")
@click.option("--config", "config_path", type=click.Path(dir_okay=False, path_type=Path), help="TOML file.")
@click.option("--clock", "clock_name", type=click.Choice(["wall", "events"]), default="wall", show_default=True)
@click.option("--faults", is_flag=True, help="Let POST /v1/faults make stages fail or stall: for tests and drills.")
def serve(
    data: Path,
    port: int,
    host: str,
    models: Path | None,
    config_path: Path | None,
    clock_name: ClockName,
    faults: bool,
) -> None:
    """Run a shard."""
    # Imported here: `rtp --help` and a wrong option must not wait for a web server.
    from rtp_monolith.ranking.surfaces import compile_surfaces
    from rtp_monolith.serving import process

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(config_path)
        compile_surfaces(config)
        bound = process.listen(host, port, config)
    except (ConfigError, FeatureError) as error:
        raise click.UsageError(error.message) from None
    except OSError as error:
        raise click.ClickException(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    shown = f"[{host}]" if ":" in host else host
    click.echo(f"listening on http://{shown}:{bound.getsockname()[1]}", err=True)

    def open_shard(config: Config, clock: Clock, metrics: Metrics) -> Shard:
        return open_data(data, models, config, clock, metrics, faults=faults)

    code = process.serve(config, make_clock(clock_name), open_shard, bound)
    if code:
        raise click.exceptions.Exit(code)


def open_data(
    data: Path, models: Path | None, config: Config, clock: Clock, metrics: Metrics, *, faults: bool = False
) -> Shard:
    """Recovers the state of a folder and puts the lists on top of it. Raises DataError, ConfigError for a surface that
    no bundle of the folder fits, and FeatureError."""
    from rtp_monolith.monitoring.watch import Watch
    from rtp_monolith.ranking.faults import Faults
    from rtp_monolith.ranking.models import Models
    from rtp_monolith.ranking.pipeline import Pipeline
    from rtp_monolith.state.shard_state import ShardState

    state = ShardState.open(data, config, clock)
    try:
        bundles = Models(state, config, clock, metrics, models)
        bundles.start()
        switch = Faults(clock)
        lists = Pipeline(state, config, clock, metrics, bundles, switch)
        online = open_online(data, config, clock, state)
        offline = open_lake(data, config, clock, state.log.durable, models)
    except BaseException:
        state.close()
        raise
    watched = config.audit.watch and config.audit.share > 0
    watch = Watch(data, config, metrics, state.copy_views) if watched else None
    return Shard(state, lists, bundles, switch if faults else None, watch, offline, online)


def open_online(data: Path, config: Config, clock: Clock, state: ShardState) -> OnlineTables | None:
    """The tables of published features, where any are declared. Raises DataError `data_locked`, and ConfigError for a
    store whose package is not installed."""
    from rtp_monolith.features.declared import declared
    from rtp_monolith.state.online.tables import OnlineTables, open_store

    published = declared(config).published
    if not published:
        return None
    return OnlineTables(published, open_store(data, config.online), config.online, clock, state.core)


def open_lake(
    data: Path, config: Config, clock: Clock, log_end: Callable[[], int], models: Path | None = None
) -> BackgroundLake | None:
    """Starts what writes the offline store, where one is configured. Raises LakeError `lake_unavailable`."""
    if config.lake.path is None:
        return None
    from rtp_monolith.lake.background import BackgroundLake

    if config.lake.rows:
        from rtp_monolith.cli.lake_child import PROGRAM, said

        lake = BackgroundLake(data, config.lake, clock, log_end, program=PROGRAM, said=said(config, models))
    else:
        lake = BackgroundLake(data, config.lake, clock, log_end)
    lake.start()
    return lake
