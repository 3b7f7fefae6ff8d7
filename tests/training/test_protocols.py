"""Which lists each protocol asks for, on sessions small enough to write the answer down."""

from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.errors import DataError
from rtp_monolith.training.protocols import Cases, Split, prefix_cases, seen_items, split
from rtp_monolith.training.sessions import Recorded, Vocabulary


def lines(*sessions: str, names: str = "") -> Recorded:
    return Recorded([each.split() for each in sessions], names.split(), None)


def asked(cases: Cases, vocabulary: Vocabulary) -> list[tuple[str, str]]:
    """(history, target) of every case in words; ? is what nobody can know."""
    ids = vocabulary.ids()
    return [
        (" ".join(ids[item] for item in cases.history(case)), ids[target] if target >= 0 else "?")
        for case, target in enumerate(cases.targets.tolist())
    ]


def known(parts: Split, sessions: list[list[int]]) -> np.ndarray:
    return seen_items(sessions, len(parts.vocabulary))


def test_prefixes_ask_for_every_next_item() -> None:
    parts = split("prefixes", lines("a b", "c d", "a c"), lines("a b c", "d", "b b a"))
    cases = parts.test(known(parts, parts.refit))
    assert asked(cases, parts.vocabulary) == [("a", "b"), ("a b", "c"), ("b", "b"), ("b b", "a")]
    assert not cases.removes_seen and not cases.live


def test_unknown_items_are_dropped_from_prefixes_and_are_misses_as_targets() -> None:
    parts = split("prefixes", lines("a b", "c d"), lines("x a y b", "x y a"))
    cases = parts.test(known(parts, parts.refit))
    assert asked(cases, parts.vocabulary) == [("", "a"), ("a", "?"), ("a", "b"), ("", "?"), ("", "a")]


def test_validation_is_the_last_tenth_by_order() -> None:
    train = lines(*[f"i{n} i{n + 1}" for n in range(40)])
    parts = split("prefixes", train, lines("i0 i1"))
    assert len(parts.fit) == 36 and len(parts.refit) == 40
    assert parts.fit == parts.refit[:36]
    cases = parts.validation(known(parts, parts.fit))
    # i36 was seen as the end of session 35; what comes later was not.
    assert asked(cases, parts.vocabulary) == [("i36", "?"), ("", "?"), ("", "?"), ("", "?")]


def test_two_sessions_leave_one_for_validation() -> None:
    parts = split("prefixes", lines("a b", "b a"), lines("a b"))
    assert (len(parts.fit), len(parts.refit)) == (1, 2)
    assert len(parts.validation(known(parts, parts.fit))) == 1


def test_leave_one_out() -> None:
    file = lines("a b c d", "b c", "c a b", names="u1 u2 u3")
    parts = split("leave-one-out", file, file)
    ids = parts.vocabulary.ids()
    assert [[ids[item] for item in own] for own in parts.fit] == [["a", "b"], ["c"]]
    assert [[ids[item] for item in own] for own in parts.refit] == [["a", "b", "c"], ["c", "a"]]
    everything = np.ones(len(ids), dtype=bool)
    assert asked(parts.validation(everything), parts.vocabulary) == [("a b", "c"), ("c", "a")]
    test = parts.test(everything)
    assert asked(test, parts.vocabulary) == [("a b c", "d"), ("c a", "b")]
    assert test.removes_seen
    assert asked(parts.test(known(parts, parts.fit)), parts.vocabulary) == [("a b c", "?"), ("c a", "b")]


def test_described_items_can_be_known_without_a_session() -> None:
    parts = split("prefixes", lines("a b", "b a"), lines("a x b"), described=["x", "a"])
    assert parts.vocabulary.ids() == ["a", "b", "x"]
    assert asked(parts.test(np.ones(3, dtype=bool)), parts.vocabulary) == [("a", "x"), ("a x", "b")]


def timed(*events: str) -> Recorded:
    """`session item time` each, in the order of time."""
    rows = [each.split() for each in events]
    names = list(dict.fromkeys(session for session, _, _ in rows))
    sessions = [[item for session, item, _ in rows if session == name] for name in names]
    times_s = [[float(time) for session, _, time in rows if session == name] for name in names]
    return Recorded(sessions, names, times_s)


def test_stream_asks_before_every_event_in_time_order() -> None:
    train = timed("s1 a 1", "s1 b 2", "s2 c 3")
    test = timed("s3 a 10", "s1 c 11", "s3 x 12", "s3 b 13", "s4 b 13")
    parts = split("stream", train, test)
    cases = parts.test(known(parts, parts.refit))
    assert asked(cases, parts.vocabulary) == [("", "a"), ("a b", "c"), ("a", "?"), ("a", "b"), ("", "b")]
    assert cases.live
    assert [cases.keys[of] for of in cases.of.tolist()] == [2, 0, 2, 2, 3]
    assert asked(parts.validation(known(parts, parts.fit)), parts.vocabulary) == [("", "?")]


@pytest.mark.parametrize(
    ("protocol", "train", "test", "code"),
    [
        ("prefixes", lines("a b"), lines("a b"), "too_few_sessions"),
        ("prefixes", lines("a b", "b a"), lines("a", "b"), "no_cases"),
        ("leave-one-out", lines("a b", "b"), lines("a b", "b"), "no_cases"),
        ("leave-one-out", lines("a b c"), lines("a b d"), "files_differ"),
        ("stream", lines("a b", "b a"), lines("a b"), "times_missing"),
    ],
)
def test_what_cannot_be_asked_is_refused(protocol: str, train: Recorded, test: Recorded, code: str) -> None:
    with pytest.raises(DataError) as error:
        split(protocol, train, test)  # type: ignore[arg-type]
    assert error.value.code == code


def test_a_sample_is_spread_over_the_cases() -> None:
    cases = prefix_cases([list(range(11))], np.ones(11, dtype=bool))
    assert cases.sample(4).targets.tolist() == [1, 4, 7, 10]
    assert cases.sample(100) is cases
