from __future__ import annotations

import numpy as np
import pytest

from rtp_monolith.demo.calendar import HOUR_MS, HOURS, WEEKDAYS, Calendar
from rtp_monolith.demo.shop import DAY_MS, END_MS_DEFAULT

EVEN = (np.arange(200_000) + 0.5) / 200_000


def test_hours_and_weekdays_are_as_busy_as_written() -> None:
    moments = Calendar(END_MS_DEFAULT, 28).moment(EVEN)
    hours = np.bincount(moments // HOUR_MS % 24, minlength=24) / len(EVEN)
    assert hours == pytest.approx(np.array(HOURS) / sum(HOURS), abs=0.001)
    days = np.bincount(moments // DAY_MS % 7, minlength=7) / len(EVEN)
    assert days == pytest.approx(np.array(WEEKDAYS) / sum(WEEKDAYS), abs=0.001)


def test_moments_ascend_and_stay_inside() -> None:
    calendar = Calendar(END_MS_DEFAULT + 1_234_567, 3)
    moments = calendar.moment(np.array([0.0, 0.2, 0.5, 0.9, 1.0]))
    assert moments[0] == calendar.start_ms == END_MS_DEFAULT + 1_234_567 - 3 * DAY_MS
    assert moments[-1] == END_MS_DEFAULT + 1_234_567
    assert (np.diff(moments) > 0).all()


def test_a_share_may_fall_into_the_last_hours() -> None:
    late = END_MS_DEFAULT - 3 * HOUR_MS
    plain, recent = (Calendar(END_MS_DEFAULT, 21, share).moment(EVEN) >= late for share in (0.0, 0.12))
    assert recent.mean() == pytest.approx(0.12 + 0.88 * plain.mean(), abs=0.001)
