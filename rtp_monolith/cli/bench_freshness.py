"""`rtp bench freshness` after the measuring: a table, drawings, or all of it as JSON.

Invariant: the drawing shows the intervals that the table prints. It does not know how anything is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from rtp_monolith.cli import figure
from rtp_monolith.cli.chart import Row
from rtp_monolith.cli.output import emit_json, table
from rtp_monolith.training import slices
from rtp_monolith.training.freshness import Fresh, Held

MEASURES = ("hr", "mrr")


def show(found: Fresh, k: int, machine: dict[str, Any], draw: Sequence[Path], as_json: bool) -> None:
    """Prints, and writes the drawings. Raises Failure `disk_refused`."""
    panels = [_panel("held back by clicks of the session", found.by_clicks, k)]
    if found.by_time:
        panels.append(_panel("held back by time", found.by_time, k))
    for path in draw:
        figure.curves(panels, f"{found.model}, {found.n} lists, {slices.CONFIDENCE:.0%} intervals", path)
    if as_json:
        emit_json({"command": "freshness", "machine": machine, "k": k, **msgspec.to_builtins(found)})
        return
    columns = ("held back by", "knows clicks", f"HR@{k}", "", f"MRR@{k}", "", "HR against 0", "")
    lines = [_line(each, _clicks(each)) for each in found.by_clicks]
    lines += [_line(each, each.delay.name) for each in found.by_time[1:]]
    click.echo(table(columns, lines))


def _line(held: Held, name: str) -> list[object]:
    cells: list[object] = [name, held.known]
    for measure in MEASURES:
        low, high = held.intervals[measure]
        cells += [held.means[measure], f"[{low:.4f}, {high:.4f}]"]
    low, high = held.difference_intervals["hr"]
    return [*cells, held.difference["hr"], f"[{low:+.4f}, {high:+.4f}]"]


def _panel(across: str, held: Sequence[Held], k: int) -> figure.Panel:
    curves = {
        f"{name.upper()}@{k}": [Row(each.delay.name, each.means[name], *each.intervals[name]) for each in held]
        for name in MEASURES
    }
    return figure.Panel(across, curves)


def _clicks(held: Held) -> str:
    number = held.delay.clicks
    return "the whole session" if number is None else f"{number} click{'s' if number != 1 else ''}"
