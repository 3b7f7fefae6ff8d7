"""What `rtp evaluate --cold` shows: hidden items ranked by content, by attribute overlap (plain and tuned) and at
random, with intervals.

It does not know how anything is measured.
"""

from __future__ import annotations

from typing import Any, cast

import click

from rtp_monolith.cli.output import emit_json, progress, table
from rtp_monolith.clock import Clock
from rtp_monolith.training.cold import measure_cold
from rtp_monolith.training.content import ContentSettings
from rtp_monolith.training.evaluate import Request

ORDERS = ("random", "overlap", "tuned_overlap", "content")


def show_cold(request: Request, share: float, clock: Clock, as_json: bool) -> None:
    """Measures and prints. Raises DataError."""
    report = cast(dict[str, Any], measure_cold(request, share, ContentSettings(), clock, progress))
    if as_json:
        emit_json(report)
        return
    k = request.k
    rows = []
    for name in ORDERS:
        own = report[name]
        low, high = own["intervals"]["hr"]
        rows.append([name, own["hr"], f"[{low:.4f}, {high:.4f}]", own["ndcg"]])
    click.echo(table(("order", f"HR@{k}", "95 %", f"NDCG@{k}"), rows))
    said = (
        f"content against random ×{report['against_random']:.1f}, against overlap ×{report['against_overlap']:.2f}, "
        f"against tuned overlap ×{report['against_tuned_overlap']:.2f}"
    )
    click.echo(f"{said}; {report['n']} people, {report['candidates']} hidden items")
