"""What a replay measures."""

from __future__ import annotations

from rtp_monolith.cli.replay_scores import Acknowledged, Score, Tally, percentile, rank_of, score_of


def test_ranks_hits_and_reciprocal_ranks() -> None:
    assert rank_of(["a", "b"], "b") == 2
    assert rank_of(["a", "b"], "c") == 0
    assert score_of([1, 2, 0, 4]) == Score(4, 0.75, 0.4375)
    assert score_of([]) == Score(0, 0.0, 0.0)


def test_a_tally_cuts_at_k_and_keeps_first_clicks_out_of_the_protocol() -> None:
    tally = Tally("home", 2)
    tally.add(["a", "b", "c"], "c", prefix=0, stale=False, ms=1.0)
    tally.add(["a", "b", "c"], "b", prefix=1, stale=True, ms=3.0)
    tally.add(["a"], "a", prefix=2, stale=False, ms=2.0)
    tally.degraded(["no_model"])
    other = Tally("home", 2)
    other.add(["x", "y"], "x", prefix=0, stale=False, ms=2.0)
    other.degraded(["no_model", "no_items"])
    tally.merge(other)
    made = tally.score()
    assert made.all_steps == Score(4, 0.75, 0.625)
    assert made.protocol == Score(2, 1.0, 0.75)
    assert (made.lists, made.stale, made.short) == (4, 1, 1)
    assert (made.list_ms_mean, made.list_ms_p99) == (2.0, 3.0)
    assert made.degraded == {"no_model": 2, "no_items": 1}


def test_percentiles_are_measured_values() -> None:
    assert percentile([], 0.99) == 0.0
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([float(n) for n in range(1, 1_001)], 0.99) == 990.0


def test_a_list_must_have_seen_what_was_acknowledged() -> None:
    seen = Acknowledged()
    assert not seen.stale(None, "s", 0)
    seen.accepted(None, "s")
    assert seen.stale(None, "s", 0)
    assert not seen.stale(None, "s", 1)
    assert not seen.stale(None, "other", 0)


def test_a_key_that_the_shard_knew_before_starts_from_there() -> None:
    seen = Acknowledged()
    assert not seen.stale("u", "s", 7)
    seen.accepted("u", "s")
    assert seen.stale("u", "s", 7)
    assert not seen.stale("u", "s", 8)


def test_a_linked_session_brings_its_events_once_and_resolves_to_its_user() -> None:
    seen = Acknowledged()
    seen.stale(None, "s", 0)
    seen.accepted(None, "s")
    seen.accepted(None, "s")
    seen.stale("u", "s", 0)
    seen.accepted("u", "s")
    assert seen.stale("u", "s", 2)
    assert not seen.stale("u", "s", 3)
    seen.accepted(None, "s")
    assert seen.stale(None, "s", 3)
    assert not seen.stale("u", "another", 4)
    seen.accepted("v", "s")
    assert not seen.stale("v", "s", 1)
    assert seen.stale("u", "t", 3)
