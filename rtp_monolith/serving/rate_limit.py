"""Token buckets: how often one client may call.

Invariant: over any stretch of t seconds a client is let through at most `burst + rate * t` times, and the table never
holds more than `clients_max` clients. It does not know who a client is: a name is handed in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable

from rtp_monolith.errors import RateLimited


class RateLimit:
    """One bucket a client, filled at `requests_per_s`; the client that called longest ago is forgotten first."""

    def __init__(
        self,
        requests_per_s: float,
        monotonic_s: Callable[[], float],
        *,
        burst: int | None = None,
        clients_max: int = 100_000,
    ) -> None:
        self._rate = requests_per_s
        self._now = monotonic_s
        self._burst = float(burst) if burst is not None else max(1.0, requests_per_s)
        self._clients_max = clients_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Lets one request through or raises RateLimited with the time until the next is let through."""
        now = self._now()
        tokens, then = self._buckets.pop(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        allowed = tokens >= 1.0
        self._buckets[client] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > self._clients_max:
            self._buckets.popitem(last=False)
        if not allowed:
            wait_s = max(1, math.ceil((1.0 - tokens) / self._rate))
            raise RateLimited(f"more than {self._rate:g} requests a second", retry_after_s=wait_s)
