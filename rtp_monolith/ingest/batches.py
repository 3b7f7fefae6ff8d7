"""Records packed into the bodies of requests.

Invariant: a batch keeps the order of its records, stays under the limits of the shard, and holds no more events of
one user than the shard remembers ids for, so sending a batch again after a lost answer can not count twice. It does
not know what the records are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

RECORDS_MAX = 1_000
BODY_BYTES_MAX = 1_000_000
RECORDS_PER_KEY_MAX = 256


class Encoded(msgspec.Struct, frozen=True):
    """One record as JSON, with the row it is from and the key whose order and repeats matter (empty: none)."""

    number: int
    body: bytes
    key: str


class Batch(msgspec.Struct, frozen=True):
    """Rows and their bodies, one to one."""

    numbers: list[int]
    bodies: list[bytes]

    def ndjson(self) -> bytes:
        """The body of a request."""
        return b"\n".join(self.bodies) + b"\n"

    def halves(self) -> tuple[Batch, Batch]:
        """Two smaller batches in order, for a shard with smaller limits."""
        middle = len(self.numbers) // 2
        return (
            Batch(self.numbers[:middle], self.bodies[:middle]),
            Batch(self.numbers[middle:], self.bodies[middle:]),
        )


def pack(records: Iterable[Encoded], records_max: int = RECORDS_MAX) -> Iterator[Batch]:
    """Batches in order; a record larger than a body is a batch of its own."""
    numbers: list[int] = []
    bodies: list[bytes] = []
    size = 0
    per_key: dict[str, int] = {}
    for record in records:
        length = len(record.body) + 1
        of_key = per_key.get(record.key, 0) + 1 if record.key else 0
        if numbers and (len(numbers) >= records_max or size + length > BODY_BYTES_MAX or of_key > RECORDS_PER_KEY_MAX):
            yield Batch(numbers, bodies)
            numbers, bodies, size = [], [], 0
            per_key.clear()
            of_key = 1 if record.key else 0
        numbers.append(record.number)
        bodies.append(record.body)
        size += length
        if record.key:
            per_key[record.key] = of_key
    if numbers:
        yield Batch(numbers, bodies)
