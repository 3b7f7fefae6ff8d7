"""The static vector of a user: decay, weights, moments, and how it is found in a row of published values."""

from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.features.published import Published
from rtp_monolith.features.taste import (
    DAY_MS,
    Statics,
    TasteSettings,
    directions,
    night_before,
    space_of,
    static_sources,
    tastes_at,
)

NOW = 20_000 * DAY_MS


@pytest.mark.parametrize("half_life_days", [0.0, 3.0])
def test_against_a_sum_written_out(half_life_days: float) -> None:
    rng = np.random.default_rng(4)
    vectors = directions(rng.normal(size=(9, 3)).astype(np.float32))
    times = NOW - np.sort(rng.integers(0, 30 * DAY_MS, 9))[::-1]
    weights = rng.uniform(1, 3, 9)
    cuts = np.array([times[0], times[4], times[4] + 1, NOW + DAY_MS])
    found = tastes_at(vectors, times, weights, cuts, half_life_days)
    assert not found[0].any(), "what was wanted at the cut is not before it"
    for cut, row in zip(cuts[1:], found[1:], strict=True):
        total = np.zeros(3)
        for vector, at, weight in zip(vectors, times, weights, strict=True):
            if at < cut:
                total += weight * vector * (0.5 ** ((cut - at) / DAY_MS / half_life_days) if half_life_days else 1.0)
        np.testing.assert_allclose(row, total / np.linalg.norm(total), atol=1e-6)


def test_very_old_wants_keep_a_direction() -> None:
    vectors, times = np.eye(2), np.array([NOW - 100_000 * DAY_MS, NOW], np.int64)
    found = tastes_at(vectors, times, np.ones(2), np.array([NOW - DAY_MS, NOW + 1]), 7.0)
    np.testing.assert_array_equal(found, np.eye(2, dtype=np.float32))


def test_opposite_wants_and_items_without_a_vector_say_nothing() -> None:
    vectors, times = np.array([[1.0, 0], [-1.0, 0]]), np.array([1, 2], np.int64)
    assert not tastes_at(vectors, times, np.ones(2), np.array([5]), 0.0).any()
    assert not directions(np.zeros((2, 3), np.float32)).any()


def test_nights_and_weights() -> None:
    assert (night_before(NOW), night_before(NOW - 1), night_before(NOW + 5)) == (NOW, NOW - DAY_MS, NOW)
    assert [TasteSettings(1.0, {"purchase": 3.0}).weight(a) for a in ("purchase", "click")] == [3.0, 1.0]


def test_a_row_is_read_only_among_its_own_item_vectors() -> None:
    sources = static_sources(3, DAY_MS)
    assert [each.name for each in sources] == sorted(each.name for each in sources)
    assert Published(user=sources).width("user") == 4 and {each.ttl_ms for each in sources} == {DAY_MS}
    space, statics = space_of("ffffff0123456789"), Statics(sources)
    row = np.array([1, 2, 3, space], np.float32)
    assert float(row[3]) == 2**24 - 1 == space
    np.testing.assert_array_equal(statics.of(row, space, 3), [1, 2, 3])
    assert statics.of(row, space - 1, 3) is None and statics.of(row, space, 4) is None
    assert statics.of(None, space, 3) is None
    row[1] = np.nan
    assert statics.of(row, space, 3) is None
    assert static_sources(0, 0) == () and Statics(()).of(row, space, 3) is None
