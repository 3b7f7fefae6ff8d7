"""The context of a request as features read it: the same pairs when a list is made and when it is made again.

Invariant: what a feature may know of a request is in these pairs. It does not know which features read them.
"""

from __future__ import annotations

from rtp_monolith.features.context_words import NOTHING_SAID, Said
from rtp_monolith.records import Context


def context_pairs(context: Context) -> list[tuple[str, str]]:
    """(key, value) of what the request said of its context, absent ones left out."""
    given = (
        ("device", context.device),
        ("country", context.country),
        ("channel", context.channel),
        ("app_version", context.app_version),
        ("campaign", context.campaign),
        ("query", context.query),
        ("item_id", context.item_id),
    )
    return [(key, value) for key, value in given if value is not None]


def said_in(context: Context | None) -> Said:
    """Device, country and channel of a request."""
    return NOTHING_SAID if context is None else (context.device, context.country, context.channel)
