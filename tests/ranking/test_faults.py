from __future__ import annotations

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.errors import InvalidField
from rtp_monolith.ranking.faults import FAULTY, Fault, Faults, InjectedFailure, Overrun


def test_every_stage_and_every_source_can_be_made_to_fail() -> None:
    assert set(FAULTY) == {
        *("encode", "ann", "recall", "prerank", "rank", "rerank", "explore", "log"),
        *("session_knn", "covis", "trending", "popular", "popular_context", "new", "same_category", "text", "ann_user"),
        *("bought_together", "same_brand", "trending_context", "history"),
    }


def test_a_failure_raises_and_off_ends_it() -> None:
    faults = Faults(ManualClock(5))
    assert not faults
    faults.strike("rank", 1.0)
    faults.switch(Fault("rank"))
    assert faults and "rank" in faults and list(faults.active()) == [Fault("rank")]
    with pytest.raises(InjectedFailure):
        faults.strike("rank", 1.0)
    faults.strike("recall", 1.0)
    faults.switch(Fault("rank", off=True))
    faults.strike("rank", 1.0)
    assert not faults


def test_a_stall_waits_as_long_as_is_allowed() -> None:
    clock = ManualClock(0)
    faults = Faults(clock)
    faults.switch(Fault("covis", "stall", stall_ms=30))
    with pytest.raises(Overrun):
        faults.strike("covis", 0.020)
    assert clock.now_ms() == 20
    faults.strike("covis", 0.050)
    assert clock.now_ms() == 50, "a stall that fits is only slow"
    with pytest.raises(Overrun):
        faults.strike("covis", -1.0)
    assert clock.now_ms() == 50


@pytest.mark.parametrize(("share", "hits"), [(1.0, 100), (0.5, 50), (0.25, 25), (0.01, 1)])
def test_a_share_is_kept_exactly(share: float, hits: int) -> None:
    faults = Faults(ManualClock(0))
    faults.switch(Fault("rank", share=share))
    hit = 0
    for _ in range(100):
        try:
            faults.strike("rank", 1.0)
        except InjectedFailure:
            hit += 1
    assert hit == hits


def test_off_without_a_stage_ends_all() -> None:
    faults = Faults(ManualClock(0))
    for stage in FAULTY:
        faults.switch(Fault(stage))
    assert len(faults.active()) == len(FAULTY)
    faults.switch(Fault(off=True))
    assert list(faults.active()) == []


def test_a_stage_nobody_has_is_refused_with_the_nearest() -> None:
    faults = Faults(ManualClock(0))
    with pytest.raises(InvalidField, match="did you mean `recall`") as refused:
        faults.switch(Fault("recal"))
    assert (refused.value.code, refused.value.field) == ("out_of_range", "stage")
    with pytest.raises(InvalidField) as refused:
        faults.switch(Fault())
    assert refused.value.code == "missing_field"
    for never in ("catalogue", "given", "explored"):
        with pytest.raises(InvalidField):
            faults.switch(Fault(never))
