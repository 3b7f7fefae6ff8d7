"""Where batches go: order, halving, and batches ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.sinks import BATCHES_AHEAD_MAX, Answer, RefusedRecord, http_sink, send_ahead, send_in_turn
from rtp_monolith.ingest.batches import Batch
from rtp_monolith.ingest.columns import Kind

from .fake_shard import FakeShard


def event(n: int, kind: str = "click") -> bytes:
    return b'{"event_id":"%d","session_id":"s","event_type":"%s","item_id":"i"}' % (n, kind.encode())


def test_a_batch_that_is_too_large_is_halved_in_order(shard: FakeShard) -> None:
    shard.batch_max = 2
    batch = Batch(list(range(5)), [event(n, "view" if n != 3 else "bad") for n in range(5)])
    with Client(shard.url) as client:
        answer = http_sink(client)("events", batch)
    assert answer == Answer(4, 0, [RefusedRecord(3, "unknown_event_type", "refused")], "p4")
    assert list(shard.seen["s"]) == ["0", "1", "2", "4"]


def test_one_record_that_is_too_large_is_refused_alone(shard: FakeShard) -> None:
    shard.batch_max = 0
    with Client(shard.url) as client:
        answer = http_sink(client)("events", Batch([1, 2], [event(1), event(2)]))
    assert [(r.index, r.code) for r in answer.rejected] == [(0, "body_too_large"), (1, "body_too_large")]


def test_batches_ahead_are_bounded_sent_one_by_one_and_answered_in_order() -> None:
    made = 0
    sent: list[int] = []
    busy = threading.Lock()

    def batches() -> Iterator[Batch]:
        nonlocal made
        for n in range(20):
            made += 1
            yield Batch([n], [b""])

    def send(kind: Kind, batch: Batch) -> Answer:
        assert busy.acquire(blocking=False), "two at a time"
        sent.append(batch.numbers[0])
        busy.release()
        return Answer(1, 0, [], str(batch.numbers[0]))

    for n, (batch, answer) in enumerate(send_ahead(send, "events", batches())):
        assert batch.numbers == [n]
        assert answer.position == str(n)
        assert made <= n + BATCHES_AHEAD_MAX + 1
    assert sent == list(range(20))


@pytest.mark.parametrize("run", [send_ahead, send_in_turn])
def test_a_failure_ends_the_import(run: object) -> None:
    sent: list[int] = []

    def send(kind: Kind, batch: Batch) -> Answer:
        sent.append(batch.numbers[0])
        raise OSError("gone")

    assert callable(run)
    with pytest.raises(OSError, match="gone"):
        list(run(send, "events", iter([Batch([n], [b""]) for n in range(50)])))
    assert len(sent) <= BATCHES_AHEAD_MAX + 1
