"""Means with their intervals as a file, by matplotlib: rows beside each other, or curves. The suffix says SVG or PNG.

Invariant: equal numbers give equal bytes with one version of matplotlib. It does not know what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from rtp_monolith.cli.chart import Row
from rtp_monolith.cli.output import Failure

KINDS = {".svg": "svg", ".png": "png"}
PNG_DPI = 150


def _same_bytes() -> AbstractContextManager[None]:
    """Without it every drawing would hold ids of its own; texts stay texts."""
    return matplotlib.rc_context({"svg.hashsalt": "rtp", "svg.fonttype": "none"})


class Panel(NamedTuple):
    """Curves by name, with their intervals as bands, over the names of their rows, which are the same for all."""

    across: str
    curves: Mapping[str, Sequence[Row]]


def rows(drawn: Sequence[Row], title: str, path: Path) -> None:
    """A line per row, the first one's mean as a line through all. Raises Failure `bad_suffix`, `disk_refused`."""
    with _same_bytes():
        figure = Figure(figsize=(8.0, 0.9 + 0.35 * len(drawn)), layout="constrained")
        axes = figure.add_subplot()
        places = range(len(drawn))
        means = [row.mean for row in drawn]
        low = [row.mean - row.low for row in drawn]
        high = [row.high - row.mean for row in drawn]
        axes.errorbar(means, places, xerr=[low, high], fmt="o", capsize=4)
        axes.axvline(means[0], color="grey", linestyle=":", linewidth=1)
        axes.set_yticks(places, [row.name for row in drawn])
        axes.invert_yaxis()
        axes.set_title(title, fontsize=10)
        _write(figure, path)


def curves(panels: Sequence[Panel], title: str, path: Path) -> None:
    """Panels beside each other on one scale, from zero. Raises Failure `bad_suffix`, `disk_refused`."""
    with _same_bytes():
        figure = Figure(figsize=(4.6 * len(panels), 3.6), layout="constrained")
        every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, panel in zip(every, panels, strict=True):
            _panel(axes, panel)
        every[0].set_ylim(bottom=0)
        figure.suptitle(title, fontsize=10)
        _write(figure, path)


def _panel(axes: Axes, panel: Panel) -> None:
    for name, own in panel.curves.items():
        places = range(len(own))
        (line,) = axes.plot(places, [row.mean for row in own], marker="o", label=name)
        low, high = [row.low for row in own], [row.high for row in own]
        axes.fill_between(places, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    ticks = next(iter(panel.curves.values()))
    axes.set_xticks(range(len(ticks)), [row.name for row in ticks])
    axes.set_xlabel(panel.across)
    axes.legend()


def check_suffix(path: Path) -> None:
    """Raises Failure `bad_suffix`."""
    if path.suffix.lower() not in KINDS:
        raise Failure("bad_suffix", f"{path.name}: a drawing ends in {' or '.join(KINDS)}")


def _write(figure: Figure, path: Path) -> None:
    check_suffix(path)
    kind = KINDS[path.suffix.lower()]
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    try:
        figure.savefig(path, format=kind, dpi=PNG_DPI, metadata=metadata)
    except OSError as error:
        raise Failure("disk_refused", f"{path.name} cannot be written: {error.strerror or error}") from error
