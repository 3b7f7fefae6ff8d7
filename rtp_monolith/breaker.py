"""When to stop asking something that keeps failing, and when to try it again.

Invariant: one good end closes it. It does not know what is asked, nor the time: that is an argument.
"""

from __future__ import annotations


class Breaker:
    """Closed while all is well; open, for `cooldown_s`, after `failures_max` bad ends in a row; then one try."""

    __slots__ = ("_bad", "_cooldown_s", "_failures_max", "_until_s")

    def __init__(self, failures_max: int, cooldown_s: float) -> None:
        self._failures_max = failures_max
        self._cooldown_s = cooldown_s
        self._bad = 0
        self._until_s = 0.0

    @property
    def counting(self) -> bool:
        """The last end was a bad one."""
        return self._bad > 0

    @property
    def tripped(self) -> bool:
        """It opened, and nothing ended well since."""
        return self._bad >= self._failures_max

    def allows(self, now_s: float) -> bool:
        return self._bad < self._failures_max or now_s >= self._until_s

    def good(self) -> None:
        self._bad = 0

    def bad(self, now_s: float) -> None:
        self._bad += 1
        if self._bad >= self._failures_max:
            self._until_s = now_s + self._cooldown_s
