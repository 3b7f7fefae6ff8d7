"""`rtp train`: a session model from a file of sessions, written to a folder.

Invariant: what it trains is what `rtp evaluate` with the same options would have tested. A killed run of one neural
model goes on from its last epoch when the same command is given again. It does not know models.
"""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from rtp_monolith.cli.evaluate import prepare_torch
from rtp_monolith.cli.output import emit_json, json_option, progress
from rtp_monolith.clock import WallClock

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command()
@click.option("--sessions", type=_FILE, required=True, help="Sessions to learn from.")
@click.option("--model", default="auto", show_default=True, help="A name, or names joined by + for a blend.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the model.")
@click.option("--attributes", type=_FILE, help="JSON {item: [attribute, …]}.")
@click.option("--refit/--no-refit", default=True, show_default=True, help="Train again with the validation slice.")
@click.option("--k", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Lists that are judged.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@json_option
def train(
    sessions: Path, model: str, out: Path, attributes: Path | None, refit: bool, k: int, seed: int, minutes: float,
    threads: int, as_json: bool,
) -> None:  # fmt: skip
    """Train a session model; the last tenth of the sessions is for validation."""
    clock = WallClock()
    until_s = clock.monotonic_s() + minutes * 60
    prepare_torch(model, threads)
    from rtp_monolith.training.evaluate import Request
    from rtp_monolith.training.saved import train_only

    out.mkdir(parents=True, exist_ok=True)
    request = Request(
        train=sessions, test=sessions, model=model, protocol="prefixes", attributes=attributes,
        refit=refit, k=k, seed=seed, until_s=until_s,
    )  # fmt: skip
    document = train_only(request, out, clock, progress)
    if as_json:
        shown = msgspec.to_builtins(document)
        emit_json({key: shown[key] for key in shown if key not in ("items", "attributes")} | {"out": str(out)})
    else:
        click.echo(f"{document.model}: NDCG@{k} {document.validation.ndcg:.4f} on validation, written to {out}")
