"""Gaps and actions as numbers: where buckets begin, what is known of the first click, what is refused."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from rtp_monolith._native import Core
from rtp_monolith.features.marks import (
    ACTIONS_MAX,
    FIRST,
    GAP_EDGES_S,
    UNKNOWN_ACTION,
    Marking,
    Marks,
    latest,
    vocabulary,
)

MARKING = Marking(Marks((1, 10, 60), ("view", "click")))


def gaps(*times_ms: int) -> list[int]:
    times = np.array(times_ms, np.int64)
    return MARKING.of(times, np.zeros(len(times), np.int64))[:, 0].tolist()


def test_a_gap_is_in_the_bucket_that_its_edge_begins() -> None:
    assert gaps(0, 0, 999, 1999, 11_998, 21_998, 81_997, 141_997) == [FIRST, 1, 1, 2, 2, 3, 3, 4]
    assert gaps() == [] and gaps(5) == [FIRST]
    assert MARKING.marks.gaps == 5


def test_a_clock_that_went_backwards_is_no_time() -> None:
    assert gaps(100_000, 0, 1000) == [FIRST, 1, 2]


def test_a_mark_knows_nothing_of_what_comes_later() -> None:
    times = np.cumsum(np.random.default_rng(1).integers(0, 100_000, size=30))
    actions = np.ones(30, np.int64)
    whole = MARKING.of(times, actions)
    for upto in range(31):
        assert (MARKING.of(times[:upto], actions[:upto]) == whole[:upto]).all()


def test_actions_are_numbered_from_one() -> None:
    assert MARKING.numbers(["click", "like", "view", ""]).tolist() == [2, UNKNOWN_ACTION, 1, UNKNOWN_ACTION]


def test_event_types_of_a_shard_are_the_same_actions() -> None:
    names = Core.event_types()
    types = np.array([names.index(name) for name in ("view", "like", "click")], np.uint8)
    times = np.array([0, 5_000, 5_000], np.int64)
    read = MARKING.of_types(times, types)
    assert read.tolist() == MARKING.of(times, MARKING.numbers(["view", "like", "click"])).tolist()
    assert read.tolist() == [[FIRST, 1], [2, 0], [1, 2]]


def test_the_latest_clicks_are_read_by_themselves() -> None:
    times, actions = np.array([0, 2_000, 30_000, 200_000]), np.array([1, 2, 1, 2])
    whole = MARKING.of(times, actions)
    for length in range(1, 6):
        alone = MARKING.of(times[-length:], actions[-length:])
        assert latest(whole, length).tolist() == alone.tolist()
    assert whole[2].tolist() == [3, 1], "the marks that were cut are as they were"


def test_the_vocabulary_is_by_use_then_name_and_bounded() -> None:
    assert vocabulary([["b", "a", ""], ["c", "b", "a"], [""]]) == ("a", "b", "c")
    assert len(vocabulary([[f"a{n}" for n in range(100)]])) == ACTIONS_MAX


def test_edges_are_doubled_from_one_second() -> None:
    assert GAP_EDGES_S[0] == 1 and all(2 * one == other for one, other in pairwise(GAP_EDGES_S))


@pytest.mark.parametrize(
    "said",
    [
        {"gap_edges_s": [], "actions": []},
        {"gap_edges_s": [0, 1], "actions": []},
        {"gap_edges_s": [5, 5], "actions": []},
        {"gap_edges_s": [5, 4], "actions": []},
        {"gap_edges_s": list(range(1, 1000)), "actions": []},
        {"gap_edges_s": [1.5], "actions": []},
        {"gap_edges_s": [1], "actions": ["a", "a"]},
        {"gap_edges_s": [1], "actions": [""]},
        {"gap_edges_s": [1], "actions": [f"a{n}" for n in range(40)]},
        {"gap_edges_s": [1]},
    ],
)
def test_what_cannot_be_meant_is_refused(said: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(said, Marks)
