"""What a feature is: one declaration, from which the native plan, its fingerprint and its documentation follow.

Invariant: two specs with the same fingerprint mean the same number for the same log. It does not know how a value is
computed; that is the operation's business in `native/src/fold/vector.rs`.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

Scope = Literal["user", "session", "item", "category", "seller", "context", "item_pair", "arm", "cross"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
WINDOWS_MS: dict[str, int] = {"5m": 5 * MINUTE_MS, "1h": HOUR_MS, "1d": DAY_MS, "7d": 7 * DAY_MS, "lifetime": 0}


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One feature. Arguments that its operation does not take stay unset.

    `prior_rate` and `prior_strength` are those of a beta prior: (hits + rate * strength) / (trials + strength).
    `ttl_ms` says for how long a value may be served after the last event that could have changed it; 0 means for ever.
    """

    name: str
    version: int = 1
    op: str
    meaning: str
    owner: str = "rtp"
    default: float = 0.0
    ttl_ms: int = 0
    event: str | None = None
    hits: str | None = None
    trials: str | None = None
    window: str | None = None
    half_life_ms: int | None = None
    prior_rate: float | None = None
    prior_strength: float | None = None
    moment: str | None = None
    statistic: str | None = None
    key: str | None = None
    value: str | None = None
    read: str | None = None
    trials_key: str | None = None
    refunds_key: str | None = None
    words: list[str] | None = None
    dimension: str | None = None
    utc_offset_min: int | None = None

    @property
    def scope(self) -> Scope:
        """Whom the feature describes: the first word of the operation."""
        if self.op in ("context_item_count", "affinity", "affinity_user", "found_score", "found_by", "near"):
            return "cross"
        if self.op == "surface_is":
            return "context"
        if self.op == "item_pair_aggregate":
            return "item_pair"
        word = self.op.split("_", 1)[0]
        return word  # type: ignore[return-value]

    def plan_entry(self) -> dict[str, object]:
        """The feature as the native plan reads it: its arguments, and its version for the digest of the plan."""
        entry: dict[str, object] = {"name": self.name, "op": self.op, "default": self.default, "version": self.version}
        for argument in (
            "event",
            "hits",
            "trials",
            "half_life_ms",
            "prior_rate",
            "prior_strength",
            "moment",
            "statistic",
            "key",
            "value",
            "read",
            "trials_key",
            "refunds_key",
            "words",
            "dimension",
            "utc_offset_min",
        ):
            given = getattr(self, argument)
            if given is not None:
                entry[argument] = given
        if self.window is not None:
            entry["window_ms"] = WINDOWS_MS[self.window]
        # The operations of the catalogue know no TTL; for aggregates the native plan keeps it.
        if self.read is not None and self.ttl_ms > 0:
            entry["ttl_ms"] = self.ttl_ms
        return entry

    def meaning_digest(self) -> str:
        """16 hex digits over what decides the value but the version: two versions may mean the same."""
        meaning = {**self.plan_entry(), "version": 0, "ttl_ms": self.ttl_ms}
        return hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()[:16]

    def fingerprint(self) -> str:
        """16 hex digits over everything that decides the value; words about it do not count."""
        meaning = {**self.plan_entry(), "ttl_ms": self.ttl_ms}
        return hashlib.sha256(msgspec.json.encode(meaning, order="sorted")).hexdigest()[:16]
