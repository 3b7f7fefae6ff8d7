"""What `rtp train --data` does: settings from options, a progress bar, the figures at the end.

Invariant: figures go to stdout, everything else to stderr. It does not know how a model is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rtp_monolith.cli.output import emit_json, progress, table
from rtp_monolith.cli.target import load_config
from rtp_monolith.clock import WallClock
from rtp_monolith.training.cascade import CascadeSettings, Drop, Made, train_cascade
from rtp_monolith.training.stamps import Wanted

GAINS_SHOWN = 10
SHOWN = ("rows", "judged", "calibration", "prerank", "encoder", "parity", "without_gain", "constant")


class Bar:
    """A bar per step on a terminal, a line per step elsewhere."""

    def __init__(self) -> None:
        self._terminal = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn(),
            console=self._terminal,
        )  # fmt: skip
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        if self._terminal.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def stage(self, name: str) -> None:
        if not self._terminal.is_terminal:
            progress(name)
            return
        if self._task is not None:
            self._bars.update(self._task, completed=1, total=1, note="")
        self._task = self._bars.add_task(name, total=None, note="")

    def progress(self, done: int, total: int, note: str = "") -> None:
        if not self._terminal.is_terminal:
            if note:
                progress(f"{done} of {total}: {note}")
        elif self._task is not None:
            self._bars.update(self._task, completed=done, total=total, note=note)

    def say(self, text: str) -> None:
        if self._terminal.is_terminal:
            self._bars.console.print(text, highlight=False)
        else:
            progress(text)


def train_data(
    data: Path,
    out: Path,
    name: str,
    version: str | None,
    seed: int,
    config: Path | None,
    models: Path | None,
    share: float,
    loss: str,
    calibration: str,
    drop: str,
    epochs: int | None,
    marks: str,
    as_json: bool,
) -> None:
    """Trains, writes, shows. Raises what `train_cascade` raises."""
    settings = CascadeSettings(share=share, drop=msgspec.convert(drop, Drop), marks=msgspec.convert(marks, Wanted))
    ranker = msgspec.structs.replace(settings.ranker, loss=loss, calibration=calibration)
    if epochs is not None:
        ranker = msgspec.structs.replace(ranker, epochs=epochs)
        shorter = [msgspec.structs.replace(each, epochs=epochs) for each in (settings.encoder, *settings.rivals)]
        settings = msgspec.structs.replace(settings, encoder=shorter[0], rivals=tuple(shorter[1:]))
    settings = msgspec.structs.replace(settings, ranker=ranker)
    with Bar() as bar:
        made = train_cascade(
            data,
            load_config(config),
            out,
            name,
            version,
            settings,
            seed=seed,
            clock=WallClock(),
            watch=bar,
            bundles=models,
        )
    _show(made, as_json)


def _show(made: Made, as_json: bool) -> None:
    report: dict[str, Any] = msgspec.to_builtins(made.report)
    if as_json:
        emit_json({"path": str(made.path), **{key: report[key] for key in SHOWN}})
        return
    click.echo(f"wrote {made.path}")
    rows = [
        (
            head, one["positives"], one["auc"]["model"], one["auc"].get("affinity"), one["auc"].get("popularity"),
            one["ndcg"]["model"], report["calibration"][head]["ece_before"], report["calibration"][head]["ece_judged"],
        )
        for head, one in report["judged"].items()
    ]  # fmt: skip
    header = ("head", "positives", "AUC", "affinity's", "popularity's", "NDCG@10", "ECE before", "ECE after")
    click.echo(table(header, rows))
    best = [(gain["feature"], gain["log_loss"], gain["click_auc"]) for gain in report["gains"][:GAINS_SHOWN]]
    click.echo(table(("feature", "log-loss gain", "AUC gain"), best))
    click.echo(f"without gain: {', '.join(report['without_gain']) or 'none'}")
    pre = report["prerank"]
    click.echo(f"pre-rank keeps {pre['overlap']:.3f} of the ranker's first 20 of {pre['candidates']:.0f} candidates")
