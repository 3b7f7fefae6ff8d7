"""Means with their intervals as lines of text, for a terminal; `figure.py` has them as files.

Invariant: all lines are on one scale, which begins and ends with the outermost interval. It does not know what the
numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 48


class Row(NamedTuple):
    """A name, its mean, and the interval around it."""

    name: str
    mean: float
    low: float
    high: float


def _scale(rows: Sequence[Row]) -> tuple[float, float]:
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    return low, (high - low) or 1.0


def text(rows: Sequence[Row], title: str) -> str:
    """A line per row: ├──●──┤ from low to high."""
    start, span = _scale(rows)
    label = max(len(row.name) for row in rows)

    def column(value: float) -> int:
        return round((value - start) / span * (WIDTH - 1))

    lines = [title]
    for row in rows:
        cells = [" "] * WIDTH
        low, high = column(row.low), column(row.high)
        cells[low : high + 1] = "─" * (high - low + 1)
        cells[low], cells[high] = "├", "┤"
        cells[column(row.mean)] = "●"
        lines.append(f"{row.name.ljust(label)}  {''.join(cells)}  {row.mean:.4f} [{row.low:.4f}, {row.high:.4f}]")
    return "\n".join(lines)
