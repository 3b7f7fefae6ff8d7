"""What was shown before a restart, read back from the log's decisions: the next page goes on behind it, and a list that
should stay does.

Invariant: what comes back is what a shard that had not stopped would still keep, as far as the end of the log reaches:
decisions within the time that pages and lists are kept, among the last `READ_BYTES` of the log. It does not know how
lists are made.
"""

from __future__ import annotations

from collections.abc import Iterable

from rtp_monolith._native import Core, Log
from rtp_monolith.clock import Clock
from rtp_monolith.ranking.last_lists import Kept, LastLists
from rtp_monolith.ranking.pages import Pages
from rtp_monolith.ranking.surfaces import CompiledSurface

READ_BYTES = 64 << 20
"""A list is some hundred bytes to some thousand, and reading it takes some 15 µs."""
CHUNK_BYTES = 1 << 20
NEVER_MS = 1 << 62
"""Later than any list: nothing of a chunk is read but where its records begin and end."""


def read_back(
    core: Core, log: Log, clock: Clock, pages: Pages, last: LastLists, surfaces: Iterable[CompiledSurface]
) -> int:
    """Fills `pages` and `last`; how many lists were read."""
    now_ms = clock.now_ms()
    since_ms = now_ms - max([pages.keep_ms, *(surface.keep_ms or 0 for surface in surfaces)])
    offset, read, tail = _beginning(log), 0, log.end() - READ_BYTES
    while True:
        rows, end = core.lists(log, offset, CHUNK_BYTES, since_ms if offset + CHUNK_BYTES > tail else NEVER_MS)
        for surface, user, session, request_id, after, as_of_ms, made_ms, evidence, bundle, ids, ranked in rows:
            visitor = (surface, user or session, user is None)
            page = pages.behind(visitor, after)
            pages.put(visitor, request_id, page, ids, (now_ms - as_of_ms) / 1000)
            if not page.shown:
                last.put(visitor, Kept(ranked, made_ms or as_of_ms, evidence, bundle))
        read += len(rows)
        if end == offset:
            return read
        offset = end


def _beginning(log: Log) -> int:
    """The beginning of the newest segment behind which at least `READ_BYTES` lie, else that of the log."""
    begins = [offset for offset, _ in log.segments() if offset <= log.end() - READ_BYTES]
    return max(begins, default=log.start())
