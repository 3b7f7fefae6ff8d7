"""What `rtp train --sessions` does: a session model from a file of sessions, written to a folder.

Invariant: what it trains is what `rtp evaluate` with the same options would have tested. A killed run of one neural
model goes on from its last epoch when the same command is given again. It does not know models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click
import msgspec

from rtp_monolith.cli.evaluate import Marks, prepare_torch
from rtp_monolith.cli.output import emit_json, progress
from rtp_monolith.clock import WallClock


def train_sessions(
    sessions: Path, model: str, out: Path, attributes: Path | None, refit: bool, k: int, seed: int, minutes: float,
    threads: int, changes: dict[str, Any], teacher: str | None, onnx: bool, int8_loss_max: float | None, marks: str,
    as_json: bool,
) -> None:  # fmt: skip
    """The last tenth of the sessions is for validation."""
    clock = WallClock()
    until_s = clock.monotonic_s() + minutes * 60
    prepare_torch([model] if teacher is None else [model, teacher], threads)
    from rtp_monolith.training import auto
    from rtp_monolith.training.evaluate import Request
    from rtp_monolith.training.saved import train_only

    if teacher is not None and (model not in auto.NEURAL or not auto.is_teacher(teacher)):
        raise click.UsageError("--teacher is a neural model or a blend, and --model one neural model")
    out.mkdir(parents=True, exist_ok=True)
    request = Request(
        train=sessions, test=sessions, model=model, protocol="prefixes", attributes=attributes,
        refit=refit, k=k, seed=seed, until_s=until_s, changes=changes, teacher=teacher, marks=cast(Marks, marks),
    )  # fmt: skip
    document, served = train_only(request, out, clock, progress, onnx, int8_loss_max)
    if as_json:
        shown = msgspec.to_builtins(document)
        kept = {key: shown[key] for key in shown if key not in ("items", "attributes")}
        emit_json({**kept, "served": served, "out": str(out)})
    else:
        click.echo(f"{document.model}: NDCG@{k} {document.validation.ndcg:.4f} on validation, written to {out}")
