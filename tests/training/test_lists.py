"""Lists of a log and what came of them, on logs short enough to read."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, cast

import pytest

from rtp_monolith._native import Log
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, parse
from rtp_monolith.state.recovery import open_log
from rtp_monolith.state.shard_state import ShardState
from rtp_monolith.training.heads import Head, declared_heads, usual
from rtp_monolith.training.lists import LATER_KEPT, ListReader, SeenList, Windows
from tests.training.shards import HOUR_MS, MINUTE_MS, Event, T, event, folder, seen

END = [event("view", "a", 100 * 24 * HOUR_MS, session_id="end", user_id="end")]
"""Long after everything: the windows of what came before are over."""


def lists(path: Path, events: list[Event], **settings: Any) -> list[SeenList]:
    log = open_log(folder(path, events), Config(), read_only=True)
    try:
        return list(ListReader(log, settings.pop("windows", Windows()), **settings))
    finally:
        log.close()


def labels(path: Path, events: list[Event], **settings: Any) -> dict[str, list[list[int]]]:
    return {str(one.request_id): one.labels for one in lists(path, [*events, *END], **settings)}


def test_a_list_is_what_one_request_showed(tmp_path: Path) -> None:
    events = [
        event("click", "c", 0),
        *seen("r1", "ab", MINUTE_MS, props={"surface": "home", "device": "phone"}),
        event("click", "b", 2 * MINUTE_MS, request_id="r1"),
        *seen("r2", "ca", 3 * MINUTE_MS, props={"surface": "product"}),
        *END,
    ]
    first, second = lists(tmp_path, events)
    assert (first.items, first.positions, first.labels) == (["a", "b"], [0, 1], [[0, 0, 0], [1, 0, 0]])
    assert (first.as_of_ms, first.surface, first.context) == (T + MINUTE_MS, "home", [("device", "phone")])
    assert (first.user_id, first.session_id, first.prefix) == ("u", "s", ["c"])
    assert (second.items, second.prefix, second.surface, second.context) == (["c", "a"], ["c", "b"], "product", [])


def test_what_follows_counts_for_the_list_that_showed_it(tmp_path: Path) -> None:
    events = [
        *seen("r1", "ab", 0),
        event("click", "a", 2 * MINUTE_MS, request_id="r1"),
        *seen("r2", "abc", 3 * MINUTE_MS),
        event("add_to_cart", "a", 4 * MINUTE_MS),
        event("add_to_cart", "b", 4 * MINUTE_MS),
        event("purchase", None, 5 * MINUTE_MS, props={"items": '[{"item_id":"a"},{"item_id":"c"}]', "order_id": "o"}),
    ]
    # r1 was clicked for a, so a's cart and order are its own; b and c were shown last by r2.
    assert labels(tmp_path, events) == {"r1": [[1, 1, 1], [0, 0, 0]], "r2": [[0, 0, 0], [0, 1, 0], [0, 0, 1]]}


def test_only_the_window_counts(tmp_path: Path) -> None:
    windows = Windows(click_ms=MINUTE_MS, conversion_ms=2 * MINUTE_MS, refund_ms=HOUR_MS)
    events = [
        *seen("r1", "abc", 0),
        event("click", "a", MINUTE_MS),
        event("click", "b", MINUTE_MS + 1),
        event("add_to_cart", "b", 2 * MINUTE_MS),
        event("add_to_cart", "c", 2 * MINUTE_MS + 1),
    ]
    assert labels(tmp_path, events, windows=windows) == {"r1": [[1, 0, 0], [0, 1, 0], [0, 0, 0]]}


def test_others_do_not_count(tmp_path: Path) -> None:
    other = {"session_id": "s2", "user_id": "v"}
    events = [
        *seen("r1", "a", 0),
        event("click", "a", MINUTE_MS, **other),
        event("add_to_cart", "a", MINUTE_MS, **other),
    ]
    assert labels(tmp_path, events) == {"r1": [[0, 0, 0]]}


def test_a_visitor_who_signs_in_is_the_same_person(tmp_path: Path) -> None:
    events = [
        *seen("r1", "a", 0, user_id=None),
        event("click", "a", 1000, user_id=None),
        event("identify", None, MINUTE_MS),
        event("add_to_cart", "a", 2 * MINUTE_MS),
        event("purchase", "a", 3 * MINUTE_MS, session_id="s2"),
    ]
    assert labels(tmp_path, events) == {"r1": [[1, 1, 1]]}


@pytest.mark.parametrize(
    ("refund", "bought"),
    [
        (event("refund", "a", 24 * HOUR_MS, props={"order_id": "o"}), [0, 1]),
        (event("refund", None, 24 * HOUR_MS, props={"order_id": "o"}), [0, 0]),
        (event("refund", "a", 24 * HOUR_MS, props={"order_id": "another"}), [1, 1]),
        (event("refund", "b", 24 * HOUR_MS), [1, 0]),
        (event("refund", "a", 15 * 24 * HOUR_MS, props={"order_id": "o"}), [1, 1]),
    ],
)
def test_a_refunded_purchase_is_none(tmp_path: Path, refund: Event, bought: list[int]) -> None:
    lines = {"items": '[{"item_id":"a"},{"item_id":"b"}]', "order_id": "o"}
    events = [*seen("r1", "ab", 0), event("purchase", None, MINUTE_MS, props=lines), refund]
    assert [row[2] for row in labels(tmp_path, events)["r1"]] == bought


def test_a_list_whose_window_is_open_is_left_out(tmp_path: Path) -> None:
    log = open_log(folder(tmp_path, [*seen("r1", "a", 0), *seen("r2", "a", 2 * HOUR_MS)]), Config(), read_only=True)
    reader = ListReader(log, Windows())
    assert [one.request_id for one in reader] == ["r1"]
    assert reader.unfinished == 1
    log.close()


def test_a_share_is_drawn_by_seed_and_changes_no_label(tmp_path: Path) -> None:
    events = [
        one
        for n in range(40)
        for one in (*seen(f"r{n}", "ab", n * MINUTE_MS), event("click", "a", n * MINUTE_MS + 5000, request_id=f"r{n}"))
    ]
    log = open_log(folder(tmp_path, [*events, *END]), Config(), read_only=True)
    every = {one.request_id: one.labels for one in ListReader(log, Windows())}
    drawn = [{one.request_id: one.labels for one in ListReader(log, Windows(), share=0.5, seed=s)} for s in (1, 1, 2)]
    log.close()
    assert len(every) == 40 and 8 <= len(drawn[0]) <= 32
    assert drawn[0] == drawn[1] != drawn[2]
    assert all(every[request] == found for request, found in drawn[0].items())


def test_what_happens_later_changes_labels_only(tmp_path: Path) -> None:
    before = [event("click", "c", 0), *seen("r1", "ab", MINUTE_MS)]
    later = [event("click", "a", 2 * MINUTE_MS), event("purchase", "b", 3 * MINUTE_MS)]
    (quiet,) = lists(tmp_path / "quiet", [*before, *END])
    (busy,) = lists(tmp_path / "busy", [*before, *later, *END])
    assert (quiet.labels, busy.labels) == ([[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [0, 0, 1]])
    assert quiet.offset == busy.offset and quiet.prefix == busy.prefix and quiet.items == busy.items


class Apart:
    """A log whose impressions come one by one."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def start(self) -> int:
        return self._log.start()

    def end(self) -> int:
        return self._log.end()

    def events(self, offset: int, max_bytes: int, types: Any, *, together: bool = False) -> Any:
        return self._log.events(offset, max_bytes, types)


@pytest.mark.parametrize("seed", range(3))
def test_impressions_that_lie_together_are_read_as_one_by_one(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    events: list[Event] = []
    now = 0
    while len(events) < 600:
        now += draw.randrange(20 * MINUTE_MS)
        who = draw.randrange(4)
        person = {"session_id": f"s{who}", "user_id": draw.choice([None, f"u{who % 2}"])}
        kind = draw.choice(["list", "list", "click", "add_to_cart", "dwell", "view"])
        if kind == "list":
            items = draw.sample("abc", draw.randrange(1, 4))
            shown = seen(f"r{draw.randrange(len(events) // 8 + 1)}", "".join(items), now, **person)
            if draw.random() < 0.3:
                shown.insert(1, event("click", "a", now + 1, session_id="other", user_id=None))
            if draw.random() < 0.2:
                shown[-1] = {name: value for name, value in shown[-1].items() if name not in ("request_id", "position")}
            events += shown
        else:
            events.append(event(kind, draw.choice("abc"), now, props={"dwell_ms": "700"}, **person))
    data = tmp_path / "data"
    shard = ShardState.open(data, Config(), ManualClock(T + now + HOUR_MS))
    body = [{"event_id": f"e{n}", **one} for n, one in enumerate(events)]
    for part in (body[:400], body[400:]):
        assert shard.ingest_sync("events", json.dumps(part).encode(), "json", trusted=True).accepted == len(part)
    shard.close()
    log = open_log(data, Config(), read_only=True)
    try:
        together = list(ListReader(log, Windows(), dwell=True))
        apart = list(ListReader(cast("Log", Apart(log)), Windows(), dwell=True))
        grouped = log.events(0, 1 << 24, ("impression",), together=True)[0]
    finally:
        log.close()
    assert together == apart and len(together) > 30
    assert any(one[1] == "impressions" for one in grouped) and any(any(row) for one in together for row in one.labels)


def test_what_a_session_did_later_is_told_of_every_list_before_it(tmp_path: Path) -> None:
    events = [
        event("click", "c", 0),
        *seen("r1", "ab", MINUTE_MS),
        event("click", "a", 2 * MINUTE_MS, request_id="r1"),
        *seen("r2", "b", 3 * MINUTE_MS),
        event("click", "c", 4 * MINUTE_MS),
        event("click", "a", 4 * MINUTE_MS, session_id="s2"),
        event("add_to_cart", "c", 32 * MINUTE_MS),
        event("click", "b", 32 * MINUTE_MS),
        event("purchase", "a", 62 * MINUTE_MS),
        *END,
    ]
    first, second = lists(tmp_path, events)
    # c was in neither list. A click counts for half an hour, an order for one, as for the labels.
    assert first.later == [("a", 0), ("c", 0), ("c", 1)]
    assert second.later == [("c", 0), ("c", 1), ("b", 0), ("a", 2)]


def test_what_is_told_of_later_is_bounded(tmp_path: Path) -> None:
    events = [
        *seen("r1", "a", 0),
        *[event("click", "abc"[n % 3], 1000 * (n + 2)) for n in range(40)],
        *seen("r2", "a", MINUTE_MS),
        *END,
    ]
    first, second = lists(tmp_path, events)
    assert first.later == [("abc"[n % 3], 0) for n in range(LATER_KEPT)] and second.later == []


STREAMING = """
[heads.play]
events = ["view", "click"]
[heads.finish]
dwell = "20s"
within = "2h"
worth = 3.0
[heads.like]
events = ["like"]
within = "1d"
"""


def test_heads_are_those_that_are_declared(tmp_path: Path) -> None:
    heads = declared_heads(parse(STREAMING))
    assert heads == (
        Head("play", ("view", "click"), 30 * MINUTE_MS),
        Head("finish", (), 2 * HOUR_MS, 20_000, 3.0),
        Head("like", ("like",), 24 * HOUR_MS),
    )
    assert declared_heads(Config()) == () and [head.name for head in usual()] == ["click", "cart", "purchase"]
    events = [
        *seen("r1", "abcd", 0),
        event("view", "a", MINUTE_MS),
        event("dwell", "a", 2 * MINUTE_MS, props={"dwell_ms": "15000"}),
        event("dwell", "b", 2 * MINUTE_MS, props={"dwell_ms": "19999"}),
        event("add_to_cart", "b", 3 * MINUTE_MS),
        event("dwell", "a", HOUR_MS, props={"dwell_ms": "5000"}),
        event("dwell", "c", 3 * HOUR_MS, props={"dwell_ms": "60000"}),
        event("like", "d", 23 * HOUR_MS),
        event("like", "c", 25 * HOUR_MS),
    ]
    windows = Windows(declared=heads)
    assert labels(tmp_path, events, windows=windows) == {"r1": [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]}
    assert windows.longest_ms == 24 * HOUR_MS


def test_the_first_head_claims_what_follows(tmp_path: Path) -> None:
    events = [
        *seen("r1", "a", 0),
        event("view", "a", MINUTE_MS),
        *seen("r2", "a", 2 * MINUTE_MS),
        event("like", "a", 3 * MINUTE_MS),
    ]
    windows = Windows(declared=declared_heads(parse(STREAMING)))
    assert labels(tmp_path, events, windows=windows) == {"r1": [[1, 0, 1]], "r2": [[0, 0, 0]]}
