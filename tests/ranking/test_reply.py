"""Names of sources: the same on both sides of the border, in the order of their bits."""

from __future__ import annotations

import json

import pytest

from rtp_monolith._native import SurfacePlan
from rtp_monolith.errors import RtpError
from rtp_monolith.ranking.reply import SOURCES, source_names


def plan(source: str) -> SurfacePlan:
    return SurfacePlan(
        "s", [(source, 1, 1.0)], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False
    )


def test_both_sides_name_the_same_sources_in_the_same_order() -> None:
    with pytest.raises(RtpError) as refused:
        plan("covisit")
    assert refused.value.args[0].endswith(f"is not one of {json.dumps(SOURCES)}")
    for source in SOURCES:
        plan(source)


def test_bits_are_names() -> None:
    assert source_names(0) == ()
    assert [source_names(1 << bit) for bit in range(len(SOURCES))] == [(name,) for name in SOURCES]
    assert source_names(1 << 9 | 1 << 10 | 1) == ("session_knn", "ann", "text")
    assert source_names((1 << len(SOURCES)) - 1) == SOURCES
    assert source_names(1 << 31) == ()
