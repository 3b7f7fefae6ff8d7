"""Rewards: every shown item with what followed it, made again whenever something of its hour changes.

An event belongs to the list that it names by `request_id`, if that showed the item; else to the last list that showed
the item to the same session or user before it, one in which it was clicked first. Only lists made within the window
before the event count. Dwell, cart and purchase have the window of conversions, views and clicks that of clicks. A
purchase is less what was refunded of it within its own window.

Invariant: the rewards of an hour are a function of the events and impressions in the lake around it, so they can be
made again at any time; they are replaced whole. It does not know what a reward is worth to a model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from rtp_monolith.lake import duck
from rtp_monolith.lake.journal import Journal, Lake, Refund, Windows
from rtp_monolith.lake.tables import HOURS_PER_DAY, REWARDS, US_PER_HOUR, by_hour, spread

MS_PER_HOUR = 3_600_000

# Names in braces are times in µs. `events` and `impressions` hold the hours around, and no others.
_PEOPLE = """
CREATE TEMP TABLE shown AS
SELECT row_number() OVER (ORDER BY log_offset, position) AS n, * EXCLUDE (date, hour), epoch_us(ts) AS moment
FROM impressions;

CREATE TEMP TABLE told AS
SELECT log_offset AS event, event_type AS kind, session_id, user_id, request_id, epoch_us(ts) AS moment,
    item_id, dwell_ms, CAST(NULL AS BIGINT) AS quantity, CAST(NULL AS DOUBLE) AS price,
    CAST(NULL AS VARCHAR) AS order_id, 0 AS line,
    CASE WHEN event_type IN ('impression', 'click') THEN {click} ELSE {conversion} END AS longest
FROM events WHERE event_type IN ('impression', 'click', 'dwell', 'add_to_cart') AND item_id IS NOT NULL
UNION ALL
SELECT log_offset, 'purchase', session_id, user_id, request_id, epoch_us(ts), lines[k].item_id, NULL,
    lines[k].quantity, coalesce(lines[k].price, CASE WHEN len(lines) = 1 THEN value / lines[k].quantity END, 0),
    props['order_id'], k, {conversion}
FROM (SELECT *, unnest(generate_series(1, len(lines))) AS k FROM events WHERE event_type = 'purchase');

CREATE TEMP TABLE pairs AS
SELECT told.event, told.line, told.kind, told.moment AS told_at, shown.n, shown.moment,
    coalesce(told.request_id = shown.request_id AND told.session_id = shown.session_id, false) AS named
FROM told JOIN shown ON told.item_id = shown.item_id AND told.session_id = shown.session_id
WHERE told.moment - shown.moment BETWEEN 0 AND told.longest
UNION ALL
SELECT told.event, told.line, told.kind, told.moment, shown.n, shown.moment, false
FROM told JOIN shown ON told.item_id = shown.item_id AND told.user_id = shown.user_id
    AND told.session_id <> shown.session_id
WHERE told.moment - shown.moment BETWEEN 0 AND told.longest;

CREATE TEMP TABLE first_owned AS
SELECT event, line, kind, told_at, n FROM pairs WHERE kind IN ('impression', 'click')
QUALIFY row_number() OVER (PARTITION BY event, line ORDER BY named DESC, moment DESC, n DESC) = 1;

CREATE TEMP TABLE clicked AS SELECT n, min(told_at) AS clicked_at FROM first_owned WHERE kind = 'click' GROUP BY n;

CREATE TEMP TABLE owned AS
SELECT event, line, kind, told_at, n FROM first_owned
UNION ALL
SELECT event, line, kind, told_at, n FROM (SELECT pairs.*, clicked_at FROM pairs LEFT JOIN clicked USING (n))
WHERE kind NOT IN ('impression', 'click')
QUALIFY row_number() OVER (
    PARTITION BY event, line ORDER BY named DESC, coalesce(clicked_at <= told_at, false) DESC, moment DESC, n DESC
) = 1;

CREATE TEMP TABLE taken_back AS
SELECT refunds.order_id, refunds.session_id, refunds.moment, r.item_id, r.quantity, refunds.whole
FROM (
    SELECT props['order_id'] AS order_id, session_id, epoch_us(ts) AS moment, len(lines) = 0 AS whole,
        CASE WHEN len(lines) = 0 THEN [{{'item_id': NULL, 'quantity': NULL, 'price': NULL}}] ELSE lines END AS lines
    FROM refunds
) AS refunds, unnest(refunds.lines) AS u(r);

CREATE TEMP TABLE kept AS
SELECT told.event, told.line, told.price, told.quantity,
    least(told.quantity,
        coalesce(sum(coalesce(back.quantity, told.quantity)) FILTER (back.moment IS NOT NULL), 0)) AS returned
FROM told LEFT JOIN taken_back AS back
    ON back.moment - told.moment BETWEEN 0 AND {refund}
    AND (back.whole OR back.item_id = told.item_id)
    AND CASE WHEN back.order_id IS NULL THEN back.session_id = told.session_id ELSE back.order_id = told.order_id END
WHERE told.kind = 'purchase'
GROUP BY told.event, told.line, told.price, told.quantity;
"""
_ROWS = """
SELECT s.log_offset, s.request_id, s.user_id, s.session_id, s.surface, s.ts, s.item_id, s.position, s.score,
    s.propensity, s.explored, s.model,
    coalesce(bool_or(o.kind = 'impression'), false) AS viewed,
    coalesce(bool_or(o.kind = 'click'), false) AS clicked,
    make_timestamptz(min(o.told_at) FILTER (o.kind = 'click')) AS first_click,
    coalesce(sum(t.dwell_ms) FILTER (o.kind = 'dwell'), 0) AS dwell_ms,
    coalesce(bool_or(o.kind = 'add_to_cart'), false) AS carted,
    coalesce(sum(k.quantity - k.returned), 0) > 0 AS purchased,
    CAST(coalesce(sum(k.quantity - k.returned), 0) AS BIGINT) AS quantity,
    coalesce(sum((k.quantity - k.returned) * k.price), 0) AS value,
    coalesce(bool_or(k.returned > 0), false) AS refunded
FROM shown AS s
LEFT JOIN owned AS o USING (n)
LEFT JOIN told AS t ON t.event = o.event AND t.line = o.line
LEFT JOIN kept AS k ON k.event = o.event AND k.line = o.line
WHERE s.moment >= {first} AND s.moment < {last}
GROUP BY ALL
ORDER BY s.log_offset, s.position
"""
_PURCHASES = """
SELECT DISTINCT epoch_us(p.ts) // {hour} FROM purchases AS p, due AS d
WHERE p.event_type = 'purchase' AND d.moment - epoch_us(p.ts) BETWEEN 0 AND {refund}
    AND CASE WHEN d.order_id IS NULL THEN d.session_id = p.session_id ELSE d.order_id = p.props['order_id'] END
"""


def settle(lake: Lake, now_ms: int, *, unfinished: bool = False) -> int:
    """Makes the rewards that are due; returns how many hours were written.

    An hour is made when the log's own time has passed its longest window. With `unfinished` every due hour is, and
    those that are still open stay due.
    """
    _find_refunded(lake, now_ms)
    journal = lake.journal
    windows = journal.windows
    longest = max(windows.click_ms, windows.conversion_ms)
    closed = (journal.latest_us // 1_000 - longest) // MS_PER_HOUR
    due = [hour for hour in journal.rewards_due if unfinished or hour < closed]
    made = 0
    for first, last in spread(due, HOURS_PER_DAY):
        hours = {hour for hour in due if first <= hour <= last}
        table = _made(lake.folder, lake.journal, first, last)
        name = f"{lake.journal.version + 1:012x}"
        start, end = 0, lake.journal.position
        parts = [(hour, part) for hour, part in by_hour(table) if hour in hours]
        added = [lake.write("rewards", hour, name, part, start, end) for hour, part in parts]
        removed = [file for file in lake.journal.of("rewards", first, last) if file.hour in hours]
        left = [hour for hour in lake.journal.rewards_due if hour not in hours or hour >= closed]
        lake.commit(added, removed, now_ms, rewards_due=left)
        made += len(added)
    return made


def hours_around(windows: Windows, first: int, last: int) -> tuple[int, int]:
    """The hours whose events and lists decide the rewards of hours `first` to `last`.

    Back: a list of before may claim an event of these hours, and a click on it, a window earlier still, decides that.
    """
    wide = -(-max(windows.click_ms, windows.conversion_ms) // MS_PER_HOUR)
    return first - 2 * wide, last + wide


def _made(folder: Path, journal: Journal, first: int, last: int) -> Any:
    """The rewards of the hours `first` to `last`."""
    windows = journal.windows
    begin, end = hours_around(windows, first, last)
    refunds_until = end + -(-windows.refund_ms // MS_PER_HOUR)
    scratch = folder / "scratch"
    with duck.connect(scratch) as connection:
        duck.view(connection, "events", "events", folder, journal.of("events", begin, end))
        duck.view(connection, "impressions", "impressions", folder, journal.of("impressions", begin, end))
        duck.view(connection, "later", "events", folder, journal.of("events", begin, refunds_until))
        connection.execute("CREATE VIEW refunds AS SELECT * FROM later WHERE event_type = 'refund'")
        times = {
            **{"click": windows.click_ms * 1_000, "conversion": windows.conversion_ms * 1_000},
            **{"refund": windows.refund_ms * 1_000},
            **{"first": first * US_PER_HOUR, "last": (last + 1) * US_PER_HOUR},
        }
        connection.execute(_PEOPLE.format(**times))
        return connection.sql(_ROWS.format(**times)).to_arrow_table().cast(REWARDS).combine_chunks()


def _find_refunded(lake: Lake, now_ms: int) -> None:
    """Makes due the hours of lists whose purchases were refunded since."""
    journal = lake.journal
    if not journal.refunds:
        return
    windows = journal.windows
    times = [refund.ts_us for refund in journal.refunds]
    first = (min(times) - windows.refund_ms * 1_000) // US_PER_HOUR
    files = journal.of("events", first, max(times) // US_PER_HOUR)
    with duck.connect(lake.folder / "scratch") as connection:
        duck.view(connection, "purchases", "events", lake.folder, files)
        connection.register("due", _refund_table(journal.refunds))
        sql = _PURCHASES.format(hour=US_PER_HOUR, refund=windows.refund_ms * 1_000)
        hours = [int(hour) for (hour,) in connection.execute(sql).fetchall()]
    back = -(-windows.conversion_ms // MS_PER_HOUR)
    listed = {file.hour for file in journal.of("impressions")}
    found = {hour - n for hour in hours for n in range(back + 1)} & listed
    lake.commit([], [], now_ms, refunds=[], rewards_due=sorted(found | set(journal.rewards_due)))


def _refund_table(refunds: list[Refund]) -> Any:
    return pa.table(
        {
            "order_id": pa.array([each.order_id for each in refunds], pa.string()),
            "session_id": pa.array([each.session_id for each in refunds], pa.string()),
            "moment": pa.array([each.ts_us for each in refunds], pa.int64()),
        }
    )


def recount(lake: Lake, windows: Windows, now_ms: int) -> bool:
    """Makes every hour due when the windows are not those that the rewards were made with; True then."""
    if lake.journal.windows == windows:
        return False
    hours = sorted({file.hour for file in lake.journal.of("impressions")})
    lake.commit([], [], now_ms, windows=windows, rewards_due=hours)
    return True
