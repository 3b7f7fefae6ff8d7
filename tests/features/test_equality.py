"""Online equals replay: what a decision says its items looked like comes out of the log again, to the bit.

The traffic has duplicates, late events, links, items that change, refunds, bots and a restart in the middle. The same
code runs in both, so the tolerance is zero; what differs are batches, flushes, restarts and what was cold.
"""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rtp_monolith._native import Core, SurfacePlan, decision_json
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Audit, Bots, Config, FeatureTable, State
from rtp_monolith.config_surfaces import Surface, default_surfaces
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.context import context_pairs
from rtp_monolith.features.declared import declared
from rtp_monolith.metrics import Metrics
from rtp_monolith.monitoring.skew import DECISION_KIND, replay_and_compare
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import Context, read_rank, read_recommend
from rtp_monolith.state.recovery import make_core, open_log
from rtp_monolith.state.shard_state import ShardState

from .scene import DAY, HOUR, MINUTE, NOON

CLICKS = "event_type in ['click', 'view']"
OWN: dict[str, dict[str, dict[str, Any]]] = {
    "arm": {
        "surface_clicks": {"aggregate": "count", "where": CLICKS, "window": "1d", "dimension": "surface"},
        "bundle_items": {"aggregate": "distinct", "of": "item_id", "window": "7d", "dimension": "bundle"},
    },
    "item_pair": {
        "clicks_1d": {"aggregate": "count", "where": CLICKS, "window": "1d"},
        "fresh": {"aggregate": "decayed", "where": CLICKS, "half_life": "6h"},
        "worth": {"aggregate": "sum", "of": "line.value", "where": "event_type != 'impression'", "window": "7d"},
    },
}
"""What a team may declare; the scopes whose values no user owns."""
ITEMS = 40
ROUNDS = 60


def make_config(partitions: int = 256) -> Config:
    """Everything audited; caps low enough to bite; one surface counts what it served; users leave memory early."""
    home = default_surfaces()["home"]
    served = Surface(sources=home.sources, impressions="served", diversity=0.1)
    return Config(
        partitions=partitions,
        audit=Audit(share=1.0),
        bots=Bots(contributions_per_item_per_hour_max=3, contributions_per_hour_max=40),
        state=State(users_cached_max=5),
        surfaces={"home": home, "served": served},
        features={
            scope: {name: msgspec.convert({"meaning": "m", **keys}, FeatureTable) for name, keys in tables.items()}
            for scope, tables in OWN.items()
        },
    )


class Traffic:
    """Seeded shoppers. `event` draws one event; some are sent again, some are late, some tell who the visitor is."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.now = NOON
        self._count = 0
        self._sent: list[dict[str, Any]] = []
        self._lists: list[tuple[str, str]] = []

    def item(self, n: int) -> dict[str, Any]:
        item: dict[str, Any] = {
            "id": f"i{n}",
            "categories": [f"c{n % 3} > s{n % 7}"],
            "brand": f"b{n % 4}",
            "seller": f"shop{n % 5}",
            "price": self.draw.randrange(1, 9000) / 100,
            "available": self.draw.random() > 0.1,
        }
        return item if self.draw.random() > 0.1 else {"id": item["id"]}

    def event(self) -> dict[str, Any]:
        draw = self.draw
        if self._sent and draw.random() < 0.1:
            return draw.choice(self._sent)
        self._count += 1
        visitor = draw.randrange(12)
        request_id, session = None, f"s{visitor}-{draw.randrange(3)}"
        if self._lists and draw.random() < 0.4:
            request_id, session = draw.choice(self._lists[-6:])
            visitor = int(session[1:].split("-")[0])
        kind = draw.choice(
            [
                *("click", "click", "view", "impression", "dwell", "add_to_cart", "remove_from_cart", "like", "skip"),
                *("purchase", "refund", "search", "scroll"),
            ]
        )
        late = draw.choice([0, 0, 0, draw.randrange(3 * HOUR), draw.randrange(9 * DAY)])
        event: dict[str, Any] = {
            "event_id": f"e{self._count}",
            "session_id": session,
            "event_type": kind,
            "ts_ms": self.now - late,
            "props": {"device": draw.choice(["mobile", "desktop"]), "country": draw.choice(["DE", "FR"])},
        }
        if visitor % 2 == 0 and draw.random() < 0.4:
            event["user_id"] = f"u{visitor % 8}"
        if kind not in ("search", "scroll"):
            event["item_id"] = f"i{draw.randrange(ITEMS)}"
        if kind == "dwell":
            event["props"]["dwell_ms"] = draw.randrange(60_000)
        if kind in ("purchase", "refund"):
            event["props"] |= {"order_id": f"o{draw.randrange(5)}", "price": draw.randrange(1, 50)}
        if request_id is not None and draw.random() < 0.7:
            event["request_id"] = request_id
        self._sent.append(event)
        return event

    def body(self) -> bytes:
        """A batch; time moves on by up to half an hour."""
        self.now += self.draw.randrange(30 * MINUTE)
        return json.dumps([self.event() for _ in range(self.draw.randrange(1, 12))]).encode()

    def request(self, n: int) -> dict[str, Any]:
        visitor = self.draw.randrange(12)
        request: dict[str, Any] = {"surface": ("home", "served")[n % 2], "session_id": f"s{visitor}-0"}
        if visitor % 2 == 0:
            request["user_id"] = f"u{visitor % 8}"
        if n % 3:
            request["context"] = {"device": "mobile", "app_version": "7.1", "item_id": f"i{n % ITEMS}"}
        self._lists.append((f"r{n}", request["session_id"]))
        return {**request, "request_id": f"r{n}"}


def live(data: Path, config: Config, seed: int, *, restart_every: int = 25, rounds: int = ROUNDS) -> None:
    """Runs the traffic on a shard that is closed and recovered every few rounds."""
    traffic = Traffic(seed)
    clock = ManualClock(traffic.now)
    shard = ShardState.open(data, config, clock)
    for n in range(rounds):
        if n % 10 == 0:
            items = [traffic.item(traffic.draw.randrange(ITEMS)) for _ in range(15)]
            shard.ingest_sync("items", json.dumps(items).encode(), "json", trusted=True)
        if n % 9 == 0:
            users = [{"id": f"u{n % 8}", "attributes": {"loyalty_tier": n}}]
            shard.ingest_sync("users", json.dumps(users).encode(), "json", trusted=True)
        body = traffic.body()
        clock.advance(traffic.now - clock.now_ms())
        assert shard.ingest_sync("events", body, "json", trusted=True).rejected == []
        pipeline = Pipeline(shard, config, clock, Metrics())
        request = traffic.request(n)
        if n % 4 == 0:
            given = json.dumps({**request, "items": ["i1", "i2", "nobody", "i3"]}).encode()
            asyncio.run(pipeline.rank(read_rank(given), deadline_ms=1000))
        else:
            asyncio.run(pipeline.recommend(read_recommend(json.dumps(request).encode()), deadline_ms=1000))
        shard._flusher.flush()
        shard.core.evict(config.state.users_cached_max)
        if n % restart_every == restart_every - 1:
            shard.close()
            shard = ShardState.open(data, config, clock)
    shard.close()


@pytest.mark.parametrize("seed", range(6))
def test_what_was_served_comes_out_of_the_log_again(seed: int, tmp_path: Path) -> None:
    config = make_config()
    live(tmp_path, config, seed)
    report = replay_and_compare(tmp_path, config, 1.0, 0)
    assert report.decisions >= ROUNDS - 8, "empty lists carry nothing"
    assert report.compared > 20_000
    assert (report.different, report.other_plan, report.other_config) == (0, 0, 0), report.examples


def test_other_batches_and_partitions_give_the_same_values(tmp_path: Path) -> None:
    """The log of one shard, folded frame by frame under other partitions, is the same state."""
    config = make_config()
    live(tmp_path, config, seed=3)
    log = open_log(tmp_path, config, read_only=True)
    frames: list[tuple[int, int, int]] = []
    decisions: list[dict[str, Any]] = []
    offset = log.start()
    while piece := log.frames(offset, 1 << 20):
        frames += [(start, end, kind) for start, end, kind, *_ in piece]
        decisions += [json.loads(decision_json(body)) for *_, kind, _, _, _, body in piece if kind == DECISION_KIND]
        offset = piece[-1][1]
    from rtp_monolith.manifest import Manifest

    core: Core = make_core(Manifest(1, 7), make_config(7))
    surface = SurfacePlan("x", [], hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False)
    plan = compile_plan(declared(config).features)
    compared, n = 0, sum(map(len, OWN.values()))
    told: list[list[float]] = []
    waiting = sorted(decisions, key=lambda each: int(each["applied_offset"]))
    for start, end, _ in frames:
        while waiting and waiting[0]["applied_offset"] <= core.applied:
            d = waiting.pop(0)
            pairs = context_pairs(Context(**d["context"]))
            ask = core.ask(surface, d["user_id"], d["session_id"], d["as_of_ms"], context=pairs)
            ask.made_with(d["bundle"], d["surface"])
            ids = [item["id"] for item in d["items"]]
            rows = core.vectors_of(ask, ids, plan).tolist()
            assert rows == d["features"]
            compared += len(ids)
            told += [row[-n:] for row in rows]
        frame, _ = log.read(start, end - start)
        core.replay(frame, start)
    assert not waiting and compared > 400
    same = [plan.names[at - n] for at in range(n) if len({row[at] for row in told}) == 1]
    assert same == [], "a feature that is always the same shows nothing"
    log.close()


def test_a_declared_share_of_decisions_carries_vectors(tmp_path: Path) -> None:
    config = Config(audit=Audit(share=0.25))
    clock = ManualClock(NOON)
    shard = ShardState.open(tmp_path, config, clock)
    shard.ingest_sync("items", b'[{"id":"a"},{"id":"b"}]', "json", trusted=True)
    pipeline = Pipeline(shard, config, clock, Metrics())
    for n in range(200):
        body = json.dumps({"surface": "home", "session_id": "s", "request_id": f"r{n}"}).encode()
        asyncio.run(pipeline.recommend(read_recommend(body), deadline_ms=1000))
    shard.close()
    assert replay_and_compare(tmp_path, config, 1.0, 0).decisions == pytest.approx(50, abs=15)
