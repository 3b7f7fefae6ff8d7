"""What a ranker's heads are labelled by: which events, or how much looking, within which time.

Invariant: the first head is the one that orders: the losses of order, the pools and what claims a later conversion are
its own. It does not know the log.
"""

from __future__ import annotations

import msgspec

from rtp_monolith.config import Config
from rtp_monolith.features.declared import duration_ms

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class Head(msgspec.Struct, frozen=True):
    """`events` label it within `window_ms` of a list's moment, or `dwell_ms` of looking at the item in all."""

    name: str
    events: tuple[str, ...]
    window_ms: int
    dwell_ms: int | None = None
    worth: float = 1.0


def usual(click_ms: int = 30 * MINUTE_MS, conversion_ms: int = HOUR_MS) -> tuple[Head, ...]:
    """Click, cart and purchase, of a shard that declares nothing."""
    return (
        Head("click", ("click",), click_ms, worth=1.0),
        Head("cart", ("add_to_cart",), conversion_ms, worth=2.0),
        Head("purchase", ("purchase",), conversion_ms, worth=4.0),
    )


def declared_heads(config: Config) -> tuple[Head, ...]:
    """The heads of a configuration in their order; empty without any."""
    return tuple(
        Head(
            name,
            tuple(head.events),
            duration_ms(head.within),
            None if head.dwell is None else duration_ms(head.dwell),
            head.worth,
        )
        for name, head in config.heads.items()
    )
