"""The catalogue as people read it: `docs/features.md` is what `document` returns, and a test keeps it so.

Invariant: every feature is one row, in the order of the plan. It does not know how values are computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.spec import Feature

INTRODUCTION = """\
# Features

Generated from `rtp_monolith/features/catalog.py` by `python -m rtp_monolith.features.document`; change it there.

A vector has one number per feature, in this order. `default` is the value when there is nothing to compute from: no
such user, an item without a price. The fingerprint changes with everything that decides the value (operation,
arguments, default, version) and not with the words about it.

Windows end at the moment of the request and are counted in buckets of 1 min (5m), 10 min (1h), 2 h (1d) and 1 d (7d):
the oldest bucket counts whole, so a window reaches back up to one bucket further than its name. Decayed counts give an
event the age of the middle of the finest bucket that still holds it. Features of items, categories and sellers are
those of the end of the request's minute: ages and decay move once a minute, counts at once. A rate is
`(hits + rate * strength) / (trials + strength)` with the prior in its row. Times are those of the events; counts that
users share take a bounded number of events from one user (`[bots]` in the configuration).
"""

_OWN_COLUMNS = ("name", "op", "default", "version")
HEADER = "| feature | value | operation | default | fingerprint |\n|---|---|---|---|---|\n"


def document(features: Sequence[Feature] = FEATURES) -> str:
    """The Markdown text: a table per scope."""
    parts = [INTRODUCTION]
    for scope, group in groupby(features, key=lambda feature: feature.scope):
        rows = "".join(_row(feature) for feature in group)
        parts.append(f"\n## {scope.capitalize()}\n\n{HEADER}{rows}")
    return "".join(parts)


def _row(feature: Feature) -> str:
    arguments = {key: value for key, value in feature.plan_entry().items() if key not in _OWN_COLUMNS}
    if feature.window is not None:
        arguments["window"] = feature.window
        del arguments["window_ms"]
    said = ", ".join(f"{key} {value}" for key, value in arguments.items())
    operation = f"`{feature.op}`" + (f": {said}" if said else "")
    return f"| `{feature.name}` | {feature.meaning} | {operation} | {feature.default:g} | `{feature.fingerprint()}` |\n"


if __name__ == "__main__":
    print(document(), end="")
