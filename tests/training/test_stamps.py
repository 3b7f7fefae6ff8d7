"""Times and actions of recorded sessions as marks, by every protocol, and what is said when files do not agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtp_monolith.errors import DataError
from rtp_monolith.features.marks import FIRST, GAP_EDGES_S, Marking, Marks, latest
from rtp_monolith.training.protocols import Cases, Split, seen_items, split, split_for_training
from rtp_monolith.training.sessions import Recorded, read
from rtp_monolith.training.stamps import Stamped, found_marks

HEADER = "SessionId\tItemId\tTime\tAction\n"
TRAIN = HEADER + "1\ta\t0\tview\n1\tb\t4\tclick\n1\tc\t100\tview\n2\tb\t0\tview\n2\tc\t1\tview\n2\ta\t9\tclick\n"
TEST = HEADER + "5\ta\t200\tview\n5\tx\t201\tview\n5\tb\t203\tclick\n5\tc\t999\tbuy\n"
MARKING = Marking(Marks(GAP_EDGES_S, ("view", "click")))


def table(folder: Path, name: str, text: str) -> Recorded:
    path = folder / name
    path.write_text(text)
    return read(path)


def bucket(seconds: float) -> int:
    """Of a gap, counted out."""
    return 1 + sum(edge <= seconds for edge in GAP_EDGES_S)


def both(folder: Path, train: str = TRAIN, test: str = TEST) -> tuple[Recorded, Recorded]:
    return table(folder, "train.tsv", train), table(folder, "test.tsv", test)


def of(cases: Cases) -> list[list[list[int]]]:
    found = cases.marks_of(0, len(cases))
    assert found is not None
    return [each.tolist() for each in found]


def known(parts: Split) -> np.ndarray:
    return seen_items(parts.refit, len(parts.vocabulary))


def test_the_fourth_column_is_the_action(tmp_path: Path) -> None:
    for name in ("Action", "EventType", "event_type", "TYPE"):
        found = table(tmp_path, "a.tsv", TRAIN.replace("Action", name))
        assert (
            found.actions
            == [["view", "click", "view"], ["view", "view", "click"]][:: 1 if found.names[0] == "1" else -1]
        )
    assert table(tmp_path, "b.tsv", TRAIN.replace("Action", "Price")).actions is None
    assert table(tmp_path, "c.tsv", HEADER + "1\ta\t0\tVIEW\n1\tb\t1\t\n1\tc\t2\n").actions == [["view", "", ""]]


def test_prefixes_have_the_marks_of_what_they_see(tmp_path: Path) -> None:
    train, test = both(tmp_path)
    parts = split("prefixes", train, test, (), found_marks(train, test, "on", lambda _: None))
    assert parts.marks == MARKING.marks
    cases = parts.test(known(parts))
    # x is not known: the gap of b is to a.
    first, second = [FIRST, 1], [bucket(3), 2]
    assert of(cases) == [[first], [first], [first, second]]
    assert parts.refit_marks is not None and parts.fit_marks is not None
    assert parts.refit_marks[0].tolist() == [[FIRST, 1], [bucket(4), 2], [bucket(96), 1]]
    assert len(parts.fit_marks) == len(parts.fit)


def test_no_case_knows_when_its_target_came(tmp_path: Path) -> None:
    late = TEST.replace("\t999\t", "\t5000\t")
    for protocol in ("prefixes", "stream"):
        found = []
        for text in (TEST, late):
            train, test = both(tmp_path, test=text)
            parts = split(protocol, train, test, (), found_marks(train, test, "on", lambda _: None))  # type: ignore[arg-type]
            cases = parts.test(known(parts))
            found.append(of(cases)[-1])
            assert [len(each) for each in of(cases)] == cases.upto.tolist()
        assert found[0] == found[1] == [[FIRST, 1], [bucket(3), 2]]


def test_leave_one_out_has_the_marks_of_the_history(tmp_path: Path) -> None:
    train = table(tmp_path, "train.tsv", TRAIN + "9\ta\t50\tview\n")
    parts = split("leave-one-out", train, train, (), found_marks(train, train, "on", lambda _: None))
    assert [each.tolist() for each in parts.fit_marks or []] == [[[FIRST, 1]], [[FIRST, 1]]]
    order = ["1", "2"] if train.names[0] == "1" else ["2", "1"]
    want = {"1": [[FIRST, 1], [bucket(4), 2]], "2": [[FIRST, 1], [bucket(1), 1]]}
    assert of(parts.test(known(parts))) == [want[name] for name in order]


def test_a_stream_goes_on_with_a_session_of_training(tmp_path: Path) -> None:
    train, test = both(tmp_path, test=HEADER + "2\tb\t25\tclick\n2\ta\t27\tview\n7\ta\t26\tclick\n7\tb\t30\tview\n")
    parts = split("stream", train, test, (), found_marks(train, test, "on", lambda _: None))
    cases = parts.test(known(parts))
    two = [[FIRST, 1], [bucket(1), 1], [bucket(8), 2]]
    assert of(cases) == [two, [], [*two, [bucket(16), 2]], [[FIRST, 2]]]


def test_dropping_a_click_leaves_the_gap_to_the_one_before(tmp_path: Path) -> None:
    train = table(tmp_path, "train.tsv", TRAIN)
    stamped = Stamped.of(train, MARKING)
    at = train.names.index("1")
    assert stamped.of_clicks(at, [0, 2]).tolist() == [[FIRST, 1], [bucket(100), 1]]
    assert latest(stamped.all()[at], 2).tolist() == stamped.of_clicks(at, [1, 2]).tolist()
    assert stamped.of_clicks(at, []).tolist() == []


def test_lines_have_no_marks() -> None:
    lines = Recorded([["a", "b"], ["b", "a"]], [], None)
    assert found_marks(lines, lines, "auto", lambda _: None) is None
    parts = split_for_training(lines)
    assert parts.fit_marks is None and parts.validation(np.ones(2, dtype=bool)).marks is None
    with pytest.raises(DataError) as refused:
        found_marks(lines, lines, "on", lambda _: None)
    assert refused.value.code == "marks_missing"


@pytest.mark.parametrize("which", ["times", "actions"])
@pytest.mark.parametrize("turned", [False, True])
def test_what_one_file_has_alone_is_refused_or_left_out(tmp_path: Path, which: str, turned: bool) -> None:
    whole = table(tmp_path, "whole.tsv", TRAIN)
    if which == "times":
        other = Recorded([["a", "b"]], [], None)
    else:
        other = Recorded(whole.sessions, whole.names, whole.times_s, None)
    train, test = (other, whole) if turned else (whole, other)
    with pytest.raises(DataError) as refused:
        found_marks(train, test, "on", lambda _: None)
    assert refused.value.code == "marks_missing"
    assert ("--train" if turned else "--test") in refused.value.message and which in refused.value.message
    said: list[str] = []
    found = found_marks(train, test, "auto", said.append)
    assert found == (None if which == "times" else Marks(GAP_EDGES_S, ()))
    assert len(said) == 1 and which in said[0]
    assert found_marks(train, test, "off", said.append) is None


def test_an_action_that_training_does_not_know_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    train, test = both(tmp_path)
    assert found_marks(train, test, "auto", said.append) == MARKING.marks
    assert len(said) == 1 and "'buy'" in said[0]
