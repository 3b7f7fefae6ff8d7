"""The parts of the load: answers in order, percentiles, valid events, arrivals that do not wait."""

from __future__ import annotations

import asyncio
from functools import partial
from random import Random

import msgspec
import pytest

from rtp_monolith.cli.bench_client import Address, Connection, parse_address
from rtp_monolith.cli.bench_loops import percentile_ms, summarize
from rtp_monolith.cli.bench_traffic import MIX, Batches, Catalogue, Visitors, body_of

HERE = Address("127.0.0.1", 8000)
NOW = 1_700_000_000_000


class Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)


def _note(found: list[tuple[int, bytes]], status: int, body: bytes) -> None:
    found.append((status, body))


def test_answers_come_back_in_order_however_they_are_cut() -> None:
    text = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\nretry-after: 1\r\n\r\nabc"
        b"HTTP/1.1 204 No Content\r\n\r\n"
    )
    for cut in range(1, len(text)):
        connection = Connection(lambda: None)
        connection.connection_made(Wire())
        found: list[tuple[int, bytes]] = []
        for _ in range(3):
            connection.send(b"x", partial(_note, found))
        connection.data_received(text[:cut])
        connection.data_received(text[cut:])
        assert found == [(200, b"{}"), (503, b"abc"), (204, b"")]


def test_percentiles_have_literal_values() -> None:
    ordered = [n / 1000 for n in range(1, 101)]
    assert [percentile_ms(ordered, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile_ms([0.004], 0.99) == 4.0
    assert percentile_ms([], 0.5) == 0.0
    summary = summarize([0.002, 0.001], 200, 0.5, {503: 1})
    assert (summary.per_s, summary.work_per_s, summary.p50_ms, summary.failed) == (4.0, 400.0, 1.0, {"503": 1})


def test_batches_are_valid_events_with_ids_of_their_own() -> None:
    visitors = Visitors(50, "v")
    batches = Batches(HERE, Catalogue(100), visitors, 10, lambda: NOW, "run")
    seen = set()
    for _ in range(20):
        request = batches.next()
        events = msgspec.json.decode(body_of(request))
        assert request.startswith(b"POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1:8000\r\n")
        assert b"content-length: %d\r\n" % len(body_of(request)) in request
        assert len(events) == 10
        for event in events:
            seen.add(event["event_id"])
            assert event["ts_ms"] == NOW
            assert event["event_type"] in {name for name, _, _ in MIX}
            assert 0 <= int(event["item_id"].removeprefix("item-")) < 100
            assert event["props"]["channel"] == "web"
    assert len(seen) == 200


def test_the_mix_adds_up() -> None:
    assert sum(share for _, share, _ in MIX) == 100


def test_a_catalogue_repeats_itself_and_stays_within_its_count() -> None:
    one, other = (list(Catalogue(333).items(NOW)) for _ in range(2))
    assert one == other
    assert len({item["id"] for item in one}) == 333
    rng = Random(1)
    catalogue = Catalogue(333)
    assert {catalogue.shelf(rng, 7) % catalogue.shelves for _ in range(200)} == {7}
    assert len(list(catalogue.requests(HERE, NOW))) == 1


def test_a_key_is_sent_and_tls_is_refused() -> None:
    assert b"authorization: Bearer secret\r\n" in parse_address("http://shop:81", "secret").head("POST", "/v1/rank")
    assert parse_address("http://shop", None).url == "http://shop:80"
    with pytest.raises(Exception, match="is not of the form"):
        parse_address("https://shop", None)
