"""Tables for people."""

from __future__ import annotations

from rtp_monolith.cli.output import Failure, error_document, table


def test_numbers_stand_right_and_text_left() -> None:
    made = table(("name", "n", "hr"), [("home", 7, 0.64), ("p", 931, 0.5)])
    assert made.splitlines() == ["name    n      hr", "home    7  0.6400", "p     931  0.5000"]


def test_a_missing_cell_is_blank_and_no_rows_is_the_header() -> None:
    assert table(("a", "b"), [("x", None)]) == "a  b\nx"
    assert table(("a", "b"), []) == "a  b"


def test_a_failure_has_a_code_and_words() -> None:
    assert Failure("no_data", "gone").format_message() == "no_data: gone"
    assert error_document("no_data", "gone") == {"error": {"code": "no_data", "message": "gone"}}
