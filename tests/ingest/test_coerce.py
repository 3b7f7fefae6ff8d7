"""Cells made into values."""

from __future__ import annotations

import datetime
import decimal
import math

import pytest

from rtp_monolith.ingest import coerce
from rtp_monolith.ingest.coerce import CellRefused, Coerce

MS = 1_593_536_687_123


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (1_593_536_687, 1_593_536_687_000),
        (1_593_536_687.123, MS),
        ("1593536687.0", 1_593_536_687_000),
        (MS, MS),
        (str(MS), MS),
        (MS * 1_000 + 999, MS),
        (MS * 1_000_000 + 999, MS),
        ("2020-06-30T17:04:47.123Z", MS),
        ("2020-06-30T19:04:47.123+02:00", MS),
        ("2020-06-30 17:04:47 UTC", 1_593_536_687_000),
        ("2020-06-30", 1_593_475_200_000),
        (datetime.datetime(2020, 6, 30, 17, 4, 47, 123_000), MS),
        (datetime.date(2020, 6, 30), 1_593_475_200_000),
    ],
)
def test_moments(cell: object, value: int) -> None:
    assert coerce.moment(cell) == value


def test_a_column_of_milliseconds_is_not_guessed_at() -> None:
    assert coerce.milliseconds("86400000") == 86_400_000
    assert coerce.moment("86400000") == 86_400_000_000


@pytest.mark.parametrize(
    ("convert", "cell", "value"),
    [
        (coerce.identifier, 42, "42"),
        (coerce.identifier, 42.0, "42"),
        (coerce.identifier, "042", "042"),
        (coerce.identifier, decimal.Decimal("7"), "7"),
        (coerce.text, b"abc", "abc"),
        (coerce.text, ["a", 1], '["a",1]'),
        (coerce.text, True, "true"),
        (coerce.text, 0.5, "0.5"),
        (coerce.number, "12.50", 12.5),
        (coerce.number, " 12 ", 12),
        (coerce.number, decimal.Decimal("1.5"), 1.5),
        (coerce.whole, "3.0", 3),
        (coerce.boolean, "Yes", True),
        (coerce.boolean, "out of stock", False),
        (coerce.boolean, "17", True),
        (coerce.boolean, 0, False),
        (coerce.texts, "a > b | c|", ["a > b", "c"]),
        (coerce.texts, '["a","b"]', ["a", "b"]),
        (coerce.texts, ["a", 5], ["a", "5"]),
        (coerce.floats, "[1, 2.5]", [1.0, 2.5]),
        (coerce.attribute, "42", 42),
        (coerce.attribute, "-1.5", -1.5),
        (coerce.attribute, "007", "007"),
        (coerce.attribute, "1e5", "1e5"),
        (coerce.attribute, "1234567890123456", "1234567890123456"),
        (coerce.attribute, "true", True),
        (coerce.attribute, '["a"]', ["a"]),
        (coerce.attribute, "[draft]", "[draft]"),
        (coerce.attribute, {"a": 1}, '{"a":1}'),
        (coerce.mapping, '{"a":1,"b":null}', {"a": 1}),
    ],
)
def test_values(convert: Coerce, cell: object, value: object) -> None:
    made = convert(cell)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("convert", "cell", "code"),
    [
        (coerce.moment, "yesterday", "bad_ts"),
        (coerce.moment, None, "bad_ts"),
        (coerce.milliseconds, "1.5", "bad_ts"),
        (coerce.identifier, "x" * 129, "too_long"),
        (coerce.identifier, True, "wrong_type"),
        (coerce.identifier, ["a"], "wrong_type"),
        (coerce.number, "12,50", "wrong_type"),
        (coerce.number, "1_000", "wrong_type"),
        (coerce.number, True, "wrong_type"),
        (coerce.number, math.inf, "wrong_type"),
        (coerce.whole, 1.5, "wrong_type"),
        (coerce.boolean, "perhaps", "wrong_type"),
        (coerce.texts, [["a"]], "wrong_type"),
        (coerce.texts, "[1,", "wrong_type"),
        (coerce.floats, "[1, true]", "wrong_type"),
        (coerce.floats, "1,2", "wrong_type"),
        (coerce.mapping, "[1]", "wrong_type"),
        (coerce.text, b"\xff", "wrong_type"),
    ],
)
def test_refused(convert: Coerce, cell: object, code: str) -> None:
    with pytest.raises(CellRefused) as caught:
        convert(cell)
    assert caught.value.code == code
