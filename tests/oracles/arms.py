"""Under which list an event happened, in plain loops over what a session was shown and did."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

LISTS_MAX = 16
FOLLOWED_MAX = 32


@dataclass
class Shown:
    """A list; `drawn` is the item of its explored slot."""

    request_id: str
    arms: dict[str, str]
    drawn: str | None = None


@dataclass
class ArmOracle:
    """`times` are those of the events counted, by dimension, arm and event type."""

    lists: dict[str, list[Shown]] = field(default_factory=lambda: defaultdict(list))
    taken: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))
    times: dict[tuple[str, str, str], list[int]] = field(default_factory=lambda: defaultdict(list))

    def show(self, session: str, shown: Shown) -> None:
        kept = [one for one in self.lists[session] if one.request_id != shown.request_id]
        self.lists[session] = [*kept, shown][-LISTS_MAX:]

    def add(self, session: str, kind: str, item: str, ts_ms: int, request_id: str | None) -> None:
        """An accepted event, in the order of the log."""
        known = {one.request_id: one for one in self.lists[session]}
        followed = dict(self.taken[session])
        shown = known.get(request_id or "") or known.get(followed.get(item, ""))
        if shown is not None:
            for dimension, arm in shown.arms.items():
                self.times[dimension, arm, kind].append(ts_ms)
            if shown.drawn == item:
                self.times["explored", item, kind].append(ts_ms)
        if request_id in known:
            others = [one for one in self.taken[session] if one[0] != item]
            self.taken[session] = [*others, (item, request_id or "")][-FOLLOWED_MAX:]
