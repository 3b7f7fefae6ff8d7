"""A compacted stream: what the last record of each key says, whatever came before it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp_monolith.ingest.compacted import Latest, Superseded, Unread, latest_records

VALUES = st.one_of(st.none(), st.fixed_dictionaries({"price": st.integers(0, 9)}))


def written(path: Path, records: list[Any]) -> Path:
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in records))
    return path


def read(path: Path) -> dict[str, Any]:
    return {one.key: one.value for one in latest_records(path) if isinstance(one, Latest)}


@given(pairs=st.lists(st.tuples(st.sampled_from("abc"), VALUES), max_size=20))
def test_the_last_record_of_each_key_is_what_a_map_would_hold(
    pairs: list[tuple[str, dict[str, int] | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("stream") / "items.jsonl"
    written(path, [{"key": key, "value": value, "ts": n} for n, (key, value) in enumerate(pairs)])
    held = {key: None if value is None else {**value, "id": key} for key, value in pairs}
    assert read(path) == held
    rows = list(latest_records(path))
    assert sum(isinstance(one, Superseded) for one in rows) == len(pairs) - len(held)
    # What a broker has compacted already gives the same.
    last = {key: n for n, (key, _) in enumerate(pairs)}
    kept = [{"key": key, "value": value} for n, (key, value) in enumerate(pairs) if last[key] == n]
    assert read(written(path, kept)) == held


def test_what_a_consumer_prints_is_read_too(tmp_path: Path) -> None:
    rows = [
        {"topic": "items", "partition": 0, "offset": 1, "ts": 5, "key": "a", "payload": '{"price": 1}'},
        {"topic": "items", "partition": 0, "offset": 2, "ts": 6, "key": "b", "payload": None},
        {"key": 7, "value": {"id": "7"}},
    ]
    assert read(written(tmp_path / "s.jsonl", rows)) == {"a": {"price": 1, "id": "a"}, "b": None, "7": {"id": "7"}}


def test_what_is_no_record_is_refused_and_never_taken_for_a_removal(tmp_path: Path) -> None:
    rows = [
        {"key": "a", "value": {"price": 1}},
        "{",
        {"value": {}},
        {"key": "", "value": None},
        {"key": ["a"], "value": None},
        {"key": True, "value": None},
        {"key": "k" * 129, "value": None},
        {"key": "b"},
        {"key": "c", "value": 3},
        {"key": "d", "payload": "{"},
        {"key": "e", "value": {"id": "f"}},
    ]
    found = list(latest_records(written(tmp_path / "s.jsonl", rows)))
    assert isinstance(found[0], Latest)
    assert [(one.number, one.why.code) for one in found[1:] if isinstance(one, Unread)] == [
        (2, "malformed_row"),
        (3, "missing_field"),
        (4, "missing_field"),
        (5, "wrong_type"),
        (6, "wrong_type"),
        (7, "too_long"),
        (8, "missing_field"),
        (9, "wrong_type"),
        (10, "malformed_row"),
        (11, "out_of_range"),
    ]


def test_a_last_record_that_cannot_be_read_does_not_bring_back_the_one_before(tmp_path: Path) -> None:
    rows = [{"key": "a", "value": {"price": 1}}, {"key": "a", "value": 3}]
    found = list(latest_records(written(tmp_path / "s.jsonl", rows)))
    assert [type(one) for one in found] == [Superseded, Unread]
