"""A request sent again counts once: while the first is on its way, after a sign-in, after a relink."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, State
from rtp_monolith.records import IngestReply
from rtp_monolith.state.shard_state import ShardState
from tests.simulation.traffic import BASE_MS

Bodies = list[list[dict[str, Any]]]


def event(n: int, user_id: str | None = None, *, session_id: str = "s", **fields: Any) -> dict[str, Any]:
    made = {"event_id": f"e{n}", "session_id": session_id, "event_type": "click", "item_id": f"i{n}"}
    return {**made, "ts_ms": BASE_MS + n, **({"user_id": user_id} if user_id else {}), **fields}


def send(data: Path, *rounds: Bodies, users_cached_max: int = 1_000) -> tuple[list[IngestReply], ShardState]:
    """The bodies of a round are on their way together; the rounds follow each other. The state is closed."""
    state = ShardState.open(data, Config(state=State(users_cached_max=users_cached_max)), ManualClock(BASE_MS + 10**9))

    async def all_rounds() -> list[IngestReply]:
        state.attach(asyncio.get_running_loop())
        replies: list[IngestReply] = []
        for bodies in rounds:
            sent = (state.ingest("events", json.dumps(body).encode(), "json", trusted=False) for body in bodies)
            replies += await asyncio.gather(*sent)
        return replies

    return asyncio.run(all_rounds()), state


def versions(state: ShardState, *keys: str) -> list[int]:
    found = [state.user_state(key) for key in keys]
    state.close()
    return [json.loads(one)["state_version"] if one else 0 for one in found]


def outcomes(replies: list[IngestReply]) -> list[tuple[int, int]]:
    return [(reply.accepted, reply.duplicates) for reply in replies]


def test_a_sign_in_sent_twice_at_once(tmp_path: Path) -> None:
    """The second copy is folded before the record that joins what the visitor did."""
    body = [event(1), event(2), event(3, "u"), event(4)]
    replies, state = send(tmp_path / "data", [[event(0)]], [body, body, body])
    assert outcomes(replies) == [(1, 0), (4, 0), (0, 4), (0, 4)]
    assert versions(state, "u", "s") == [5, 5]


def test_an_event_twice_in_one_body_around_the_sign_in(tmp_path: Path) -> None:
    replies, state = send(tmp_path / "data", [[event(1), event(2, "u"), event(1)]])
    assert outcomes(replies) == [(2, 1)]
    assert versions(state, "u") == [2]


def test_a_bare_event_sent_again_after_another_user_signed_in(tmp_path: Path) -> None:
    body = [event(1, "u"), event(2), event(3, "v"), event(4)]
    replies, state = send(tmp_path / "data", [body], [body], [[event(2)], [event(4)]])
    assert outcomes(replies) == [(4, 0), (0, 4), (0, 1), (0, 1)]
    assert versions(state, "u", "v", "s") == [2, 2, 2]


def test_a_duplicate_links_nothing(tmp_path: Path) -> None:
    """The sign-in of `u` is old news: bare events after it still belong to `v`."""
    replies, state = send(tmp_path / "data", [[event(1, "u")]], [[event(2, "v")]], [[event(1, "u"), event(3)]])
    assert outcomes(replies) == [(1, 0), (1, 0), (1, 1)]
    assert versions(state, "u", "v", "s") == [1, 2, 2]


def test_a_long_anonymous_history_does_not_push_out_what_the_user_just_sent(tmp_path: Path) -> None:
    before = [event(n) for n in range(300)]
    body = [*(event(n, "u", session_id="t") for n in range(300, 400)), event(400, "u")]
    replies, state = send(tmp_path / "data", [before], [body], [body])
    assert outcomes(replies) == [(300, 0), (101, 0), (0, 101)]
    assert versions(state, "u") == [401]


def test_what_a_session_sent_is_known_after_a_restart(tmp_path: Path) -> None:
    body = [event(1), event(2, "u"), event(3), event(4, "v")]
    replies, state = send(tmp_path / "data", [body])
    state.close()
    replies, state = send(tmp_path / "data", [body], users_cached_max=1)
    assert outcomes(replies) == [(0, 4)]
    assert versions(state, "u", "v") == [3, 1]
