"""What of a context has a number: values that training named, and nothing else."""

from __future__ import annotations

import msgspec
import pytest

from rtp_monolith.features.context_words import (
    HOURS,
    NONE,
    NOTHING_SAID,
    VALUES_MAX,
    ContextNumbers,
    ContextWords,
    Said,
    frequent,
)

HOUR_MS = 3_600_000
WORDS = ContextWords(device=("phone", "tv"), country=("DE",), channel=(), hours=("0-3", "8-11"))


def test_numbers_count_through_the_fields() -> None:
    numbers = ContextNumbers(WORDS)
    assert len(WORDS) == 5
    assert numbers.of(("phone", "DE", "web"), 0) == (0, 2, NONE, 3)
    assert numbers.of(("tv", None, None), 9 * HOUR_MS) == (1, NONE, NONE, 4)


def test_unknown_and_missing_values_have_none() -> None:
    numbers = ContextNumbers(WORDS)
    assert numbers.of(("watch", "FR", "app"), 5 * HOUR_MS) == (NONE,) * 4
    assert numbers.of(("", "", ""), 5 * HOUR_MS) == numbers.of(NOTHING_SAID, 5 * HOUR_MS) == (NONE,) * 4
    assert ContextNumbers(ContextWords()).of(("phone", "DE", "web"), 0) == (NONE,) * 4


def test_parts_of_the_day_are_four_hours_also_before_1970() -> None:
    numbers = ContextNumbers(ContextWords(hours=HOURS))
    found = [numbers.of(NOTHING_SAID, hour * HOUR_MS)[3] for hour in range(24)]
    assert found == [hour // 4 for hour in range(24)]
    assert numbers.of(NOTHING_SAID, 24 * HOUR_MS + 1)[3] == 0 and numbers.of(NOTHING_SAID, -1)[3] == 5


def test_what_comes_up_often_enough_has_a_number() -> None:
    said: list[tuple[Said, int]] = [(("phone", "DE", None), 0)] * 5 + [(("tv", "FR", None), 0)] * 4
    found = frequent(said, 5)
    assert found == ContextWords(device=("phone",), country=("DE",), hours=("0-3",))
    many: list[tuple[Said, int]] = [((None, f"c{n:02}", None), 0) for n in range(80) for _ in range(100 - n)]
    assert frequent(many, 1).country == tuple(f"c{n:02}" for n in range(VALUES_MAX)), "the most frequent"


@pytest.mark.parametrize(
    "said",
    [
        {"device": ["tv", "tv"]},
        {"country": [""]},
        {"hours": ["0-4"]},
        {"channel": [f"c{n}" for n in range(VALUES_MAX + 1)]},
    ],
)
def test_other_words_are_refused(said: dict[str, list[str]]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(said, ContextWords)
