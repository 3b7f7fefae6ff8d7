"""Where imported batches go: a running shard over HTTP, or the opened folder of a stopped one.

Invariant: batches are answered in the order in which they were given, each once; a batch that is too large for the
shard is halved, in order, until it fits. It does not know what the records are.
"""

from __future__ import annotations

import urllib.parse
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import msgspec

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.output import Failure
from rtp_monolith.ingest.batches import Batch
from rtp_monolith.ingest.columns import Kind

if TYPE_CHECKING:
    from rtp_monolith.state.shard_state import ShardState

BATCHES_AHEAD_MAX = 4
Wire = Kind | Literal["new_items", "changed_items", "changed_users"]
ROUTES: dict[Wire, tuple[str, str]] = {
    "events": ("POST", "/v1/events"),
    "items": ("PUT", "/v1/items"),
    "new_items": ("PUT", "/v1/items?only=new"),
    "users": ("PUT", "/v1/users"),
    "changed_items": ("PUT", "/v1/items?only=changed"),
    "changed_users": ("PUT", "/v1/users?only=changed"),
}


class RefusedRecord(msgspec.Struct, frozen=True):
    """One record that the shard refused; `index` is its place in the batch."""

    index: int
    code: str
    message: str


class Answer(msgspec.Struct, frozen=True):
    """What the shard said of a batch."""

    accepted: int
    duplicates: int
    rejected: list[RefusedRecord]
    position: str


Send = Callable[[Wire, Batch], Answer]
Remove = Callable[[str], None]
"""Takes an item out of the catalogue, if it is there."""


def http_sink(client: Client) -> Send:
    """Batches as NDJSON requests on the client's one connection, so the shard sees them in order."""

    def once(kind: Wire, batch: Batch) -> Answer:
        document = client.call(*ROUTES[kind], batch.ndjson(), "application/x-ndjson")
        return msgspec.convert(document, Answer)

    return lambda kind, batch: _fitting(once, kind, batch)


def http_remove(client: Client) -> Remove:
    return lambda item_id: client.call("DELETE", f"/v1/items/{urllib.parse.quote(item_id, safe='')}")


def folder_remove(state: ShardState) -> Remove:
    def remove(item_id: str) -> None:
        state.delete_item_sync(item_id)

    return remove


def folder_sink(state: ShardState) -> Send:
    """Batches straight into the state; who may write the folder is trusted like a server key."""

    def once(kind: Wire, batch: Batch) -> Answer:
        reply = state.ingest_sync(kind, batch.ndjson(), "ndjson", trusted=True)
        return msgspec.convert(reply, Answer, from_attributes=True)

    return lambda kind, batch: _fitting(once, kind, batch)


def send_ahead(send: Send, kind: Wire, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Answer]]:
    """Sends in the background while the next batches are made, at most BATCHES_AHEAD_MAX waiting, one on its way."""
    waiting: deque[tuple[Batch, Future[Answer]]] = deque()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rtp-import")
    try:
        for batch in batches:
            if len(waiting) == BATCHES_AHEAD_MAX:
                sent, answer = waiting.popleft()
                yield sent, answer.result()
            waiting.append((batch, pool.submit(send, kind, batch)))
        while waiting:
            sent, answer = waiting.popleft()
            yield sent, answer.result()
    finally:
        for _, answer in waiting:
            answer.cancel()
        pool.shutdown(wait=True, cancel_futures=True)


def send_in_turn(send: Send, kind: Wire, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Answer]]:
    """Sends each batch when it is made, on this thread."""
    for batch in batches:
        yield batch, send(kind, batch)


def _fitting(once: Send, kind: Wire, batch: Batch) -> Answer:
    try:
        return once(kind, batch)
    except Exception as error:
        if getattr(error, "code", None) != "body_too_large":
            raise
        if len(batch.numbers) == 1:
            message = error.message if isinstance(error, Failure) else str(error)
            return Answer(0, 0, [RefusedRecord(0, "body_too_large", message)], "")
    first, second = batch.halves()
    return _joined(_fitting(once, kind, first), _fitting(once, kind, second), len(first.numbers))


def _joined(first: Answer, second: Answer, shift: int) -> Answer:
    moved = [RefusedRecord(r.index + shift, r.code, r.message) for r in second.rejected]
    return Answer(
        first.accepted + second.accepted,
        first.duplicates + second.duplicates,
        first.rejected + moved,
        second.position or first.position,
    )
