"""Features of the scope `item_pair`: what comes after what, by literal values and plain loops, within its bound."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtp_monolith.config import Bots, Config, Events, FeatureTable, State
from rtp_monolith.state.rebuild import verify
from tests.oracles.features import Event, Oracle

from .scene import HOUR, ITEMS, MINUTE, NOON, Scene, Step, click, event

PARTNERS_MAX = 64
CLICKS = "event_type == 'click'"
TABLES: dict[str, dict[str, Any]] = {
    "clicks_1d": {"aggregate": "count", "where": CLICKS, "window": "1d"},
    "clicks": {"aggregate": "count", "where": CLICKS, "window": "lifetime"},
    "fresh": {"aggregate": "decayed", "where": CLICKS, "half_life": "24h"},
    "click_rate": {
        "aggregate": "rate",
        "hits": CLICKS,
        "trials": "event_type == 'impression'",
        "window": "7d",
        "prior_rate": 0.05,
        "prior_strength": 20.0,
    },
    "dwell_s": {"aggregate": "sum", "of": "props.dwell_s", "window": "lifetime"},
}
UNCAPPED = Bots(contributions_per_item_per_hour_max=255, contributions_per_hour_max=65_535)


def config(tables: dict[str, dict[str, Any]] = TABLES, **other: Any) -> Config:
    own = {name: msgspec.convert({"meaning": "m", **keys}, FeatureTable) for name, keys in tables.items()}
    return Config(events=Events(props={"dwell_s": "number"}), features={"item_pair": own}, **other)


A_THEN_B = [click("a", 3 * MINUTE), click("b", 2 * MINUTE)]
CASES: dict[str, tuple[Sequence[Step], str, dict[str, str], float]] = {
    "one after the other": ([*A_THEN_B, click("a")], "b", {}, 1),
    "and not the other way round": ([*A_THEN_B, click("c")], "a", {}, 0),
    "the other way round": ([*A_THEN_B, click("a", MINUTE), click("b")], "a", {}, 1),
    "of another session": ([click("a", MINUTE), event("click", "b", session="s2")], "b", {}, 0),
    "of another visitor": ([click("a", MINUTE), event("click", "b", user="u2", session="s2")], "b", {}, 0),
    "seen is not taken up": ([event("impression", "a", ago=MINUTE), click("b")], "b", {"item_id": "a"}, 0),
    "the page is what comes before": ([*A_THEN_B, click("c")], "b", {"item_id": "a"}, 1),
    "but not of itself": ([*A_THEN_B, click("a")], "b", {"item_id": "b"}, 1),
    "an unknown page is none": ([*A_THEN_B, click("a")], "b", {"item_id": "nobody"}, 1),
    "of the last item, what came after the one before": (A_THEN_B, "b", {}, 1),
    "again after the same": ([*A_THEN_B, click("b", MINUTE), click("a")], "b", {}, 2),
    "of an order each line comes after what was there": (
        [click("a", 3 * MINUTE), event("purchase", items='[{"item_id":"b"},{"item_id":"c"}]')],
        "c",
        {"item_id": "b"},
        0,
    ),
    "a late event comes after what was before it": ([click("a", HOUR), click("b"), click("c", 9 * MINUTE)], "c",
                                                    {"item_id": "a"}, 1),
    "and before what came later": ([click("a", HOUR), click("b"), click("c", 9 * MINUTE)], "c", {"item_id": "b"}, 0),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_item_counts_after_what_was_taken_up_last(case: str, tmp_path: Path) -> None:
    steps, item, context, expected = CASES[case]
    scene = Scene(tmp_path, config())
    for step in steps:
        step(scene)
    for _ in range(2):
        assert scene.value("item_pair_clicks", item, context) == expected
        scene.reopen()
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


def test_without_anything_taken_up_there_is_the_default(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config({"f": {**TABLES["clicks"], "default": 7.0}, "r": TABLES["click_rate"]}))
    assert scene.value("item_pair_f", "b") == 7
    click("a")(scene)
    assert (scene.value("item_pair_f", "b"), scene.value("item_pair_r", "b")) == (0, pytest.approx(0.05))
    assert scene.value("item_pair_f", "a") == 7, "nothing comes after itself"
    scene.shard.close()


def test_a_visitor_moves_a_pair_as_often_as_the_caps_let_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config(bots=Bots(contributions_per_item_per_hour_max=3)))
    click("a", MINUTE)(scene)
    for _ in range(9):
        click("b")(scene)
    assert scene.value("item_pair_clicks", "b", {"item_id": "a"}) == 3
    scene.shard.close()


def test_an_item_has_so_many_partners_and_keeps_the_usual_ones(tmp_path: Path) -> None:
    scene = Scene(tmp_path, config())
    scene.put(*[{"id": f"p{n}"} for n in range(PARTNERS_MAX + 9)])

    def go(shopper: int, partner: int) -> None:
        user = f"s{shopper}-{partner}"
        event("click", "a", user=user, session=user, ago=MINUTE)(scene)
        event("click", f"p{partner}", user=user, session=user)(scene)

    for partner in range(20):
        go(1, partner)
        go(2, partner)
    for partner in range(20, PARTNERS_MAX + 9):
        go(1, partner)
    counts = [scene.value("item_pair_clicks", f"p{n}", {"item_id": "a"}) for n in range(PARTNERS_MAX + 9)]
    assert counts[:20] == [2.0] * 20
    assert sum(count > 0 for count in counts) == PARTNERS_MAX and counts[-1] == 1.0
    scene.reopen()
    assert [scene.value("item_pair_clicks", f"p{n}", {"item_id": "a"}) for n in range(PARTNERS_MAX + 9)] == counts
    scene.shard.close()
    assert verify(tmp_path, scene.config).equal


KINDS = ["click"] * 4 + ["view", "impression", "impression", "dwell", "add_to_cart", "like", "skip"]


@pytest.mark.parametrize("seed", range(3))
def test_random_streams_count_like_plain_loops(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    scene = Scene(tmp_path, config(bots=UNCAPPED, state=State(users_cached_max=2)))
    oracle = Oracle({item: {"category": None, "price": 1} for item in ITEMS})
    sent: list[dict[str, object]] = []
    compared = 0
    for number in range(300):
        scene.clock.advance(draw.choice([0, 1_000, MINUTE, 20 * MINUTE, 5 * HOUR]))
        now = scene.clock.now_ms()
        kind = draw.choice(KINDS)
        late = draw.choice([0, 0, draw.randrange(2 * HOUR), draw.randrange(9 * 24 * HOUR)])
        dwell_ms = draw.randrange(1, 90) * 1000 if kind == "dwell" else 0
        one = Event(draw.choice(["u1", "u2", "u3"]), draw.choice(["0", "1"]), kind, draw.choice("abcd"), now - late,
                    dwell_ms)  # fmt: skip
        body: dict[str, object] = {"event_id": f"n{number}", "user_id": one.user, "event_type": kind,
                                   "session_id": f"{one.user}-{one.session}", "item_id": one.item,
                                   "ts_ms": one.ts}  # fmt: skip
        if dwell_ms:
            body["props"] = {"dwell_s": dwell_ms // 1000}
        sent.append(body)
        scene.send([dict(body), *map(dict, draw.sample(sent[-30:], k=min(len(sent), draw.choice([0, 2]))))])
        oracle.add(one)
        if number % 90 == 89:
            scene.reopen()
        if number % 5 == 4:
            user, session, item = draw.choice(["u1", "u2", "u3"]), draw.choice(["0", "1"]), draw.choice("abcd")
            page = draw.choice([None, None, *"abcd"])
            ask = scene.ask(user, f"{user}-{session}", {} if page is None else {"item_id": page})
            row = scene.shard.core.vectors_of(ask, [item], scene.shard.plan)[0].tolist()
            got = dict(zip(scene.shard.plan.names, row, strict=True))
            want = oracle.of_pair(user, session, item, now, page)
            assert {name: got[name] for name in want} == pytest.approx(want, rel=1e-5, abs=1e-3), number
            compared += len(want)
    scene.shard.close()
    assert compared > 200
    assert verify(tmp_path, scene.config).equal
    assert scene.clock.now_ms() > NOON + 8 * 24 * HOUR, "long enough for every window to move on"
