"""Online equals replay on a long log: duplicates, late events, sign-ins, item changes, refunds, a crash, a checkpoint.

Every list's vectors are compared with what the log gives, from its beginning, under another number of partitions, and
from a checkpoint on; plain loops over the events agree on drawn users and items. 20,000 events unless RTP_EVENTS says
how many (`RTP_EVENTS=1000000` takes minutes).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from rtp_monolith._native import decision_json
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Audit, Bots, Config, State
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.published import Published, Restore
from rtp_monolith.manifest import Manifest
from rtp_monolith.metrics import Metrics
from rtp_monolith.monitoring.follow import Followed, Follower
from rtp_monolith.monitoring.skew import Comparison, Logged, decisions_from, replay_and_compare
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_rank
from rtp_monolith.state.recovery import CHUNK_BYTES, make_core, open_log
from rtp_monolith.state.shard_state import ShardState
from tests.oracles.features import Event, Oracle

from .scene import DAY, HOUR, MINUTE, NOON

EVENTS = int(os.environ.get("RTP_EVENTS", "20000"))
BATCH = 500
LISTED = 5
STABLE = {f"i{n}": {"category": f"c{n % 9}", "price": 5 + 7 * n} for n in range(60)}
CHANGING = [f"x{n}" for n in range(100)]
KINDS = ("click", "click", "click", "view", "impression", "dwell", "add_to_cart", "purchase", "like", "skip")
CONFIG = Config(
    audit=Audit(share=1.0, watch=False),
    bots=Bots(contributions_per_item_per_hour_max=255, contributions_per_hour_max=65_535),
    state=State(users_cached_max=300),
)


class Crowd:
    """Seeded people: known ones, of whom the oracle is asked, and visitors, some of whom sign in later."""

    def __init__(self, events: int) -> None:
        self.draw = random.Random(4)
        self.people = max(20, events // 40)
        self.oracle = Oracle(STABLE)
        self.now = NOON
        self._count = 0
        self._sent: list[dict[str, object]] = []

    def items(self) -> bytes:
        """Stable items as they always are, and others as they are this time."""
        stable = [
            {"id": item, "price": own["price"], "categories": [own["category"]], "brand": f"b{own['price'] % 5}"}
            for item, own in STABLE.items()
        ]
        changing = [{"id": item, "price": self.draw.randrange(1, 90), "brand": "b9"} for item in CHANGING]
        return json.dumps(stable + changing).encode()

    def batch(self) -> bytes:
        self.now += self.draw.randrange(2 * MINUTE)
        made = [self._event() for _ in range(BATCH - BATCH // 25)]
        again = self.draw.sample(self._sent, k=min(len(self._sent), BATCH // 25))
        self._sent = made
        return json.dumps(made + again).encode()

    def _event(self) -> dict[str, object]:
        draw, self._count = self.draw, self._count + 1
        late = (
            draw.randrange(2 * HOUR) if draw.random() < 0.05 else draw.randrange(9 * DAY) if draw.random() < 0.01 else 0
        )
        person, session, ts_ms = draw.randrange(self.people), draw.randrange(3), self.now - late
        sent: dict[str, object] = {"event_id": f"e{self._count}", "ts_ms": ts_ms}
        if person % 2:
            kind, item = draw.choice(KINDS), draw.choice([*STABLE])
            dwell_ms = draw.randrange(1, 90_000) if kind == "dwell" else 0
            self.oracle.add(Event(f"u{person}", f"s{session}", kind, item, ts_ms, dwell_ms))
            sent |= {
                "user_id": f"u{person}",
                "session_id": f"u{person}-s{session}",
                "event_type": kind,
                "item_id": item,
            }
            return {**sent, "props": {"dwell_ms": dwell_ms}} if dwell_ms else sent
        kind, item = draw.choice([*KINDS, "refund"]), draw.choice(CHANGING)
        sent |= {"session_id": f"v{person}-{session}", "event_type": kind, "item_id": item}
        if draw.random() < 0.2:
            sent["user_id"] = f"v{person}"
        if kind in ("purchase", "refund"):
            sent["props"] = {"order_id": f"o{person}", "price": draw.randrange(1, 50)}
        return sent

    def request(self, number: int) -> bytes:
        person = self.draw.randrange(self.people)
        who = f"u{person}-s0" if person % 2 else f"v{person}-{person % 3}"
        listed = self.draw.sample([*STABLE, *CHANGING], k=LISTED)
        request = {"surface": "home", "session_id": who, "items": listed, "request_id": f"r{number}"}
        return json.dumps({**request, "user_id": f"u{person}"} if person % 2 else request).encode()


class Life:
    """One shard that takes the crowd's batches, a list after each."""

    def __init__(self, data: Path, crowd: Crowd) -> None:
        self.crowd, self.clock = crowd, ManualClock(crowd.now)
        self.shard = ShardState.open(data, CONFIG, self.clock)
        self.pipeline = Pipeline(self.shard, CONFIG, self.clock, Metrics())

    def batches(self, first: int, last: int) -> None:
        crowd, shard = self.crowd, self.shard
        for number in range(first, last):
            if number % 20 == 0:
                shard.ingest_sync("items", crowd.items(), "json", trusted=True)
            body = crowd.batch()
            self.clock.advance(crowd.now - self.clock.now_ms())
            assert shard.ingest_sync("events", body, "json", trusted=True).rejected == []
            asyncio.run(self.pipeline.rank(read_rank(crowd.request(number)), deadline_ms=10_000))
            if number % 7 == 6:
                shard._flusher.flush()
                shard.core.evict(CONFIG.state.users_cached_max)
        assert shard.log.wait_durable(shard.log.end(), 30_000)

    def agrees(self, times: int) -> int:
        """Compares drawn people and items with the oracle; the number of values."""
        crowd, shard, compared = self.crowd, self.shard, 0
        surface = self.pipeline._surfaces["home"].plan
        for _ in range(times):
            user = f"u{crowd.draw.randrange(crowd.people // 2) * 2 + 1}"
            session, item = f"s{crowd.draw.randrange(3)}", crowd.draw.choice([*STABLE])
            now, oracle = self.clock.now_ms(), crowd.oracle
            expected = {**oracle.of_user(user, now), **oracle.of_item(item, now)}
            expected |= oracle.of_both(user, session, item, now)
            shard.load_request(user, f"{user}-{session}")
            ask = shard.core.ask(surface, user, f"{user}-{session}", now)
            row = dict(zip(shard.plan.names, shard.core.vectors_of(ask, [item], shard.plan)[0].tolist(), strict=True))
            assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5, abs=1e-3)
            compared += len(expected)
        return compared


def logged(data: Path) -> Iterator[Logged]:
    log = open_log(data, CONFIG, read_only=True)
    try:
        for body in decisions_from(log, log.start()):
            yield msgspec.json.decode(decision_json(body), type=Logged)
    finally:
        log.close()


def under_partitions(data: Path, partitions: int) -> Comparison:
    """The same log folded by a shard that is cut otherwise."""
    comparison = Comparison(compile_plan(FEATURES), int(CONFIG.digest(), 16), False, Restore(Published()))
    core, log = make_core(Manifest(1, partitions), CONFIG), open_log(data, CONFIG, read_only=True)
    for decision in sorted(logged(data), key=lambda each: each.applied_offset):
        while core.applied < decision.applied_offset:
            start = core.applied
            frames, _ = log.read(start, min(CHUNK_BYTES, decision.applied_offset - start))
            core.replay(frames, start)
        comparison.add(core, decision)
    log.close()
    return comparison


def test_a_long_log_gives_what_was_served(tmp_path: Path) -> None:
    crowd, batches = Crowd(EVENTS), EVENTS // BATCH
    cuts = (0, batches // 3, 2 * batches // 3, batches)
    life = Life(tmp_path / "first", crowd)
    life.batches(cuts[0], cuts[1])
    # As after a kill: the log as it is on disk, the views as of the last flush.
    data = tmp_path / "second"
    shutil.copytree(tmp_path / "first", data)
    life.shard.close()
    life = Life(data, crowd)
    life.batches(cuts[1], cuts[2])
    life.shard.store.copy_to(tmp_path / "checkpoint")
    from_checkpoint = Follower(Followed(data, tmp_path / "checkpoint", CONFIG, 1.0))
    life.batches(cuts[2], cuts[3])
    assert life.agrees(40) == 40 * 32
    life.shard.close()

    values = batches * LISTED * len(FEATURES)
    whole = replay_and_compare(data, CONFIG, 1.0, 0)
    assert (whole.compared, whole.different, whole.other_plan, whole.other_config) == (values, 0, 0, 0), whole.examples
    otherwise = under_partitions(data, 7).report()
    assert (otherwise.compared, otherwise.different) == (values, 0), otherwise.examples
    rounds = [from_checkpoint.round() for _ in range(2)]
    from_checkpoint.close()
    since = sum(found.report.compared for found in rounds)
    assert since >= (cuts[3] - cuts[2]) * LISTED * len(FEATURES)
    assert [found.report.different for found in rounds] == [0, 0] and rounds[-1].missed == 0
    print(f"{EVENTS} events, {batches} lists: {whole.compared} values equal, {since} from the checkpoint on")
