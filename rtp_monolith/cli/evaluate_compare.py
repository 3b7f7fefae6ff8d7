"""What `rtp evaluate --compare` shows: a table with intervals, a drawing, or all of it as JSON.

Invariant: a model is called better or worse only where the interval of the paired difference says so. It does not know
how anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from rtp_monolith.cli import chart, figure
from rtp_monolith.cli.output import emit_json, table
from rtp_monolith.training import slices
from rtp_monolith.training.compare import Compared

MEASURE = "ndcg"


def show(compared: Sequence[Compared], k: int, draw: Path | None, as_json: bool) -> None:
    """Prints, and writes the drawing. Raises Failure `bad_suffix`, `disk_refused`."""
    rows = [chart.Row(each.report["model"], each.report[MEASURE], *each.intervals[MEASURE]) for each in compared]
    drawn = f"{slices.CONFIDENCE:.0%} intervals of {slices.DRAWS} draws of sessions"
    title = f"NDCG@{k}, {drawn}, n = {compared[0].report['n']}"
    if draw is not None:
        figure.rows(rows, title, draw)
    if as_json:
        models = [
            {**each.report, "intervals": each.intervals, "difference": each.difference,
             "difference_intervals": each.difference_intervals, "verdict": each.verdict(MEASURE)}
            for each in compared
        ]  # fmt: skip
        emit_json(
            {"k": k, "draws": slices.DRAWS, "confidence": slices.CONFIDENCE, "first": rows[0].name, "models": models}
        )
        return
    columns = ("model", f"HR@{k}", f"MRR@{k}", f"NDCG@{k}", "coverage", f"NDCG against {rows[0].name}", "", "train s")
    lines = []
    for each in compared:
        low, high = each.difference_intervals[MEASURE]
        away = f"{each.difference[MEASURE]:+.4f} [{low:+.4f}, {high:+.4f}]" if each is not compared[0] else ""
        said = each.verdict(MEASURE) if each is not compared[0] else ""
        kept = [each.report[key] for key in ("model", "hr", "mrr", "ndcg", "coverage")]
        lines.append([*kept, away, said, each.report["train_s"]])
    click.echo(table(columns, lines))
    click.echo("")
    click.echo(chart.text(rows, title))
    for kind in ("by_length", "by_popularity"):
        if kind in compared[0].report:
            click.echo(f"\nNDCG@{k} {kind.replace('_', ' ')}")
            click.echo(_sliced(compared, kind))


def _sliced(compared: Sequence[Compared], kind: str) -> str:
    names = [part["name"] for part in compared[0].report[kind]]
    lines: list[list[object]] = []
    for number, name in enumerate(names):
        own = [each.report[kind][number] for each in compared]
        lines.append([name, own[0]["n"], *(part[MEASURE] for part in own)])
    return table(["", "n", *(each.report["model"] for each in compared)], lines)
