"""`rtp demo`: a generated shop in a shard of its own, with its pages.

Invariant: `/readyz` answers 200 only when the shop's items and log are in the shard. It does not know what a shop is
made of, nor how a shard is served: this is where they meet.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from rtp_monolith import config as configuration
from rtp_monolith.clock import Clock, make_clock
from rtp_monolith.config import Config
from rtp_monolith.errors import ConfigError
from rtp_monolith.metrics import Metrics
from rtp_monolith.serving.ports import Shard

PACKAGE = Path(__file__).resolve().parent.parent
SURFACES = PACKAGE / "demo" / "shop.toml"
BUNDLES = PACKAGE.parent / "models"
"""Where a checkout of the repository has the bundle that knows this shop."""


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), default=Path("data/demo"), show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option("--items", type=click.IntRange(58, 20_000), default=3000, show_default=True)
@click.option("--events", type=click.IntRange(1, 5_000_000), default=60_000, show_default=True)
@click.option(
    "--models",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of bundles; the repository's own unless given.",
)
def demo(port: int, host: str, data: Path, seed: int, items: int, events: int, models: Path | None) -> None:
    """Serve the generated shop until stopped."""
    # Imported here: `rtp --help` and a wrong option must not wait for a web server.
    from rtp_monolith.demo.serve import Recipe, ShopFolder
    from rtp_monolith.serving import process

    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    clock = make_clock("wall")
    if models is None and BUNDLES.is_dir():
        models = BUNDLES
    try:
        config = configuration.load(SURFACES)
        folder = ShopFolder(data, Recipe(seed=seed, items=items, events=events), clock.wall_ms())
        bound = process.listen(host, port, config)
    except ConfigError as error:
        raise click.UsageError(error.message) from None
    except OSError as error:
        raise click.ClickException(f"cannot serve on {host}:{port} from {data}: {error.strerror or error}") from None
    url = f"http://{host}:{bound.getsockname()[1]}/"
    click.echo(f"the shop is at {url}" if folder.usable else f"filling the shop, it will be at {url}", err=True)

    def open_shard(config: Config, clock: Clock, metrics: Metrics) -> Shard:
        from rtp_monolith.cli.serve import open_data
        from rtp_monolith.state.shard_state import ShardState

        shard = open_data(folder.shard, models, config, clock, metrics)
        try:
            if not folder.usable:
                assert isinstance(shard.state, ShardState)
                folder.fill(shard.state, clock.wall_ms())
                click.echo(f"the shop is filled: {url}", err=True)
        except BaseException:
            shard.state.close()
            raise
        return shard

    code = process.serve(config, clock, open_shard, bound, pages=True)
    folder.close()
    if code:
        raise click.exceptions.Exit(code)
