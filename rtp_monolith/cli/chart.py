"""Means with their intervals as a picture: lines of text for a terminal, SVG for a page.

Invariant: both show the same numbers on the same scale, which begins and ends with the outermost interval. It does not
know what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.sax.saxutils import escape

WIDTH = 48
ROW_PX, LABEL_PX, PLOT_PX, VALUE_PX = 28, 170, 420, 190


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


def svg(rows: Sequence[Row], title: str) -> str:
    """The same as a drawing that needs no other file."""
    start, span = _scale(rows)
    width, height = LABEL_PX + PLOT_PX + VALUE_PX, ROW_PX * (len(rows) + 2)

    def x(value: float) -> float:
        return LABEL_PX + (value - start) / span * PLOT_PX

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="12" y="{ROW_PX * 0.7:.0f}" font-weight="bold">{escape(title)}</text>',
    ]
    for place, row in enumerate(rows):
        y = ROW_PX * (place + 1.5)
        parts.append(
            f'<text x="12" y="{y + 4:.0f}">{escape(row.name)}</text>'
            f'<line x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y:.0f}" y2="{y:.0f}" stroke="#4a6785" '
            f'stroke-width="2"/><circle cx="{x(row.mean):.1f}" cy="{y:.0f}" r="5" fill="#1f3b57"/>'
            f'<text x="{LABEL_PX + PLOT_PX + 14}" y="{y + 4:.0f}">{row.mean:.4f} [{row.low:.4f}, {row.high:.4f}]</text>'
        )
    first = x(rows[0].mean)
    parts.append(
        f'<line x1="{first:.1f}" x2="{first:.1f}" y1="{ROW_PX}" y2="{height - ROW_PX}" stroke="#999" '
        f'stroke-dasharray="3 4"/></svg>'
    )
    return "\n".join(parts) + "\n"
