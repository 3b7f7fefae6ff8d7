"""A second try for refused events.

Invariant: a letter is marked as replayed exactly when the shard said accepted or duplicate, and a letter already
marked or cut is not sent. It does not know the shard: it is given a function that ingests one body.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from rtp_monolith.ingest.dead_letters import DeadLetter, DeadLetters
from rtp_monolith.records import IngestReply

Ingest = Callable[[bytes], IngestReply]


class RefusedAgain(msgspec.Struct, frozen=True):
    """One letter that was refused again."""

    id: int
    code: str
    message: str


class ReplayReport(msgspec.Struct, frozen=True):
    """What became of the letters; `tried` counts those that were sent."""

    tried: int
    accepted: int
    duplicates: int
    rejected: list[RefusedAgain]


def replay_letters(letters: DeadLetters, chosen: Iterable[DeadLetter], ingest: Ingest) -> ReplayReport:
    """Sends each letter's payload as one event. `ingest` may raise for a body that is malformed as a whole."""
    tried = accepted = duplicates = 0
    rejected: list[RefusedAgain] = []
    for letter in chosen:
        if letter.replayed:
            continue
        if letter.cut:
            rejected.append(RefusedAgain(letter.id, "payload_cut", "the payload was too long to be kept whole"))
            continue
        tried += 1
        refused = verdict(letter, ingest)
        if isinstance(refused, RefusedAgain):
            rejected.append(refused)
            continue
        accepted += refused.accepted
        duplicates += refused.duplicates
        letters.mark_replayed([letter.id])
    return ReplayReport(tried, accepted, duplicates, rejected)


def verdict(letter: DeadLetter, ingest: Ingest) -> IngestReply | RefusedAgain:
    """What the shard says of the letter's payload."""
    try:
        reply = ingest(letter.payload.encode())
    except Exception as error:
        code = getattr(error, "code", None)
        if code != "malformed_body":
            raise
        return RefusedAgain(letter.id, code, str(error))
    if reply.rejected:
        return RefusedAgain(letter.id, reply.rejected[0].code, reply.rejected[0].message)
    return reply
