"""`rtp train`: a bundle from a shard's log, or a session model from a file of sessions.

Invariant: exactly one of the two, and an option that belongs to the other is wrong use. Only the JSON goes to stdout,
and an interrupted run goes on when the same command is given again. It does not know how models are trained.
"""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from rtp_monolith.cli.evaluate import marks_option
from rtp_monolith.cli.output import json_option

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
OF_DATA = ("name", "version", "config", "models", "share", "loss", "calibration", "drop", "epochs")
OF_SESSIONS = ("model", "attributes", "refit", "k", "settings", "minutes", "teacher", "onnx", "int8_loss_max")


def _only(ctx: click.Context, used: str, others: tuple[str, ...]) -> None:
    given = [name for name in others if ctx.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given:
        raise click.UsageError(f"--{given[0]} says nothing with --{used}")


@click.command()
@click.option("--data", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A shard's folder.")
@click.option("--sessions", type=_FILE, help="Sessions to learn from.")
@click.option("--out", type=_FOLDER, required=True, help="Folder of bundles (--data) or of the model (--sessions).")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@click.option("--name", default="shop", show_default=True, help="With --data: the bundle's name.")
@click.option("--version", help="With --data: its version; else one above the highest that is there.")
@click.option("--config", type=_FILE, help="With --data: the shard's TOML.")
@click.option("--models", type=_FOLDER,
              help="With --data: bundles that made its decisions, to read their vectors; else --out.")  # fmt: skip
@click.option("--share", type=click.FloatRange(0, 1, min_open=True), default=1.0, show_default=True,
              help="With --data: share of the lists that become rows.")  # fmt: skip
@click.option("--loss", type=click.Choice(["pointwise", "pairwise", "listwise"]), default="listwise",
              show_default=True, help="With --data: the ranker's.")  # fmt: skip
@click.option("--calibration", type=click.Choice(["platt", "isotonic"]), default="platt", show_default=True,
              help="With --data: the curve that makes the ranker's probabilities honest.")  # fmt: skip
@click.option("--drop", type=click.Choice(["nothing", "session"]), default="nothing", show_default=True,
              help="With --data: leave out whatever reads the session, to see what it is worth.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="With --data: at most so many for each model.")
@click.option("--model", default="auto", show_default=True,
              help="With --sessions: a name, or names joined by + for a blend.")  # fmt: skip
@click.option("--attributes", type=_FILE, help="With --sessions: JSON {item: [attribute, …]}.")
@click.option("--refit/--no-refit", default=True, show_default=True,
              help="With --sessions: train again with the validation slice.")  # fmt: skip
@click.option("--k", type=click.IntRange(1, 100_000), default=20, show_default=True,
              help="With --sessions: lists that are judged.")  # fmt: skip
@click.option("--teacher", help="With --sessions: a model or blend that a single neural model learns from as well.")
@click.option("--onnx", is_flag=True, help="With --sessions: also the encoder as it serves.")
@click.option("--int8-loss-max", type=click.FloatRange(0, 1),
              help="With --onnx: also with weights of one byte, if no more of NDCG is lost.")  # fmt: skip
@click.option("--settings", type=_FILE, help="With --sessions: JSON of settings, as `rtp tune` writes.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True,
              help="With --sessions: how long it may take.")  # fmt: skip
@marks_option
@json_option
@click.pass_context
def train(
    ctx: click.Context, data: Path | None, sessions: Path | None, out: Path, seed: int, threads: int, name: str,
    version: str | None, config: Path | None, models: Path | None, share: float, loss: str, calibration: str,
    drop: str,
    epochs: int | None, model: str, attributes: Path | None, refit: bool, k: int, settings: Path | None,
    minutes: float, teacher: str | None, onnx: bool, int8_loss_max: float | None, marks: str, as_json: bool,
) -> None:  # fmt: skip
    """Train a bundle on a shard's log, which may be served meanwhile, or a session model on a file."""
    if (data is None) == (sessions is None):
        raise click.UsageError("give either --data (a shard's folder) or --sessions (a file)")
    if sessions is not None:
        _only(ctx, "sessions", OF_DATA)
        from rtp_monolith.cli.evaluate import changes_of
        from rtp_monolith.cli.train_sessions import train_sessions

        if int8_loss_max is not None and not onnx:
            raise click.UsageError("--int8-loss-max says nothing without --onnx")
        changes = changes_of(None, settings)
        train_sessions(
            sessions, model, out, attributes, refit, k, seed, minutes, threads, changes, teacher, onnx, int8_loss_max,
            marks, as_json,
        )  # fmt: skip
    elif data is not None:
        _only(ctx, "data", OF_SESSIONS)
        from rtp_monolith.cli.evaluate import load_torch

        load_torch(threads)
        from rtp_monolith.cli.train_data import train_data

        train_data(
            data, out, name, version, seed, config, models, share, loss, calibration, drop, epochs, marks, as_json
        )
