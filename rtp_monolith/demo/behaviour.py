"""What shoppers do with the lists they are shown: the click model, one for the generated log and for live shoppers.

A list is read from the top: each row may be the last one that comes into view, a row in view is attended to less the
lower it stands, and an attended item is opened with its true preference. What was opened is looked at for a time, may
be taken, and at the end the cart may be paid for and part of it sent back.
Invariant: a function of its arguments; all chance comes in as arrays of numbers in [0, 1), so that the same shoppers
with the same chances can be played against different lists. Knows nothing of how a list was made.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from rtp_monolith.demo.market import QUERIES, Bools, Floats, Ints
from rtp_monolith.demo.shop import DAY_MS
from rtp_monolith.demo.shoppers import Population
from rtp_monolith.demo.visits import (
    ADD,
    CART_MAX,
    CATEGORY,
    CLICK,
    DISLIKE,
    DWELL,
    FOUND,
    HOME,
    IDENTIFY,
    IMPRESSION,
    LIKE,
    NOBODY,
    NOTHING,
    PRODUCT,
    PURCHASE,
    REFUND,
    REMOVE,
    SCROLL,
    SEARCH,
    SKIP,
    Rows,
    blank,
    note,
)
from rtp_monolith.demo.wishes import FIRST_CHANCES, NEXT_CHANCES, Wishes

ARRIVAL_CHANCES = FIRST_CHANCES + 2
PAGE_CHANCES = NEXT_CHANCES + 5
PLACE_CHANCES, ITEM_CHANCES = 2, 9
LEAVING_CHANCES, END_CHANCES = 1, 4

SIGNED_IN, SIGN_IN, PHONE = 0.6, 0.3, 0.62
SEARCHES, TO_PRODUCT, TO_CATEGORY = 0.12, 0.35, 0.25
ROWS_SURE = 3
STOP, STOP_GROWTH = 0.22, 0.03
ATTENTION, ATTENTION_DECAY = 0.95, 0.35
SKIPS, SCROLLS, LIKES, DISLIKES, REMOVES = 0.05, 0.3, 0.08, 0.02, 0.1
LEAVES, LEAVES_AFTER_OPENING, PAGES_MAX = 0.45, 0.31, 5
REFUNDS, REFUND_DAYS = 0.07, 8.0


def attention(positions: Any) -> Floats:
    """True probability that a row in view is attended to, by its position from 0: the position bias of clicks."""
    return np.asarray(ATTENTION * (1.0 + np.asarray(positions)) ** -ATTENTION_DECAY)


def arrive(population: Population, wishes: Wishes, visits: Rows, chance: Floats) -> None:
    """Device, sign-in and the first intent of visits (b,) that have just begun; chances (b, ARRIVAL_CHANCES)."""
    signs = population.traits["signs_in"][visits["shopper"]] & (chance[:, 0] < SIGNED_IN)
    visits["user"] = np.where(signs, visits["shopper"], NOBODY)
    visits["device"] = chance[:, 1] >= PHONE
    visits["intent"] = wishes.first(visits, chance[:, 2:])


def turn(population: Population, wishes: Wishes, visits: Rows, chance: Floats) -> list[Rows]:
    """Visits (b,) go to their next list: the intent moves, some sign in, some search. Chances (b, PAGE_CHANCES)."""
    visits["page"] += 1
    later = visits["page"] > 0
    visits["now_ms"] += np.where(later, 1_500 + _wait_ms(chance[:, 0], 4_000), 0)
    visits["intent"] = np.where(later, wishes.next(visits, chance[:, 5:]), visits["intent"])
    onward = np.where(visits["opened"] & (chance[:, 1] < TO_PRODUCT), PRODUCT, HOME)
    onward = np.where(chance[:, 1] > 1 - TO_CATEGORY, CATEGORY, onward)
    searches = chance[:, 2] < SEARCHES
    visits["surface"] = np.where(searches, FOUND, np.where(later, onward, HOME))
    visits["opened"] = visits["carted"] = False
    events = []
    unknown = (visits["user"] == NOBODY) & population.traits["signs_in"][visits["shopper"]]
    signing = np.flatnonzero((visits["page"] == 1) & unknown & (chance[:, 3] < SIGN_IN))
    if len(signing):
        visits["user"][signing] = visits["shopper"][signing]
        events.append(note(visits, signing, IDENTIFY))
        visits["now_ms"][signing] += 400
    searching = np.flatnonzero(searches)
    if len(searching):
        query = visits["intent"] * QUERIES + (chance[:, 4] * QUERIES).astype(np.int32)
        events.append(note(visits, searching, SEARCH, value=query[searching]))
        visits["now_ms"][searching] += 600
    return events


def look(population: Population, visits: Rows, lists: Ints, places: Floats, luck: Floats) -> Rows:
    """What visits (b,) do with lists (b, k) of item numbers, NOTHING where a list is shorter.

    Chances: `places` (b, k, PLACE_CHANCES) belong to the rows, `luck` (b, k, ITEM_CHANCES) to the items in them.
    Moves the visits on in time and fills their carts; returns the events of each visit in its order.
    """
    shown = lists >= 0
    items = np.maximum(lists, 0)
    position = np.arange(lists.shape[1])
    stops = (places[:, :, 0] < STOP + STOP_GROWTH * (position - ROWS_SURE)) & (position >= ROWS_SURE)
    viewed = shown & (np.cumsum(stops, axis=1) == 0)
    attended = viewed & (places[:, :, 1] < attention(position))
    shopper, intent = visits["shopper"][:, None], visits["intent"][:, None]
    wants = population.preference(shopper, items, intent)
    clicks = attended & (luck[:, :, 0] < wants)
    added = clicks & (luck[:, :, 6] < population.cart_chance(shopper, items, intent))
    added &= ~(items[:, :, None] == visits["cart"][:, None, :]).any(axis=2)
    # What is put back takes no room; what would not fit is not taken.
    kept = added & (luck[:, :, 7] >= REMOVES)
    room = visits["taken"][:, None] + np.cumsum(kept, axis=1) <= CART_MAX
    added, kept = added & room, kept & room
    dwell = 1_500 + _wait_ms(luck[:, :, 2], 3_000 + 30_000 * wants)
    scrolls = clicks & (luck[:, :, 3] < SCROLLS)
    likes = clicks & (luck[:, :, 5] < LIKES * (0.5 + 2 * wants))
    dislikes = clicks & (luck[:, :, 5] > 1 - DISLIKES)
    slots = (viewed, clicks, attended & ~clicks & (luck[:, :, 1] < SKIPS), scrolls, clicks, likes, dislikes, added,
             added & ~kept)  # fmt: skip
    part = dwell // 3
    waits = (
        240 + _wait_ms(luck[:, :, 8], 600), 300 + (900 * luck[:, :, 8]).astype(np.int64), 250, part,
        np.where(scrolls, dwell - part, dwell), 700, 700, 1_200 + (1_500 * luck[:, :, 8]).astype(np.int64), 4_000,
    )  # fmt: skip
    happens = np.stack(slots, axis=2)
    wait = np.stack([np.broadcast_to(each, lists.shape) for each in waits], axis=2)
    depth = 20 + 10 * (luck[:, :, 4] * 9).astype(np.int64)
    events = _written(visits, items, happens, wait, dwell, depth)
    _settle(visits, items, clicks, added, kept)
    return events


_SLOT_KINDS = np.array([IMPRESSION, CLICK, SKIP, SCROLL, DWELL, LIKE, DISLIKE, ADD, REMOVE], dtype=np.int8)
# Those which the client ties to the list that led to them.
_SLOT_LISTED = np.isin(_SLOT_KINDS, (IMPRESSION, CLICK, SKIP))


def _written(visits: Rows, items: Ints, happens: Bools, wait: Ints, dwell: Ints, depth: Ints) -> Rows:
    """The events (b, k, slot) that happen, timed and numbered; the visits move on to the time of their last."""
    count = len(visits)
    passed = np.cumsum(np.where(happens, wait, 0).reshape(count, -1), axis=1)
    numbers = np.cumsum(happens.reshape(count, -1), axis=1)
    visit, position, slot = np.nonzero(happens)
    flat = position * happens.shape[2] + slot
    events = blank(visits[visit], _SLOT_KINDS[slot])
    events["item"] = items[visit, position]
    events["ts_ms"] += passed[visit, flat]
    events["number"] += numbers[visit, flat] - 1
    listed = _SLOT_LISTED[slot]
    events["position"] = np.where(listed, position, NOTHING)
    kind = events["kind"]
    value = np.where(kind == DWELL, dwell[visit, position], 0)
    events["value"] = np.where(kind == SCROLL, depth[visit, position], value)
    if happens.shape[1]:
        visits["now_ms"] += passed[:, -1]
        visits["events"] += numbers[:, -1].astype(np.int32)
    return events


def _settle(visits: Rows, items: Ints, clicks: Bools, added: Bools, kept: Bools) -> None:
    """What the visits remember of a list."""
    row, place = np.nonzero(kept)
    slot = visits["taken"][row] + np.cumsum(kept, axis=1)[row, place] - 1
    visits["cart"][row, slot] = items[row, place]
    visits["taken"] += kept.sum(axis=1, dtype=np.int32)
    visits["opened"], visits["carted"] = clicks.any(axis=1), added.any(axis=1)
    opened = np.flatnonzero(visits["opened"])
    lowest = items.shape[1] - 1 - np.argmax(clicks[opened, ::-1], axis=1) if len(opened) else opened
    visits["last"][opened] = items[opened, lowest]


def leaving(visits: Rows, chance: Floats) -> Bools:
    """Who goes after this list: sooner when it had nothing to open. Chances (b, LEAVING_CHANCES)."""
    goes = chance[:, 0] < np.where(visits["opened"], LEAVES_AFTER_OPENING, LEAVES)
    return np.asarray(goes | (visits["page"] + 1 >= PAGES_MAX))


def leave(population: Population, visits: Rows, chance: Floats) -> list[Rows]:
    """The end of visits (b,): carts are paid for, some of it comes back days later. Chances (b, END_CHANCES)."""
    misfit = population.cart_misfit(visits["shopper"], visits["cart"])
    pays = (visits["taken"] > 0) & (chance[:, 0] < population.buy_chance_of(misfit))
    buying = np.flatnonzero(pays)
    if not len(buying):
        return []
    visits["now_ms"] += np.where(pays, 20_000 + _wait_ms(chance[:, 1], 60_000), 0)
    bought = note(visits, buying, PURCHASE)
    bought["cart"] = visits["cart"][buying]
    back = np.flatnonzero(pays & (chance[:, 2] < REFUNDS))
    visits["now_ms"][back] += ((0.5 + REFUND_DAYS * chance[back, 3]) * DAY_MS).astype(np.int64)
    return [bought, note(visits, back, REFUND, item=visits["cart"][back, 0])]


def _wait_ms(chance: Floats, mean_ms: Any) -> Any:
    """Exponential waiting times in whole milliseconds."""
    return (-np.log1p(-chance) * mean_ms).astype(np.int64)
