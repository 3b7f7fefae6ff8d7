"""The session of a request as an encoder reads it: its items that have a vector, and what was said beside them.

Invariant: the same request gives the same session wherever it is asked, in a shard or in a replay of its log. It does
not know encoders.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Core
from rtp_monolith.features.marks import Marking


class SessionRead(NamedTuple):
    """uint32 [n] items, oldest first, and for an encoder that reads them their marks int64 [n, 2]."""

    items: NDArray[np.uint32]
    marks: NDArray[np.int64] | None

    def key(self) -> bytes:
        """Equal for sessions that an encoder cannot tell apart."""
        items = self.items.tobytes()
        return items if self.marks is None else items + self.marks.tobytes()


def session_of(core: Core, ask: Ask, length: int, marking: Marking | None) -> SessionRead:
    """The latest `length` items of the session."""
    if marking is None:
        return SessionRead(core.session_items(ask, length), None)
    items, times_ms, types = core.session_clicks(ask, length)
    return SessionRead(items, marking.of_types(times_ms, types))
