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

A team adds features of its own in a TOML file: [own-features.md](own-features.md). What Metarank's extractors do is
at the [end of this page](#coming-from-metarank).
"""

EQUIVALENTS: tuple[tuple[str, str], ...] = (
    ("`number`, `boolean` of an item", '`item_price`, `item_available`; `[features.item.x] field = "attributes.x"`'),
    (
        "`number`, `boolean` of a user",
        '`user_loyalty_tier`; `[features.user.x] field = "attributes.x"`, which a batch job puts with `PUT /v1/users`',
    ),
    ("`number` of a request", '`context_app_major`; `[features.context.x] field = "app_version"`'),
    (
        "`string` (one-hot, index, vocabulary)",
        "`field` with `words`: the place of the word; one feature with one word is one column of a one-hot",
    ),
    ("`vector`", "`embedding` of an item and the session's vector: `cascade_affinity` is their product"),
    ("`word_count`, `list_size`", "not there"),
    ("`relative_number`", "the ranker normalises its inputs; relative to the shopper, `cross_price_ratio`"),
    ("`time_diff`", '`user_idle_hours`, `cross_minutes_since`; `aggregate = "minutes_since"`'),
    (
        "`field_match` (term, n-gram, BM25)",
        "no feature: the source of recall `text` is BM25 over title, brand, categories and description, and its score "
        "is part of `cascade_recall`, which the models read",
    ),
    (
        "`ua/platform`, `ua/os`, `ua/browser`",
        "`context_mobile`, `context_app`; a session's count `where = \"props.user_agent contains 'iphone'\"`",
    ),
    (
        "`interacted_with`",
        '`cross_clicked`, `cross_bought`, `cross_user_category_share`; `[features.cross.x] interacted = "brand"`',
    ),
    (
        "`referer_medium`",
        "a session's count `where = \"props.referrer contains 'google.'\"`; `last` of it with `words`",
    ),
    ("`relevancy`", "`cascade_recall`, the merged score of the sources"),
    ("`position`", "the ranker reads the place of a row in training and a neutral one when it serves"),
    (
        "`interaction_count`",
        '`session_clicks`, `user_clicks_lifetime`; `aggregate = "count"` with `window = "lifetime"`',
    ),
    ("`window_event_count`", '`user_clicks_1h`, `item_clicks_1d`, …; `aggregate = "count"` with `window`'),
    (
        "`rate`, with its normalisation",
        '`item_ctr_1d`, `item_ctr_served_7d`, …; `aggregate = "rate"` with `prior_rate`, `prior_strength`',
    ),
    ("`local_time`", '`context_hour`, `context_weekend`; `[features.context.x] clock = "hour"` with `utc_offset`'),
    ("`item_age`", "`item_age_days`"),
    ("`diversity`", "re-ranking: `diversity` of a surface"),
    ("`biencoder`", "an item's `embedding` may come from any encoder"),
)
"""What an extractor of Metarank is called, and what gives the same here."""

COMING_FROM = """
## Coming from Metarank

What Metarank's extractors do, and what gives the same here: a feature of the catalogue, or a table in a team's file.

| Metarank | here |
|---|---|
"""

_OWN_COLUMNS = ("name", "op", "default", "version")
HEADER = "| feature | value | operation | default | fingerprint |\n|---|---|---|---|---|\n"


def document(features: Sequence[Feature] = FEATURES) -> str:
    """The Markdown text: a table per scope."""
    parts = [INTRODUCTION]
    for scope, group in groupby(features, key=lambda feature: feature.scope):
        rows = "".join(_row(feature) for feature in group)
        parts.append(f"\n## {scope.capitalize()}\n\n{HEADER}{rows}")
    equivalents = "".join(f"| {theirs} | {ours} |\n" for theirs, ours in EQUIVALENTS)
    return "".join((*parts, COMING_FROM, equivalents))


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
