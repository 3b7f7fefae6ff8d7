"""Records packed into bodies."""

from __future__ import annotations

from rtp_monolith.ingest.batches import BODY_BYTES_MAX, Batch, Encoded, pack


def test_a_batch_has_at_most_a_thousand_records_in_order() -> None:
    made = list(pack(Encoded(n, b"{}", "") for n in range(1, 2_502)))
    assert [len(batch.numbers) for batch in made] == [1_000, 1_000, 501]
    assert [n for batch in made for n in batch.numbers] == list(range(1, 2_502))
    assert made[2].ndjson() == b"{}\n" * 501


def test_a_body_stays_under_its_bytes_and_a_huge_record_goes_alone() -> None:
    sizes = [400_000, 400_000, 400_000, BODY_BYTES_MAX + 1, 5]
    made = list(pack(Encoded(n, b"x" * size, "") for n, size in enumerate(sizes)))
    assert [batch.numbers for batch in made] == [[0, 1], [2], [3], [4]]


def test_no_batch_has_more_events_of_a_user_than_the_shard_remembers() -> None:
    made = list(pack(Encoded(n, b"{}", "u" if n % 2 else "") for n in range(1_200)))
    assert [len(batch.numbers) for batch in made] == [513, 512, 175]
    assert max(sum(n % 2 for n in batch.numbers) for batch in made) == 256


def test_halves_keep_the_order() -> None:
    batch = Batch([1, 2, 3], [b"a", b"b", b"c"])
    assert batch.halves() == (Batch([1], [b"a"]), Batch([2, 3], [b"b", b"c"]))


def test_nothing_makes_no_batch() -> None:
    assert list(pack([])) == []
