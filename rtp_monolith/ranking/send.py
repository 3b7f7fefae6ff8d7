"""Whether a list is worth a notification: its first item against a threshold, the user's night, what was sent before.

The score is the surface's value of the first item, before the sources have a say in the order. Where the ranker had
none (no bundle, no time, an item that a rule brought in) it is that item's click rate of seven days with a prior:
everybody's, not this user's.

Invariant: what is sent is handed to the log with the reply, under its user, and counts from then on; a list is the same
whether it is sent or not. It does not know what becomes of a notification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from rtp_monolith._native import Ask, Plan
from rtp_monolith.config_surfaces import Send as Declared
from rtp_monolith.errors import ConfigError, RtpError
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.spec import DAY_MS, Feature
from rtp_monolith.ranking.reply import Send
from rtp_monolith.records import Context
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.state.surface_rules import cooldown_ms

CLICK_RATE = Feature(
    name="send_click_rate",
    op="item_rate",
    hits="click",
    trials="impression",
    window="7d",
    prior_rate=0.05,
    prior_strength=50.0,
    meaning="clicks per viewed impression, 7 days",
)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo | None:
    """The time zone of an IANA name; None for a name that is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


class Quiet:
    """Hours of the day that may lie over midnight."""

    def __init__(self, text: str) -> None:
        """`text` is `22:00-08:00`, checked by the configuration."""
        self._begin, self._end = (time.fromisoformat(part) for part in text.split("-"))

    def ends_ms(self, at_ms: int, zone: tzinfo) -> int | None:
        """The end of the quiet hours that a moment lies in; None outside."""
        local = datetime.fromtimestamp(at_ms / 1000, zone)
        clock = local.time()
        over_midnight = self._end <= self._begin
        late = clock >= self._begin
        inside = late or clock < self._end if over_midnight else late and clock < self._end
        if not inside:
            return None
        day = local.date() + timedelta(days=1 if over_midnight and late else 0)
        return int(datetime.combine(day, self._end, zone).timestamp() * 1000)


class Sending:
    """The declared conditions of one surface."""

    def __init__(self, declared: Declared, where: str) -> None:
        """Raises ConfigError naming `where` for a time zone that does not exist, or a gap that is no time."""
        self._threshold = declared.threshold
        self._most = declared.most_per_day
        self._gap_ms = 0 if declared.gap is None else cooldown_ms(declared.gap, f"{where}.gap") or 0
        self._quiet = None if declared.quiet is None else Quiet(declared.quiet)
        self._zone = _known_zone(declared.timezone, f"{where}.timezone")
        self._zones = {
            country.casefold(): _known_zone(name, f"{where}.timezones.{country}")
            for country, name in declared.timezones.items()
        }
        self._click_rate: Plan = compile_plan([CLICK_RATE])

    def __call__(
        self,
        state: ShardState,
        ask: Ask,
        request_id: str,
        context: Context | None,
        listed: Sequence[str],
        worth: Mapping[str, float],
    ) -> Send:
        """The answer for a list that is made, by its ids and what the ranker made of them; where it is yes, the log is
        told."""
        if not listed:
            return Send(False, 0.0, "no_items")
        score = worth.get(listed[0])
        if score is None:
            score = float(state.core.vectors_of(ask, listed[:1], self._click_rate)[0, 0])
        sent, country, timezone = state.core.addressee(ask)
        zone = self._zone_of(timezone, (context.country if context else None) or country)
        answer = self._answer(score, state.now_ms(), sent, zone)
        if answer.send:
            try:
                state.core.note_sent(state.log, ask, request_id, score)
            except RtpError:
                return Send(False, score, "not_logged")
        return answer

    def _zone_of(self, timezone: str | None, country: str | None) -> tzinfo:
        own = None if timezone is None else zone_of(timezone)
        return own or self._zones.get((country or "").casefold(), self._zone)

    def _answer(self, score: float, now_ms: int, sent: Sequence[int], zone: tzinfo) -> Send:
        if score < self._threshold:
            return Send(False, score, "below_threshold")
        lately = [ms for ms in sent if now_ms - ms < DAY_MS]
        next_ms, reason = now_ms, "ok"
        # A gap may be longer than the day that `most_per_day` looks back.
        if sent and sent[-1] + self._gap_ms > next_ms:
            next_ms, reason = sent[-1] + self._gap_ms, "too_soon"
        if len(lately) >= self._most:
            next_ms, reason = max(next_ms, lately[-self._most] + DAY_MS), "too_many"
        if self._quiet is not None:
            if self._quiet.ends_ms(now_ms, zone) is not None:
                reason = "quiet_time"
            next_ms = self._quiet.ends_ms(next_ms, zone) or next_ms
        if reason == "ok":
            return Send(True, score, reason)
        return Send(False, score, reason, next_ms)


def _known_zone(name: str, where: str) -> tzinfo:
    zone = zone_of(name)
    if zone is None:
        raise ConfigError(f"{where}: {name!r} is no time zone known here; IANA names are, such as Europe/Berlin")
    return zone
