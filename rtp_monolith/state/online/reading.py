"""How rows of the live versions become values of the present definitions: which numbers of which row, and until when.

Invariant: a value is read only under the key that it was published for and only while it is younger than both the TTL
of its version and that of its feature. It does not know stores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.published import Published, Scope, Source, Values, columns_of
from rtp_monolith.state.online.store import Version

FOR_EVER_MS = 1 << 62

_Taken = tuple[int, NDArray[np.int64], NDArray[np.int64]]
"""Numbers in a row of a version, its places in it and in ours."""


class Reading:
    """What one scope reads at the moment. `ids` are the versions that are asked, in order."""

    def __init__(self, published: Published, scope: Scope, versions: Sequence[Version]) -> None:
        sources = {each.name: each for each in published.of(scope)}
        ours = columns_of(published.of(scope))
        self.width = published.width(scope)
        self.expires_ms = np.full(self.width, FOR_EVER_MS, np.int64)
        self.version_of: dict[str, Version] = {}
        self._taken: list[_Taken] = []
        ids: list[int] = []
        for version in versions:
            places: list[int] = []
            theirs: list[int] = []
            at = 0
            for name, length, key in version.columns:
                width = length or 1
                source = sources.get(name)
                if source is not None and name in version.live and source.key == key:
                    places += range(at, at + width)
                    theirs += range(ours[name].start, ours[name].stop)
                    self.expires_ms[ours[name]] = expiry_ms(version, source)
                    self.version_of[name] = version
                at += width
            if places:
                ids.append(version.id)
                self._taken.append((at, np.array(places, np.int64), np.array(theirs, np.int64)))
        self.ids = tuple(ids)
        self.first_expiry_ms = int(self.expires_ms.min(initial=FOR_EVER_MS))

    def row(self, rows: Sequence[bytes | None]) -> Values | None:
        """float32 [width] of the rows of one id, in the order of `ids`; None when there are none."""
        made: Values | None = None
        for stored, (width, places, theirs) in zip(rows, self._taken, strict=True):
            if stored is not None and len(stored) == 4 * width:
                if made is None:
                    made = np.full(self.width, np.nan, np.float32)
                made[theirs] = np.frombuffer(stored, "<f4")[places]
        return made

    def rows(self, at: int, stored: Sequence[bytes], into: Values) -> None:
        """Puts the values of many rows of the version at place `at` of `ids` into float32 [rows, width]."""
        width, places, theirs = self._taken[at]
        values = np.frombuffer(b"".join(stored), "<f4").reshape(len(stored), width)
        into[:, theirs] = values[:, places]

    def fresh(self, row: Values, now_ms: int) -> Values:
        """The row without what is too old."""
        return np.where(self.expires_ms > now_ms, row, np.float32(np.nan))


def expiry_ms(version: Version, source: Source) -> int:
    """From when on a value is too old."""
    limits = [ttl_ms for ttl_ms in (version.ttl_ms, source.ttl_ms) if ttl_ms > 0]
    return version.as_of_ms + min(limits) if limits else FOR_EVER_MS
