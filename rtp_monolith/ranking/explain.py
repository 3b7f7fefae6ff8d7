"""Why an item is in the list: who found it, what each stage made of it, what rules and the bandit did, and the features
it had at that moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from rtp_monolith._native import Core, Plan
from rtp_monolith.ranking.reply import EXPLORED, Item
from rtp_monolith.ranking.run import Run

SHARES = {"times": "times", "lowered": "share"}
"""What the number of an effect is, where it is no place."""
Effects = Mapping[str, list[dict[str, object]]]


def attach(core: Core, plan: Plan, run: Run, items: Sequence[Item]) -> list[Item]:
    """The items with `explain`; those that are not in the catalogue have nothing to explain."""
    rows = core.vectors(run.ask, run.ranked, plan)
    by_stage = run.scores or {}
    heads = () if run.active is None else run.active.bundle.ranker.heads
    rules = effects(core, run)
    explained = []
    for item in items:
        if item.position >= len(rows):
            explained.append(item)
            continue
        features = {name: float(value) for name, value in zip(plan.names, rows[item.position], strict=True)}
        scores = {stage: of[item.id] for stage, of in by_stage.items() if item.id in of}
        why = {
            "sources": list(item.source),
            "scores": scores,
            "heads": {head: scores[head] for head in heads if head in scores},
            "features": features,
            "vector": core.vector_origin(item.id),
            "rules": [told for told in rules.get(item.id, ()) if told["effect"] != "held_back" or _is_late(told, item)],
            "experiments": {},
        }
        if item.slot == EXPLORED:
            why["bandit"] = _draw(core, run, item)
        explained.append(msgspec.structs.replace(item, explain=why))
    return explained


def effects(core: Core, run: Run) -> Effects:
    """What rules did, by item: `{"rule", "effect"}` with `times` of a boost, the `share` that refusals take, the
    `place` of anything else."""
    told: dict[str, list[dict[str, object]]] = {}
    # A list that stayed, or that is an earlier one, was arranged for another request.
    for item_id, rule, effect, number in () if run.is_last_list or run.stays else core.effects(run.ranked):
        more: dict[str, object] = {SHARES[effect]: number} if effect in SHARES else {"place": int(number)}
        if effect == "buried":
            more = {}
        told.setdefault(item_id, []).append({"rule": rule, "effect": effect, **more})
    if run.stays:
        return {item_id: [{"rule": "stability", "effect": "stayed"}] for item_id, _, _ in core.shown(run.ranked)}
    return told


def _is_late(told: dict[str, object], item: Item) -> bool:
    """An item that was passed over stands below the place that it was passed over for."""
    place = told["place"]
    return isinstance(place, int) and place < item.position


def _draw(core: Core, run: Run, item: Item) -> dict[str, Any]:
    pool = core.pool(run.ranked)
    own = next(({"clicks": clicks, "impressions": n} for id, clicks, n in pool if id == item.id), {})
    return {"policy": "thompson", "propensity": item.propensity, "pool": len(pool), **own}
