"""Hours and their folders."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rtp_monolith.errors import LakeError
from rtp_monolith.lake.tables import US_PER_HOUR, by_hour, partition, spread


def test_rows_go_to_their_hour_in_their_order() -> None:
    rng = np.random.default_rng(3)
    times = rng.integers(0, 5 * US_PER_HOUR, 1000)
    table = pa.table({"ts": pa.array(times, pa.timestamp("us", tz="UTC")), "n": pa.array(np.arange(1000))})
    seen = []
    for hour, part in by_hour(table):
        numbers = part.column("n").to_numpy()
        assert (np.diff(numbers) > 0).all() and (times[numbers] // US_PER_HOUR == hour).all()
        seen.extend(numbers.tolist())
    assert sorted(seen) == list(range(1000))
    assert list(by_hour(table.slice(0, 0))) == []
    assert [hour for hour, _ in by_hour(table.slice(0, 1))] == [times[0] // US_PER_HOUR]


def test_an_hour_has_a_folder() -> None:
    assert partition(0) == "date=1970-01-01/hour=00"
    assert partition(480_000 + 23) == "date=2024-10-04/hour=23"
    with pytest.raises(LakeError):
        partition(1 << 40)


def test_hours_are_spread_over_groups_that_are_not_too_wide() -> None:
    assert list(spread([], 24)) == []
    assert list(spread([5], 24)) == [(5, 5)]
    assert list(spread([1, 2, 24, 25, 26, 100], 24)) == [(1, 24), (25, 26), (100, 100)]
