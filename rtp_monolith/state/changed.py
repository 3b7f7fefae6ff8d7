"""Which records of items and users say something new: the others need not stand in the log again.

Invariant: what is left out changes nothing when it is folded, so the state after a batch is the same with and without
it. Of several records of one id in a batch the last counts. It does not know where the records come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from rtp_monolith._native import Core


def changed_items(core: Core, items: Sequence[tuple[str, bytes]]) -> list[bytes]:
    """Canonical JSON of the items that are not what the catalogue holds."""
    return [json for item_id, json in dict(items).items() if core.item_json(item_id) != json]


def changed_users(core: Core, users: Sequence[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Records after which each part that is given of a user's record is what is given. The users are loaded."""
    replaced = [(user_id, core.replace_user(user_id, json)) for user_id, json in dict(users).items()]
    return [(user_id, json) for user_id, json in replaced if json is not None]
