"""Why an item is in the list: the scores that stages gave it, and the features it had at that moment."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rtp_monolith._native import Core, Plan
from rtp_monolith.ranking.reply import Item
from rtp_monolith.ranking.run import Run


def attach(core: Core, plan: Plan, run: Run, items: Sequence[Item]) -> list[Item]:
    """The items with `explain`; those that are not in the catalogue have nothing to explain."""
    rows = core.vectors(run.ask, run.ranked, plan)
    by_stage = run.scores or {}
    explained = []
    for item in items:
        if item.position >= len(rows):
            explained.append(item)
            continue
        features = {name: float(value) for name, value in zip(plan.names, rows[item.position], strict=True)}
        scores = {stage: of[item.id] for stage, of in by_stage.items() if item.id in of}
        why = {"sources": list(item.source), "scores": scores, "features": features, "experiments": {}}
        explained.append(msgspec.structs.replace(item, explain=why))
    return explained
