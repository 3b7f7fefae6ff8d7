"""Sessions held back: what a list still knows, and that no delay is what `rtp evaluate` says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtp_monolith.clock import WallClock
from rtp_monolith.errors import DataError
from rtp_monolith.training.evaluate import Request, evaluate
from rtp_monolith.training.freshness import BY_CLICKS, BY_TIME, Delay, freshness, hold_back
from rtp_monolith.training.protocols import prefix_cases

KNOWN = np.array([True, True, True, True, False])
SESSIONS = [[0, 4, 1, 2], [3, 3], [1]]
TIMES_S = [[0.0, 50.0, 50.0, 1000.0], [5.0, 6.0], [9.0]]


def known_to(delay: Delay) -> list[list[int]]:
    cases = hold_back(SESSIONS, TIMES_S, KNOWN, delay)
    assert cases.targets.tolist() == [-1, 1, 2, 3]
    return [cases.history(case) for case in range(len(cases))]


def test_clicks_are_counted_whether_the_model_knows_their_items_or_not() -> None:
    assert known_to(Delay("0", clicks=0)) == [[0], [0], [0, 1], [3]]
    assert known_to(Delay("1", clicks=1)) == [[], [0], [0], []]
    assert known_to(Delay("2", clicks=2)) == [[], [], [0], []]
    assert known_to(Delay("whole")) == [[], [], [], []]


def test_time_counts_back_from_the_last_click() -> None:
    assert known_to(Delay("0 s", seconds=0.0)) == [[0], [0], [0, 1], [3]]
    # Two clicks share a moment: a delay of nothing more than that moment still knows neither of them.
    assert known_to(Delay("50 s", seconds=50.0)) == [[], [0], [0], []]
    assert known_to(Delay("49 s", seconds=49.0)) == [[], [0], [0], []]
    assert known_to(Delay("1 d", seconds=86_400.0)) == [[], [], [], []]


def test_without_delay_the_cases_are_those_of_the_protocol() -> None:
    plain, held = prefix_cases(SESSIONS, KNOWN), hold_back(SESSIONS, None, KNOWN, BY_CLICKS[0])
    assert held.sessions == plain.sessions
    for one, other in ((held.of, plain.of), (held.upto, plain.upto), (held.targets, plain.targets)):
        assert one.tolist() == other.tolist()


def test_a_delay_of_time_needs_times() -> None:
    with pytest.raises(DataError) as refused:
        hold_back(SESSIONS, None, KNOWN, BY_TIME[1])
    assert refused.value.code == "times_missing"


def write(path: Path, seed: int, sessions: int) -> Path:
    """Pairs of items that follow each other, a click a minute: the last click says all, the one before it little."""
    rng, lines = np.random.default_rng(seed), ["SessionId\tItemId\tTime"]
    for session in range(sessions):
        at = 0
        for first in rng.integers(30, size=3).tolist():
            for item in (2 * first, 2 * first + 1):
                lines.append(f"{session}\t{item}\t{session * 10_000 + at}")
                at += 60
    path.write_text("\n".join(lines) + "\n")
    return path


def test_no_delay_is_what_evaluate_says_and_a_delay_costs(tmp_path: Path) -> None:
    request = Request(
        train=write(tmp_path / "train.tsv", 1, 400), test=write(tmp_path / "test.tsv", 2, 60), model="item-knn",
        protocol="prefixes", attributes=None, refit=True, k=5, seed=3, until_s=WallClock().monotonic_s() + 600,
    )  # fmt: skip
    found = freshness(request, WallClock(), lambda _: None)
    plain = evaluate(request, WallClock(), lambda _: None)
    first = found.by_clicks[0]
    assert {name: first.means[name] for name in ("hr", "mrr", "ndcg")} == {
        name: pytest.approx(plain[name]) for name in ("hr", "mrr", "ndcg")
    }
    assert found.n == plain["n"] and [each.delay.name for each in found.by_time] == [each.name for each in BY_TIME]
    assert first.difference["hr"] == 0.0 and found.by_clicks[1].difference_intervals["hr"][1] < 0.0
    # A minute is one click here, ten are more than a session has.
    assert found.by_time[1].means == found.by_clicks[1].means
    assert found.by_time[2].means == found.by_clicks[-1].means and found.by_time[2].known == 0.0
    assert [each.known for each in found.by_clicks] == sorted((each.known for each in found.by_clicks), reverse=True)
