"""Why an item is in the list: the score of every source that found it, and the features it had at that moment."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from rtp_monolith._native import Ask, Core, Plan, Ranked
from rtp_monolith.ranking.reply import Item


def attach(core: Core, plan: Plan, ask: Ask, ranked: Ranked, items: Sequence[Item]) -> list[Item]:
    """The items with `explain`; those that are not in the catalogue have nothing to explain."""
    rows = core.vectors(ask, ranked, plan)
    explained = []
    for item in items:
        if item.position >= len(rows):
            explained.append(item)
            continue
        features = {name: float(value) for name, value in zip(plan.names, rows[item.position], strict=True)}
        why = {"sources": list(item.source), "scores": {"recall": item.score}, "features": features, "experiments": {}}
        explained.append(msgspec.structs.replace(item, explain=why))
    return explained
