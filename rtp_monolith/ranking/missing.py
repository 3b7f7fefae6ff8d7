"""Why an item is not in the list: the first thing on its way that stopped it.

The codes, in the order of the way: `unknown_item unavailable excluded shown_before bought seen filtered_by_request
filtered`, then `not_recalled`, `cut_at_recall`, `cut_at_prerank`, `cut_at_rank`, and at last `held_back` by a rule or
`below_the_list`. Invariant: every id asked for has one answer. It does not know features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rtp_monolith._native import Core
from rtp_monolith.ranking.explain import effects
from rtp_monolith.ranking.run import Run

Told = dict[str, Any]


def missing(core: Core, run: Run, ids: Sequence[str]) -> list[Told]:
    """An answer for each id: `{"id", "reason"}` and what belongs to the reason (places count from 0)."""
    listed = {item_id: place for place, item_id in enumerate(run.listed)}
    rules = effects(core, run)
    return [
        {"id": item_id, "reason": "in_the_list", "position": listed[item_id]}
        if item_id in listed
        else {"id": item_id, **(_ineligible(core, run, item_id) or _outdone(run, item_id, rules.get(item_id, [])))}
        for item_id in ids
    ]


def _ineligible(core: Core, run: Run, item_id: str) -> Told | None:
    found = core.why_not(run.ask, item_id)
    if found is None:
        return None
    reason, rule, until_ms = found
    if reason == "excluded" and item_id in run.page.shown:
        reason = "shown_before"
    return {"reason": reason} | _given(rule=rule, until_ms=until_ms)


def _outdone(run: Run, item_id: str, told: Sequence[dict[str, object]]) -> Told:
    """Of an item that may be shown: how far it came."""
    scores = run.scores or {}
    if run.is_last_list:
        return {"reason": "last_list"}
    recalled, lightly = list(scores.get("recall", ())), list(scores.get("prerank", ()))
    if item_id not in recalled and item_id not in lightly:
        return {"reason": "not_recalled", "sources": list(run.surface.declared.sources)}
    if item_id not in lightly:
        return {"reason": "cut_at_recall", "place": recalled.index(item_id), "of": len(recalled)}
    place = lightly.index(item_id)
    if place >= run.prerank_limit:
        score = scores["prerank"][item_id]
        return {"reason": "cut_at_prerank", "place": place, "of": len(lightly), "score": score}
    if item_id not in run.ordered:
        return {"reason": "cut_at_rank", "place": place, "of": len(lightly)}
    where = {"place": run.ordered.index(item_id), "of": len(run.ordered)}
    by_value = scores.get("value") or scores["prerank"]
    last = run.listed[-1] if run.listed else None
    where |= _given(value=by_value.get(item_id), value_of_last=None if last is None else by_value.get(last))
    if run.stays:
        return {"reason": "list_stayed", **where}
    held = next((each["rule"] for each in told if each["effect"] == "held_back"), None)
    if held is not None:
        return {"reason": "held_back", "rule": held, **where}
    buried = next((each["rule"] for each in told if each["effect"] == "buried"), None)
    return {"reason": "below_the_list", **where, **_given(rule=buried)}


def _given(**values: object) -> Told:
    return {name: value for name, value in values.items() if value is not None}
