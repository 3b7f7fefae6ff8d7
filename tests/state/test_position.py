"""Position tokens, and waiting until the state has come that far."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from rtp_monolith.errors import InvalidField
from rtp_monolith.state import position

from .conftest import Book, event


@pytest.mark.parametrize(("offset", "token"), [(0, "rtp:0"), (255, "rtp:ff"), (2**63, "rtp:8000000000000000")])
def test_a_token_is_the_offset(offset: int, token: str) -> None:
    assert position.encode(offset) == token
    assert position.decode(token) == offset


@pytest.mark.parametrize("token", ["", "ff", "rtp:", "rtp:xyz", "rtp:-1", "rtp: 1", "rtp:1_0", "RTP:1", "rtp:0x1"])
def test_what_is_not_a_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidField) as refused:
        position.decode(token)
    assert (refused.value.code, refused.value.field) == ("wrong_type", "min_position")


def test_every_reply_has_a_position_that_grows(book: Book) -> None:
    first = position.decode(book.send(event("e1", session="s")).position)
    second = position.decode(book.send(event("e2", session="s")).position)
    assert 0 < first < second == book.shard.core.applied


def test_a_position_is_reached_at_once_or_not_at_all(tmp_path: Path) -> None:
    async def wait() -> tuple[bool, bool, bool]:
        book = Book(tmp_path)
        book.shard.attach(asyncio.get_running_loop())
        reply = await book.shard.ingest("events", json.dumps(event("e", session="s")).encode(), "json", trusted=False)
        here = await book.shard.reached(reply.position, 0)
        beyond = position.encode(book.shard.core.applied + 1)
        early = await book.shard.reached(beyond, 10)
        waiting = asyncio.create_task(book.shard.reached(beyond, 10_000))
        await asyncio.sleep(0)
        await book.shard.ingest("events", json.dumps(event("f", session="s")).encode(), "json", trusted=False)
        answer = here, early, await waiting
        book.shard.close()
        return answer

    assert asyncio.run(wait()) == (True, False, True)


def test_a_link_is_part_of_the_position(book: Book) -> None:
    """Who waits for the position of a sign-in sees what the session did before."""
    book.click("e1", session="s")
    reply = book.send(event("e2", session="s", user="u"))
    assert position.decode(reply.position) <= book.shard.core.applied
    assert book.state("u")["state_version"] == 2
