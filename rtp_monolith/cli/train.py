"""`rtp train`: a bundle from a shard's log.

Invariant: only the JSON goes to stdout, and an interrupted run goes on when the same command is given again. It does
not know how models are trained, nor imports what trains them before it must.
"""

from __future__ import annotations

from pathlib import Path

import click

from rtp_monolith.cli.output import json_option


@click.command()
@click.option(
    "--data", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True, help="A shard's folder."
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Where bundles are kept.")
@click.option("--name", default="shop", show_default=True, help="The bundle's name.")
@click.option("--version", help="Its version; else one above the highest that is there.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The shard's TOML.")
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="Share of the lists that become rows.")  # fmt: skip
@click.option("--loss", type=click.Choice(["pointwise", "pairwise", "listwise"]), default="listwise", show_default=True)
@click.option("--drop", type=click.Choice(["nothing", "session"]), default="nothing", show_default=True,
              help="Leave out whatever reads the session, to see what it is worth.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="At most so many for each model; else what they stop at.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True)
@json_option
def train(
    data: Path,
    out: Path,
    name: str,
    version: str | None,
    seed: int,
    config: Path | None,
    share: float,
    loss: str,
    drop: str,
    epochs: int | None,
    threads: int,
    as_json: bool,
) -> None:
    """Train on a shard's log, which may be served meanwhile, and write OUT/NAME/VERSION."""
    from rtp_monolith.cli.train_data import train_data

    train_data(data, out, name, version, seed, config, share, loss, drop, epochs, threads, as_json)
