"""When a trial must end: nothing early, each guard by itself, and how often chance alone ends one."""

from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.config import Canary
from rtp_monolith.ranking.guard import Count, Side, verdict

GUARD = Canary()


def side(**changes: float) -> Side:
    fields = {"lists": 1_000, "failed": 0, "shown": 20_000, "clicks": 1_000, "p95_ms": 5.0} | changes
    return Side(**fields)  # type: ignore[arg-type]


def test_nothing_is_said_before_both_sides_have_made_enough() -> None:
    bad = {"failed": 400, "p95_ms": 100.0, "clicks": 0}
    assert verdict(side(), side(lists=499, **bad), GUARD) is None
    assert verdict(side(lists=499), side(**bad), GUARD) is None
    assert verdict(side(lists=500), side(lists=500, **bad), GUARD) is not None


@pytest.mark.parametrize(
    ("tried", "word"),
    [
        ({"failed": 21}, "errors: 2.1% of its lists lacked a stage, 0.0% of the others"),
        ({"failed": 20}, None),
        ({"p95_ms": 15.0}, "latency: P95 15 ms, 5 ms of the others"),
        ({"p95_ms": 10.0}, None),
        ({"clicks": 600}, "clicks: 3.000% of shown items, 5.000% of the others"),
        ({"clicks": 880}, None),
        ({"clicks": 2_000}, None),
        ({"shown": 0, "clicks": 0}, None),
    ],
)
def test_each_guard_says_why(tried: dict[str, float], word: str | None) -> None:
    assert verdict(side(), side(**tried), GUARD) == word


def test_what_is_wrong_with_both_sides_is_no_fault_of_the_one_tried() -> None:
    bad = {"failed": 300, "p95_ms": 200.0, "clicks": 3}
    assert verdict(side(**bad), side(**bad), GUARD) is None


def test_a_small_side_needs_a_larger_drop() -> None:
    drop = {"shown": 400, "clicks": 12}
    assert verdict(side(), side(lists=500, **drop), GUARD) is None, "3 % of 400 may be chance"
    assert verdict(side(), side(shown=20_000, clicks=600), GUARD) is not None


def test_chance_alone_ends_few_trials_though_it_is_looked_at_often() -> None:
    """200 trials of two sides that click alike, looked at after every hundred lists of ten; no drop is allowed."""
    rng, strict = np.random.default_rng(3), Canary(click_drop_max=0.0)
    ended = 0
    for _ in range(200):
        clicks = rng.binomial(1_000, 0.05, size=(50, 2)).cumsum(0).tolist()
        sides = [
            [side(lists=look * 100, shown=look * 1_000, clicks=clicks[look - 1][at]) for at in (0, 1)]
            for look in range(1, 51)
        ]
        ended += any(verdict(*pair, strict) is not None for pair in sides)
    assert ended <= 2
    assert verdict(side(clicks=1_000), side(clicks=820), strict) is not None


def test_a_side_counts_lists_that_lacked_a_stage_of_the_bundle() -> None:
    count = Count()
    for degraded in ([], ["ranker_failed"], ["encoder_slow", "prerank_slow"], ["stale_position", "no_items"]):
        count.add(degraded, 10, 3.5)
    assert count.side(7) == Side(lists=4, failed=2, shown=40, clicks=7, p95_ms=4.0)
    assert Count().side(0) == Side(0, 0, 0, 0, 0.0)
