"""`rtp evaluate`: a model trained from scratch on a file of sessions and judged on another, by one of three protocols.

Invariant: `--minutes` counts from the start of the command. It does not know models or metrics.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import click
import msgspec

from rtp_monolith.cli.output import Command, Failure, emit_json, json_option, progress, table
from rtp_monolith.clock import WallClock

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
MARKS = ("auto", "on", "off")
PROTOCOLS = ("prefixes", "leave-one-out", "stream")
LOSSES = ("full", "sampled", "in-batch", "bpr", "bpr-max", "gbce")
Protocol = Literal["prefixes", "leave-one-out", "stream"]
Marks = Literal["auto", "on", "off"]


def settings_options(command: Command) -> Command:
    """--loss and --settings of neural models."""
    command = click.option("--settings", type=_FILE, help="JSON of a neural model's settings, as `rtp tune` writes.")(
        command
    )
    return click.option("--loss", type=click.Choice(LOSSES), help="A neural model's, instead of its recipe's.")(command)


def marks_option(command: Command) -> Command:
    """--marks."""
    said = "Read times and actions of clicks: always, never, or as validation says."
    return click.option("--marks", type=click.Choice(MARKS), default="auto", show_default=True, help=said)(command)


@click.command()
@click.option("--train", type=_FILE, required=True, help="Sessions to learn from.")
@click.option("--test", type=_FILE, help="Sessions to be judged on; leave-one-out uses --train.")
@click.option("--model", default="auto", show_default=True, help="A name, or names joined by + for a blend.")
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="prefixes", show_default=True)
@click.option("--attributes", type=_FILE, help="JSON {item: [attribute, …]}.")
@click.option("--refit/--no-refit", default=None, help="Train again with validation; default except leave-one-out.")
@click.option("--k", type=click.IntRange(1, 100_000), default=20, show_default=True, help="Length of the lists.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True)
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True)
@click.option("--compare", help="Names joined by commas: all on the same lists, with intervals.")
@click.option("--draw", type=click.Path(dir_okay=False, path_type=Path), help="With --compare: .svg or .png to write.")
@click.option("--detail", is_flag=True, help="Also by session length and popularity, and what was chosen.")
@click.option("--cold", type=click.FloatRange(0, 0.5, min_open=True), help="Share of items to hide; ranks only them.")
@settings_options
@marks_option
@json_option
def evaluate(
    train: Path, test: Path | None, model: str, protocol: str, attributes: Path | None, refit: bool | None,
    k: int, seed: int, minutes: float, threads: int, compare: str | None, draw: Path | None, detail: bool,
    cold: float | None, loss: str | None, settings: Path | None, marks: str, as_json: bool,
) -> None:  # fmt: skip
    """Train a session model, then measure it on held-out sessions over the whole catalogue."""
    clock = WallClock()
    began_s = clock.monotonic_s()
    if test is None:
        if protocol != "leave-one-out":
            raise click.UsageError("--test is missing")
        test = train
    names = [each.strip() for each in compare.split(",")] if compare is not None else [model]
    if draw is not None and compare is None:
        raise click.UsageError("--draw says nothing without --compare")
    if cold is not None and (protocol != "leave-one-out" or attributes is None or compare is not None or refit):
        raise click.UsageError("--cold is measured by --protocol leave-one-out, with --attributes, of one model, once")
    if draw is not None:
        check_drawing(draw)
    if len(set(names)) < len(names):
        raise click.UsageError("--compare names a model twice")
    prepare_torch(names, threads)
    from rtp_monolith.training.evaluate import Request
    from rtp_monolith.training.evaluate import evaluate as evaluate_

    request = Request(
        train=train, test=test, model=model, protocol=cast(Protocol, protocol), attributes=attributes,
        refit=protocol != "leave-one-out" if refit is None else refit,
        k=k, seed=seed, until_s=began_s + minutes * 60, detail=detail, changes=changes_of(loss, settings),
        marks=cast(Marks, marks),
    )  # fmt: skip
    if cold is not None:
        from rtp_monolith.cli.evaluate_cold import show_cold

        show_cold(request, cold, clock, as_json)
        return
    if compare is not None:
        from rtp_monolith.cli.evaluate_compare import show
        from rtp_monolith.training.compare import compare as compare_

        show(compare_(request, names, clock, progress), k, draw, as_json)
        return
    report = evaluate_(request, clock, progress)
    if as_json:
        emit_json(report)
        return
    columns = ("model", "protocol", f"HR@{k}", f"MRR@{k}", f"NDCG@{k}", "coverage", "n", "train s", "eval s")
    keys = ("model", "protocol", "hr", "mrr", "ndcg", "coverage", "n", "train_s", "eval_s")
    click.echo(table(columns, [[report[key] for key in keys]]))


def changes_of(loss: str | None, settings: Path | None) -> dict[str, Any]:
    """What --settings and --loss change of a neural model's settings. Raises Failure `bad_settings`."""
    changes: dict[str, Any] = {}
    if settings is not None:
        try:
            changes = msgspec.json.decode(settings.read_bytes(), type=dict[str, Any])
        except (OSError, msgspec.DecodeError) as error:
            raise Failure("bad_settings", f"{settings.name} is not a JSON object of settings: {error}") from error
    return changes | ({} if loss is None else {"loss": loss})


def prepare_torch(models: Sequence[str], threads: int) -> None:
    """torch with its threads; refuses a model nobody knows before anything is read."""
    load_torch(threads)
    from rtp_monolith.training import auto

    for model in models:
        if not auto.is_name(model):
            raise click.BadParameter(f"{model!r} is none of {', '.join(auto.NAMES)}", param_hint="--model")


def check_drawing(path: Path) -> None:
    """Refuses before anything is trained. Raises Failure `bad_suffix`, `torch_missing` in a serving install."""
    try:
        from rtp_monolith.cli.figure import check_suffix
    except ImportError as error:
        raise Failure("torch_missing", f"drawings need matplotlib, install rtp-monolith[train]: {error}") from error
    check_suffix(path)


def load_torch(threads: int) -> None:
    """torch with its threads, imported only here. Raises Failure `torch_missing` in a serving install."""
    # Threads that wait must not spin: on a shared machine they take the core from the one they wait for.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    # What cuBLAS needs to give the same sums every time.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    try:
        from rtp_monolith.training.threads import use_threads
    except ImportError as error:
        raise Failure("torch_missing", f"training needs torch, install rtp-monolith[train]: {error}") from error
    use_threads(threads)
