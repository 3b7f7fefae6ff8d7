"""Drawings as files: what they say, that equal numbers give equal bytes, and what is refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rtp_monolith.cli import figure
from rtp_monolith.cli.chart import Row
from rtp_monolith.cli.figure import Panel
from rtp_monolith.cli.output import Failure

ROWS = [Row("a", 0.2, 0.1, 0.3), Row("b & <c>", 0.5, 0.4, 0.6)]
PNG = b"\x89PNG\r\n\x1a\n"


def words(path: Path) -> set[str]:
    """Every text of an SVG."""
    return {"".join(each.itertext()).strip() for each in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")}


def test_rows_are_named_in_the_drawing(tmp_path: Path) -> None:
    figure.rows(ROWS, "NDCG & more", tmp_path / "rows.svg")
    assert {"a", "b & <c>", "NDCG & more"} <= words(tmp_path / "rows.svg")


def test_curves_have_their_names_and_ticks(tmp_path: Path) -> None:
    panels = [Panel("by clicks", {"HR": ROWS, "MRR": ROWS}), Panel("by time", {"HR": [Row("1 min", 0.1, 0.0, 0.2)]})]
    figure.curves(panels, "held back", tmp_path / "curves.svg")
    assert {"a", "b & <c>", "1 min", "held back", "by clicks", "by time", "HR", "MRR"} <= words(tmp_path / "curves.svg")


def test_equal_numbers_give_equal_bytes(tmp_path: Path) -> None:
    for suffix in ("svg", "png"):
        one, other = tmp_path / f"one.{suffix}", tmp_path / f"other.{suffix}"
        figure.curves([Panel("x", {"HR": ROWS})], "t", one)
        figure.curves([Panel("x", {"HR": ROWS})], "t", other)
        assert one.read_bytes() == other.read_bytes()
    assert one.read_bytes().startswith(PNG)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="bad") as refused:
        figure.rows(ROWS, "t", tmp_path / "bad.gif")
    assert refused.value.code == "bad_suffix"
    with pytest.raises(Failure, match="cannot be written") as refused:
        figure.rows(ROWS, "t", tmp_path / "nowhere" / "a.svg")
    assert refused.value.code == "disk_refused"
