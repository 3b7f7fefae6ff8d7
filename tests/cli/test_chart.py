"""Means and intervals in a terminal: where the marks stand."""

from __future__ import annotations

from rtp_monolith.cli.chart import WIDTH, Row, text

ROWS = [Row("a", 0.2, 0.1, 0.3), Row("b & <c>", 0.5, 0.4, 0.6)]


def test_the_terminal_marks_ends_and_means_on_one_scale() -> None:
    title, first, second = text(ROWS, "NDCG").splitlines()
    assert title == "NDCG"
    assert first[9] == "├" and second[8 + WIDTH] == "┤" and len(first.split("●")) == 2
    assert first.index("●") - 9 == round(0.2 * (WIDTH - 1)) and second.index("●") - 9 == round(0.8 * (WIDTH - 1))
    assert first.endswith("0.2000 [0.1000, 0.3000]")


def test_equal_values_are_drawn() -> None:
    assert "●" in text([Row("a", 0.5, 0.5, 0.5)], "t")
