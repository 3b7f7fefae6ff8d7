"""What each request has shown so far, so that the next page goes on behind it.

A page is a list of its own, made at its moment of whatever the pages before it did not show; `after` names the last of
them. The same `request_id` again is no next page but the same call, sent again. Invariant: what is kept is bounded in
requests, items and time; a page that is not known any more is said to be lost, and the list begins again. It does not
know how lists are made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from rtp_monolith.clock import Clock
from rtp_monolith.records import RankRequest, RecommendRequest

ITEMS_MAX = 2_000
"""Items of one chain of pages; of a longer one the first are forgotten, and it says so."""
LOST = "page_lost"
_SEPARATOR = "\0"

Visitor = tuple[str, str, bool]
"""Surface, user or session, and whether it is a session."""
Key = tuple[Visitor, str]


class Page(msgspec.Struct, frozen=True):
    """The ids that were shown before, and whether some of them are not known."""

    shown: Sequence[str] = ()
    lost: bool = False


class _Kept(msgspec.Struct, frozen=True):
    # One text instead of many: there are as many of these as there are recent requests.
    ids: str
    lost: bool
    until_s: float


FIRST = Page()


class Pages:
    def __init__(self, clock: Clock, *, requests_max: int, keep_ms: float) -> None:
        self._now = clock.monotonic_s
        self._requests_max = requests_max
        self.keep_ms = int(keep_ms)
        self._keep_s = keep_ms / 1000
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def before(self, request: RecommendRequest) -> Page:
        """What the pages before this one have shown."""
        return self.behind(visitor_of(request), request.after)

    def behind(self, visitor: Visitor, after: str | None) -> Page:
        """What was shown by the page `after`, and by those before that."""
        if after is None:
            return FIRST
        kept = self._kept.get((visitor, after))
        if kept is None or kept.until_s <= self._now():
            return Page(lost=True)
        return Page(kept.ids.split(_SEPARATOR) if kept.ids else (), kept.lost)

    def keep(self, request: RecommendRequest, request_id: str, page: Page, listed: Sequence[str]) -> None:
        """Remembers a page under the id of its reply, with all that was shown before it."""
        self.put(visitor_of(request), request_id, page, listed)

    def put(self, visitor: Visitor, request_id: str, page: Page, listed: Sequence[str], age_s: float = 0.0) -> None:
        """A page that was made `age_s` ago; what is older is put first."""
        ids = [*page.shown, *listed]
        lost = page.lost or len(ids) > ITEMS_MAX
        key = (visitor, request_id)
        self._kept[key] = _Kept(_SEPARATOR.join(ids[-ITEMS_MAX:]), lost, self._now() + self._keep_s - age_s)
        self._kept.move_to_end(key)
        if len(self._kept) > self._requests_max:
            self._kept.popitem(last=False)


def visitor_of(request: RecommendRequest | RankRequest) -> Visitor:
    """Ids are the caller's: those of another visitor or surface are others."""
    user_id = request.user_id
    return (request.surface, user_id or request.session_id, user_id is None)
