"""The fold against plain loops: random streams with late events, duplicates and restarts, every value compared."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from rtp_monolith.config import Bots, Config
from tests.oracles.features import Event, Oracle

from .scene import DAY, HOUR, MINUTE, NOON, Scene

ITEMS = {f"i{n}": {"category": f"c{n % 4}", "price": 5 + 7 * n} for n in range(12)}
KINDS = ["click"] * 4 + ["view", "impression", "impression", "dwell", "add_to_cart", "purchase", "like", "skip"]
UNCAPPED = Config(bots=Bots(contributions_per_item_per_hour_max=255, contributions_per_hour_max=65_535))
EVENTS = 400
USERS = ("u1", "u2", "u3")


def drawn(draw: random.Random, now: int) -> Event:
    late = draw.choice([0, 0, draw.randrange(2 * HOUR), draw.randrange(12 * DAY)])
    kind = draw.choice(KINDS)
    dwell_ms = draw.randrange(1, 90_000) if kind == "dwell" else 0
    return Event(draw.choice(USERS), f"s{draw.randrange(2)}", kind, draw.choice(list(ITEMS)), now - late, dwell_ms)


def body(event: Event, number: int) -> dict[str, object]:
    sent: dict[str, object] = {
        "event_id": f"n{number}",
        "user_id": event.user,
        "session_id": f"{event.user}-{event.session}",
        "event_type": event.kind,
        "item_id": event.item,
        "ts_ms": event.ts,
    }
    if event.dwell_ms:
        sent["props"] = {"dwell_ms": event.dwell_ms}
    return sent


def compare(scene: Scene, oracle: Oracle, draw: random.Random) -> int:
    """All features the oracle knows, for a drawn user, session and item; returns how many."""
    user, session, item = draw.choice(USERS), f"s{draw.randrange(2)}", draw.choice(list(ITEMS))
    now = scene.clock.now_ms()
    expected = {**oracle.of_user(user, now), **oracle.of_item(item, now), **oracle.of_both(user, session, item, now)}
    shard = scene.shard
    shard.load_request(user, f"{user}-{session}")
    ask = shard.core.ask(scene.surface, user, f"{user}-{session}", now)
    row = dict(zip(shard.plan.names, shard.core.vectors_of(ask, [item], shard.plan)[0].tolist(), strict=True))
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-3)
    return len(expected)


@pytest.mark.parametrize("seed", range(8))
def test_the_fold_counts_like_plain_loops(seed: int, tmp_path: Path) -> None:
    draw = random.Random(seed)
    scene = Scene(tmp_path, UNCAPPED)
    scene.put(
        *[{"id": item, "price": facts["price"], "categories": [facts["category"]]} for item, facts in ITEMS.items()]
    )
    oracle = Oracle(ITEMS)
    sent: list[dict[str, object]] = []
    compared = 0
    for number in range(EVENTS):
        scene.clock.advance(draw.choice([0, 1_000, MINUTE, 20 * MINUTE, 3 * HOUR]))
        event = drawn(draw, scene.clock.now_ms())
        sent.append(body(event, number))
        again = draw.sample(sent[-50:], k=min(len(sent), draw.choice([0, 0, 2])))
        scene.send([sent[-1], *again])
        oracle.add(event)
        if number % 150 == 149:
            scene.reopen()
        if number % 10 == 9:
            compared += compare(scene, oracle, draw)
    scene.shard.close()
    assert scene.clock.now_ms() > NOON + 8 * DAY, "long enough for every window to move on"
    assert compared == EVENTS // 10 * 32
