"""Visits and what happens in them, as arrays: one row a visit under way, one row an event.

Invariant: a visit's events are numbered from 0 in their order and each is later than the one before. Knows nothing of
why anything happens, nor of how an event is written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]

CART_MAX = 4
NOBODY = NOTHING = -1

KINDS = (
    "impression", "click", "skip", "scroll", "dwell", "like", "dislike", "add_to_cart", "remove_from_cart",
    "search", "identify", "purchase", "refund",
)  # fmt: skip
(
    IMPRESSION, CLICK, SKIP, SCROLL, DWELL, LIKE, DISLIKE, ADD, REMOVE, SEARCH, IDENTIFY, PURCHASE, REFUND,
) = range(len(KINDS))  # fmt: skip
SURFACES = ("home", "category", "search", "product")
HOME, CATEGORY, FOUND, PRODUCT = range(len(SURFACES))
DEVICES = ("phone", "desktop")

VISIT = np.dtype(
    [
        ("shopper", "i4"),
        ("session", "i8"),
        ("user", "i4"),  # the shopper once signed in, NOBODY before
        ("device", "i1"),
        ("now_ms", "i8"),
        ("intent", "i4"),  # the aisle wanted at this moment
        ("cart", "i4", (CART_MAX,)),
        ("taken", "i4"),  # how many items are in the cart
        ("page", "i4"),  # number of the list looked at, from 0; -1 before the first
        ("events", "i4"),
        ("last", "i4"),  # the item opened last, NOTHING before
        ("opened", "?"),  # something on the last list
        ("carted", "?"),
        ("surface", "i1"),
    ]
)

EVENT = np.dtype(
    [
        ("session", "i8"),
        ("number", "i4"),
        ("ts_ms", "i8"),
        ("kind", "i1"),
        ("item", "i4"),
        ("user", "i4"),
        ("page", "i4"),
        ("position", "i4"),
        ("surface", "i1"),
        ("device", "i1"),
        ("value", "i4"),  # milliseconds of a dwell, percent of a scroll, number of a query
        ("cart", "i4", (CART_MAX,)),  # what a purchase pays for
        # The truth behind the event, written nowhere: who it was and what was wanted.
        ("shopper", "i4"),
        ("intent", "i4"),
    ]
)


def begin(shopper: Rows, session: Rows, now_ms: Rows) -> Rows:
    """Visits (b,) that start now; nothing is wanted yet."""
    visits = np.zeros(len(shopper), dtype=VISIT)
    visits["shopper"], visits["session"], visits["now_ms"] = shopper, session, now_ms
    visits["user"] = visits["last"] = visits["intent"] = NOTHING
    visits["cart"] = NOTHING
    visits["page"] = -1
    return visits


def note(visits: Rows, which: Rows, kind: Any, *, item: Any = NOTHING, value: Any = 0) -> Rows:
    """One event for each of the visits `which` (numbers of rows, each at most once), at the visit's present time."""
    own = visits[which]
    events = blank(own, kind)
    events["item"], events["value"] = item, value
    visits["events"][which] += 1
    return events


def blank(own: Rows, kind: Any) -> Rows:
    """Events with what they share with their visits, numbered by the visit's next number."""
    events = np.zeros(len(own), dtype=EVENT)
    for name in ("session", "user", "page", "surface", "device", "shopper", "intent"):
        events[name] = own[name]
    events["ts_ms"], events["number"], events["kind"] = own["now_ms"], own["events"], kind
    events["item"] = events["position"] = events["cart"] = NOTHING
    return events


def joined(parts: Sequence[Rows]) -> Rows:
    """All events in time order; those of one visit stay in theirs."""
    events = np.concatenate(parts) if parts else np.zeros(0, dtype=EVENT)
    return events[np.lexsort((events["number"], events["session"], events["ts_ms"]))]
