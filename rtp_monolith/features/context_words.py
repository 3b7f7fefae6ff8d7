"""What of a request's context a user's vector reads: device, country, channel and part of the day, as numbers.

The fields and the parts of the day are those that the fold counts what is popular by. Invariant: a value that is
missing, or that training did not name, has no number, so it adds nothing. It does not know what a number stands for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

FIELDS = ("device", "country", "channel", "hours")
HOURS = ("0-3", "4-7", "8-11", "12-15", "16-19", "20-23")
"""Parts of the day, UTC."""
VALUES_MAX = 64
"""Values that are told apart in a field, the most frequent."""
NONE = -1
"""The number of a value that has none."""
_PART_MS = 4 * 3_600_000

Said = tuple[str | None, str | None, str | None]
"""Device, country and channel."""
NOTHING_SAID: Said = (None, None, None)


class ContextWords(msgspec.Struct, frozen=True):
    """The values of each field that have numbers, which count through the fields in their order. Raises ValueError for
    more than VALUES_MAX, for one named twice or empty, for a part of the day that is none."""

    device: tuple[str, ...] = ()
    country: tuple[str, ...] = ()
    channel: tuple[str, ...] = ()
    hours: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, values in zip(FIELDS, self.by_field, strict=True):
            if len(values) > VALUES_MAX or len(set(values)) < len(values) or "" in values:
                raise ValueError(f"{field} is not at most {VALUES_MAX} different values")
        if not set(self.hours) <= set(HOURS):
            raise ValueError(f"hours are of {', '.join(HOURS)}")

    @property
    def by_field(self) -> tuple[tuple[str, ...], ...]:
        return (self.device, self.country, self.channel, self.hours)

    def __len__(self) -> int:
        return sum(map(len, self.by_field))


class ContextNumbers:
    """Finds the numbers of what a request says."""

    def __init__(self, words: ContextWords) -> None:
        numbers = iter(range(len(words)))
        self._device, self._country, self._channel, hours = (
            {value: next(numbers) for value in values} for values in words.by_field
        )
        self._hours = [hours.get(part, NONE) for part in HOURS]

    def of(self, said: Sequence[str | None], as_of_ms: int) -> tuple[int, int, int, int]:
        """By field; NONE for what has no number."""
        device, country, channel = said
        return (
            self._device.get(device, NONE) if device else NONE,
            self._country.get(country, NONE) if country else NONE,
            self._channel.get(channel, NONE) if channel else NONE,
            self._hours[as_of_ms // _PART_MS % len(HOURS)],
        )


def frequent(said: Iterable[tuple[Said, int]], least: int) -> ContextWords:
    """The values of contexts and their moments (ms) that come up at least so often, the most frequent VALUES_MAX of
    each field, in the order of their letters."""
    counts: tuple[Counter[str], ...] = tuple(Counter() for _ in FIELDS)
    for (device, country, channel), ts_ms in said:
        part = HOURS[ts_ms // _PART_MS % len(HOURS)]
        for count, value in zip(counts, (device, country, channel, part), strict=True):
            if value:
                count[value] += 1
    kept = []
    for count in counts:
        order = sorted((-n, value) for value, n in count.items() if n >= least)
        kept.append(tuple(sorted(value for _, value in order[:VALUES_MAX])))
    return ContextWords(*kept)
