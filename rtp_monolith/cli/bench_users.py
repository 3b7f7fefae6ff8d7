"""`rtp bench users` after the measuring: past, session and context of users, each alone and put together.

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
    *("NDCG against the first", ""),
)


def show(found: Shown, machine: dict[str, Any], as_json: bool) -> None:
    """Prints a table, or all of it as JSON."""
    if as_json:
        emit_json({"command": "users", "machine": machine, "k": JUDGED_AT, **msgspec.to_builtins(found)})
        return
    lines: list[list[object]] = []
    for part in found.parts:
        first = next(iter(part.ways))
        for way, own in part.ways.items():
            low, high = own.difference_intervals["ndcg"]
            means = [own.means[name] for name in ("hr", "mrr", "ndcg")]
            away = ["", ""] if way == first else [own.difference["ndcg"], f"[{low:+.4f}, {high:+.4f}]"]
            lines.append([part.name, part.n, way, *means, *away])
    click.echo(table(COLUMNS, lines))
    said = "with a context" if found.fitted["context"] else "without a context"
    click.echo(f"validation chose {found.fitted['form']} {said}; {found.strangers} cases are of people without a past")
    click.echo(f"what a context adds, on validation: {_gain(found, 'beside')} where a past or a session is there, ")
    click.echo(f"{_gain(found, 'alone')} above what is popular where neither is")


def _gain(found: Shown, name: str) -> str:
    gain = getattr(found.fitted["context_gains"], name)
    return f"NDCG {gain.ndcg:+.4f} [{gain.interval[0]:+.4f}, {gain.interval[1]:+.4f}] of {gain.n} cases"
