"""User records from the view store into memory, for whoever folds or asks.

Invariant: a record is loaded only when the core says that it lacks it. It does not know why it is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtp_monolith._native import Core
from rtp_monolith.state.store import ViewStore


def load_missing(core: Core, store: ViewStore, missing: Sequence[tuple[int, bytes]]) -> int:
    """Reads what one of the core's `missing_for_…` named; the number of records that exist."""
    if not missing:
        return 0
    found = 0
    for (key_hash, _), value in zip(missing, store.get_many([key for _, key in missing]), strict=True):
        if value is not None:
            core.load(key_hash, value)
            found += 1
    return found


def load_request(core: Core, store: ViewStore, user_id: str | None, session_id: str) -> None:
    """Brings the records of a request into memory; a linked session's user takes a second look."""
    missing = core.missing_for_request(user_id, session_id)
    if missing and load_missing(core, store, missing) and user_id is None:
        load_missing(core, store, core.missing_for_request(None, session_id))
