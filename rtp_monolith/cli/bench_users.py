"""`rtp bench users` after the measuring: the past of users and their session, each alone and put together.

Invariant: every difference stands beside its interval. It does not know how anything is measured.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec

from rtp_monolith.cli.output import emit_json, table
from rtp_monolith.training.fusion import JUDGED_AT
from rtp_monolith.training.users import Shown

COLUMNS = (
    *("clicks of the session", "n", "way", f"HR@{JUDGED_AT}", f"MRR@{JUDGED_AT}", f"NDCG@{JUDGED_AT}"),
    *("NDCG against the session", ""),
)


def show(found: Shown, machine: dict[str, Any], as_json: bool) -> None:
    """Prints a table, or all of it as JSON."""
    if as_json:
        emit_json({"command": "users", "machine": machine, "k": JUDGED_AT, **msgspec.to_builtins(found)})
        return
    lines: list[list[object]] = []
    for part in found.parts:
        for way, own in part.ways.items():
            low, high = own.difference_intervals["ndcg"]
            means = [own.means[name] for name in ("hr", "mrr", "ndcg")]
            away = ["", ""] if way == "session" else [own.difference["ndcg"], f"[{low:+.4f}, {high:+.4f}]"]
            lines.append([part.name, part.n, way, *means, *away])
    click.echo(table(COLUMNS, lines))
    form = found.fitted["form"]
    click.echo(f"validation chose {form}; {found.strangers} more cases are of users without a past")
