"""`rtp tune`: settings of a neural model for one's own sessions, tried on the validation slice.

Invariant: it is given no test file, and what it writes is what `rtp evaluate --settings` reads. It does not know how
settings are searched.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click
import msgspec

from rtp_monolith.cli.evaluate import PROTOCOLS, Protocol, changes_of, prepare_torch, settings_options
from rtp_monolith.cli.output import Failure, emit_json, json_option, progress, table
from rtp_monolith.clock import WallClock

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.option("--train", type=_FILE, required=True, help="Sessions; their validation slice judges.")
@click.option("--model", required=True, help="One neural model.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The best settings.")
@click.option("--trials", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--protocol", type=click.Choice(PROTOCOLS[:2]), default="prefixes", show_default=True)
@click.option("--attributes", type=_FILE, help="JSON {item: [attribute, …]}.")
@click.option("--k", type=click.IntRange(1, 100_000), default=20, show_default=True)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@settings_options
@json_option
def tune(
    train: Path, model: str, out: Path, trials: int, protocol: str, attributes: Path | None, k: int, seed: int,
    minutes: float, threads: int, loss: str | None, settings: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Try settings of a neural model on the validation slice and write the best."""
    clock = WallClock()
    until_s = clock.monotonic_s() + minutes * 60
    prepare_torch([model], threads)
    from rtp_monolith.training import auto
    from rtp_monolith.training.evaluate import Request
    from rtp_monolith.training.tune import tune as tune_

    if model not in auto.NEURAL:
        raise click.BadParameter(f"{model!r} is none of {', '.join(auto.NEURAL)}", param_hint="--model")
    request = Request(
        train=train, test=train, model=model, protocol=cast(Protocol, protocol), attributes=attributes, refit=False,
        k=k, seed=seed, until_s=until_s, changes=changes_of(loss, settings),
    )  # fmt: skip
    tuned = tune_(request, trials, clock, progress)
    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(tuned.settings), indent=1) + b"\n")
    except OSError as error:
        raise Failure("disk_refused", f"{out.name} cannot be written: {error.strerror or error}") from error
    if as_json:
        emit_json(tuned)
        return
    rows = [[n + 1, each.ndcg, each.epochs, each.seconds] for n, each in enumerate(tuned.trials)]
    click.echo(table(["trial", f"NDCG@{k}", "epochs", "s"], rows))
    click.echo(f"{model}: NDCG@{k} {tuned.ndcg:.4f} on validation, the recipe {tuned.recipe_ndcg:.4f}; in {out}")
