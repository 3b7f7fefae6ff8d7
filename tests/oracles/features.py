"""Features in plain loops over the events ever accepted: slow, obvious, and nothing shared with the fold.

Invariant: it keeps the events themselves, by user, item and category, and counts again for every question. It knows the
published resolution of windows (docs/features.md), that items and categories are seen at the end of the minute, and no
cap, no bound but that of the last-K list.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
# Width of a bucket and the number of them, by window.
BUCKETS = {"5m": (MINUTE, 6), "1h": (10 * MINUTE, 7), "1d": (2 * HOUR, 13), "7d": (DAY, 8)}
WANTED = ("click", "view", "add_to_cart", "purchase", "like")
ACTIONS = (*WANTED, "remove_from_cart", "skip", "dislike")
LAST_K = 50
PAIRS_MAX = 10
WEIGHTS = {"click": 1, "view": 1, "like": 2, "add_to_cart": 3, "purchase": 5}


@dataclass
class Event:
    user: str
    session: str
    kind: str
    item: str
    ts: int
    dwell_ms: int = 0


@dataclass
class Entry:
    """One place in the last-K list; `seq` is the place in the log."""

    event: Event
    seq: int
    dwell_ms: int


def end_of_minute(now: int) -> int:
    """The moment that features of items, categories and sellers are values of."""
    return now // MINUTE * MINUTE + MINUTE - 1


def in_window(times: Sequence[int], window: str, now: int) -> int:
    width, buckets = BUCKETS[window]
    if not times:
        return 0
    oldest = max(now // width, max(times) // width) - buckets + 1
    return sum(oldest <= t // width <= now // width for t in times)


def decayed(times: Sequence[int], half_life: int, now: int) -> float:
    """Each event has the age of the middle of the finest bucket that still holds it, or of the edge of them all."""
    total = 0.0
    newest = max(times, default=0)
    for t in times:
        age = max(0, now - newest) + 8 * DAY
        for width, buckets in BUCKETS.values():
            if t // width > newest // width - buckets:
                age = max(0, now - (t // width * width + width // 2))
                break
        total += 2.0 ** (-age / half_life)
    return total


def rate(hits: int, trials: int, prior: float, strength: float) -> float:
    return (hits + prior * strength) / (max(trials, hits) + strength)


@dataclass
class Oracle:
    """`items`: {id: {"price", "category"}}. `of` are the events of a user, an item or a category, in log order; `pairs`
    how often two items were wanted together, each way."""

    items: Mapping[str, Mapping[str, object]]
    count: int = 0
    of: dict[tuple[str, object], list[Event]] = field(default_factory=lambda: defaultdict(list))
    recent: dict[str, list[Entry]] = field(default_factory=dict)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    after: dict[tuple[str, str], list[Event]] = field(default_factory=lambda: defaultdict(list))
    """Events by the item that the session had taken up last, and their own."""

    def add(self, event: Event) -> None:
        """An accepted event, in the order of the log."""
        mine = self.recent.setdefault(event.user, [])
        anchor = self._taken_up([entry for entry in mine if entry.event.ts <= event.ts], event.session, event.item)
        if anchor is not None:
            self.after[anchor, event.item].append(event)
        if event.kind in WANTED:
            self._pair(mine, event)
        if event.kind == "dwell":
            for entry in reversed(mine):
                if (entry.event.item, entry.event.session) == (event.item, event.session):
                    entry.dwell_ms += event.dwell_ms
                    break
        if event.kind in ACTIONS:
            mine.append(Entry(event, self.count, event.dwell_ms))
            mine.sort(key=lambda entry: (entry.event.ts, entry.seq))
            del mine[: max(0, len(mine) - LAST_K)]
        self.count += 1
        for owner in (("user", event.user), ("item", event.item), ("category", self.items[event.item]["category"])):
            self.of[owner].append(event)

    def _taken_up(self, mine: Sequence[Entry], session: str, item: str) -> str | None:
        """What the session wanted last that is not the item."""
        here = [entry.event for entry in mine if entry.event.session == session]
        return next((e.item for e in reversed(here) if e.kind in WANTED and e.item != item), None)

    def of_pair(self, user: str, session: str, item: str, now: int, page: str | None) -> dict[str, float]:
        """What a team's features of the scope `item_pair` are in `tests/features/test_pairs.py`, but defaults."""
        anchor = page if page not in (None, item) else self._taken_up(self.recent.get(user, []), session, item)
        if anchor is None:
            return {}
        came = self.after[anchor, item]

        def week(kind: str) -> int:
            return in_window([e.ts for e in came if e.kind == kind], "7d", now)

        clicks = [e.ts for e in came if e.kind == "click"]
        return {
            "item_pair_clicks_1d": in_window(clicks, "1d", now),
            "item_pair_clicks": len(clicks),
            "item_pair_fresh": decayed(clicks, DAY, now),
            "item_pair_click_rate": rate(week("click"), week("impression"), 0.05, 20),
            "item_pair_dwell_s": sum(e.dwell_ms for e in came if e.kind == "dwell") / 1000,
        }

    def _pair(self, mine: list[Entry], event: Event) -> None:
        """With the last ten different items wanted in the session, an hour apart at most; not when seen before."""
        others: list[str] = []
        for entry in reversed(mine):
            if entry.event.session != event.session or entry.event.kind not in WANTED:
                continue
            if entry.event.item == event.item:
                if event.kind in ("click", "view"):
                    return
                continue
            near = abs(entry.event.ts - event.ts) <= HOUR
            if near and entry.event.item not in others and len(others) < PAIRS_MAX:
                others.append(entry.event.item)
        self.pairs.update((other, event.item) for other in others)
        self.pairs.update((event.item, other) for other in others)

    def _times(self, kind: str, **owner: object) -> list[int]:
        """Of the events of one owner: `user`, `item` or `category`."""
        ((scope, name),) = owner.items()
        return [e.ts for e in self.of[scope, name] if e.kind == kind]

    def _trend(self, now: int, **where: object) -> float:
        hour = week = 0
        for kind in ("click", "view", "add_to_cart", "purchase"):
            times = self._times(kind, **where)
            hour += in_window(times, "1h", now)
            week += in_window(times, "7d", now)
        expected = max(week, hour) / 168
        return max(0.0, hour - expected) / (expected + 1) ** 0.5

    def _popularity(self, now: int, **where: object) -> float:
        return sum(w * decayed(self._times(k, **where), 3 * DAY, now) for k, w in WEIGHTS.items())

    def _covisitation(self, wanted: Sequence[str], item: str) -> float:
        """`wanted`: latest first."""
        if not wanted or wanted[0] == item:
            return 0.0
        total, weight = 0.0, 1.0
        for step, seed in enumerate(wanted):
            if seed not in wanted[:step]:
                leaving = sum(n for (a, _), n in self.pairs.items() if a == seed)
                total += weight * self.pairs[seed, item] / (leaving + 10) ** 0.5
            weight *= 0.8
        return total / (sum(n for (_, b), n in self.pairs.items() if b == item) + 10) ** 0.5

    def of_user(self, user: str, now: int) -> dict[str, float]:
        clicks = self._times("click", user=user)
        prices = [float(str(self.items[e.item]["price"])) for e in self.of["user", user] if e.kind in WANTED]
        dwells = [e.dwell_ms for e in self.of["user", user] if e.kind == "dwell"]
        mean = sum(prices) / len(prices) if prices else 0.0
        return {
            **{f"user_clicks_{w}": in_window(clicks, w, now) for w in BUCKETS},
            "user_clicks_lifetime": len(clicks),
            "user_clicks_decayed_1d": decayed(clicks, DAY, now),
            "user_click_rate_7d": rate(
                in_window(clicks, "7d", now),
                in_window(self._times("impression", user=user), "7d", now),
                0.05,
                20,
            ),
            "user_price_mean": mean,
            "user_price_deviation": (sum((p - mean) ** 2 for p in prices) / len(prices)) ** 0.5 if prices else 0.0,
            "user_dwell_mean_ms": sum(dwells) / len(dwells) if dwells else 0.0,
        }

    def of_item(self, item: str, now: int) -> dict[str, float]:
        now = end_of_minute(now)
        clicks = self._times("click", item=item)
        dwells = [e.dwell_ms for e in self.of["item", item] if e.kind == "dwell"]
        category = self.items[item]["category"]

        def week(kind: str, **where: object) -> int:
            return in_window(self._times(kind, **where), "7d", now)

        return {
            **{f"item_clicks_{w}": in_window(clicks, w, now) for w in BUCKETS},
            "item_clicks_decayed_6h": decayed(clicks, 6 * HOUR, now),
            "item_ctr_1d": rate(
                in_window(clicks, "1d", now), in_window(self._times("impression", item=item), "1d", now), 0.05, 50
            ),
            "item_cart_rate_7d": rate(week("add_to_cart", item=item), week("click", item=item), 0.1, 20),
            "item_popularity": self._popularity(now, item=item),
            "item_trend": self._trend(now, item=item),
            "item_dwell_mean_s": sum(dwells) / len(dwells) / 1000 if dwells else 0.0,
            "item_neighbours": len({b for a, b in self.pairs if a == item}),
            "category_clicks_1d": in_window(self._times("click", category=category), "1d", now),
            "category_ctr_7d": rate(week("click", category=category), week("impression", category=category), 0.05, 200),
            "category_popularity": self._popularity(now, category=category),
            "category_trend": self._trend(now, category=category),
        }

    def of_both(self, user: str, session: str, item: str, now: int) -> dict[str, float]:
        mine = self.recent.get(user, [])
        here = [entry for entry in mine if entry.event.session == session]
        wanted = [entry.event.item for entry in here if entry.event.kind in WANTED]
        dwells = [entry.dwell_ms for entry in here if entry.dwell_ms]
        acted = [entry.event.ts for entry in mine if entry.event.item == item]
        same = [i for i in wanted if self.items[i]["category"] == self.items[item]["category"]]
        return {
            "session_items": len(here),
            "session_distinct_items": len({entry.event.item for entry in here}),
            "session_distinct_categories": len({self.items[i]["category"] for i in wanted}),
            "session_dwell_mean_s": sum(dwells) / len(dwells) / 1000 if dwells else 0.0,
            "cross_minutes_since": max(0, now - max(acted)) / MINUTE if acted else 1e6,
            "cross_session_category_share": len(same) / len(wanted) if wanted else 0.0,
            "cross_covisitation": self._covisitation(wanted[::-1][:10], item),
        }
