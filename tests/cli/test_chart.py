"""Drawings of means and intervals: where the marks stand."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from rtp_monolith.cli.chart import LABEL_PX, PLOT_PX, WIDTH, Row, svg, text

ROWS = [Row("a", 0.2, 0.1, 0.3), Row("b & <c>", 0.5, 0.4, 0.6)]


def test_the_terminal_marks_ends_and_means_on_one_scale() -> None:
    title, first, second = text(ROWS, "NDCG").splitlines()
    assert title == "NDCG"
    assert first[9] == "├" and second[8 + WIDTH] == "┤" and len(first.split("●")) == 2
    assert first.index("●") - 9 == round(0.2 * (WIDTH - 1)) and second.index("●") - 9 == round(0.8 * (WIDTH - 1))
    assert first.endswith("0.2000 [0.1000, 0.3000]")


def test_equal_values_are_drawn() -> None:
    assert "●" in text([Row("a", 0.5, 0.5, 0.5)], "t") and "circle" in svg([Row("a", 0.5, 0.5, 0.5)], "t")


def test_the_svg_is_one_file_with_the_same_scale() -> None:
    root = ET.fromstring(svg(ROWS, "NDCG & more"))
    space = {"s": "http://www.w3.org/2000/svg"}
    circles = [float(each.get("cx", 0)) for each in root.findall("s:circle", space)]
    assert circles == [round(LABEL_PX + share * PLOT_PX, 1) for share in (0.2, 0.8)]
    lines = root.findall("s:line", space)
    assert (float(lines[0].get("x1", 0)), float(lines[1].get("x2", 0))) == (LABEL_PX, LABEL_PX + PLOT_PX)
    assert [each.text for each in root.findall("s:text", space)][1::2] == ["a", "b & <c>"]
