"""A shard with 60 items in 6 categories and a pipeline on it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from rtp_monolith._native import decision_json
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Config, parse
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.faults import Faults
from rtp_monolith.ranking.models import Models
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_rank, read_recommend
from rtp_monolith.state.shard_state import ShardState
from tests.ranking.bundles import make_bundle

DECISION_KIND = 7
DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2
CATEGORIES = ("boots", "hats", "bags", "coats", "socks", "rings")


class OpenShop(Protocol):
    def __call__(self, config: str = "", *, bundle: bool = True, **recipe: Any) -> Shop: ...


class Shop:
    """Items `i0` … `i59`; `iN` is in category N mod 6. `home` and `rank` answer the parsed reply."""

    def __init__(
        self, data: Path, config: Config | None = None, *, stocked: bool = True, models: Path | None = None
    ) -> None:
        self.clock = ManualClock(NOON)
        self.config = config or Config()
        self.metrics = Metrics()
        self.state = ShardState.open(data, self.config, self.clock)
        self.models = Models(self.state, self.config, self.clock, self.metrics, models)
        self.models.start()
        self.faults = Faults(self.clock)
        self.pipeline = Pipeline(self.state, self.config, self.clock, self.metrics, self.models, self.faults)
        self._events = 0
        if stocked:
            self.put(*[self.item(n) for n in range(60)])

    @staticmethod
    def item(n: int, **changes: object) -> dict[str, object]:
        category = CATEGORIES[n % 6]
        return {"id": f"i{n}", "categories": [category], "price": n, "brand": f"b{n % 4}", **changes}

    def put(self, *items: dict[str, object]) -> None:
        assert self.state.ingest_sync("items", json.dumps(items).encode(), "json", trusted=True).rejected == []
        self.clock.advance(2_000)

    def did(self, kind: str, *items: str, session: str = "s", user: str | None = None, **more: object) -> None:
        """Events of one visitor, a second apart."""
        events = []
        for item in items:
            self.clock.advance(1_000)
            self._events += 1
            event: dict[str, object] = {
                "event_id": f"e{self._events}",
                "session_id": session,
                "event_type": kind,
                "item_id": item,
                "ts_ms": self.clock.now_ms(),
                **more,
            }
            events.append(event if user is None else {**event, "user_id": user})
        reply = self.state.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True)
        assert (reply.accepted, reply.rejected) == (len(events), [])

    def home(self, **request: Any) -> dict[str, Any]:
        body = json.dumps({"surface": "home", "session_id": "s", **request}).encode()
        reply: dict[str, Any] = json.loads(asyncio.run(self.pipeline.recommend(read_recommend(body), deadline_ms=1e4)))
        return reply

    def rank(self, items: list[Any], **request: Any) -> dict[str, Any]:
        body = json.dumps({"surface": "home", "session_id": "s", "items": items, **request}).encode()
        reply: dict[str, Any] = json.loads(asyncio.run(self.pipeline.rank(read_rank(body), deadline_ms=1e4)))
        return reply

    def decisions(self) -> list[dict[str, Any]]:
        """Every decision of the log so far."""
        self.state.core.submit_decisions(self.state.log)
        assert self.state.log.wait_durable(self.state.log.end(), 10_000)
        self.state._advance()
        found: list[dict[str, Any]] = []
        offset = self.state.log.start()
        while frames := self.state.log.frames(offset, 1 << 20):
            found += [json.loads(decision_json(body)) for *_, kind, _, _, _, body in frames if kind == DECISION_KIND]
            offset = frames[-1][1]
        return found


def ids(reply: dict[str, Any]) -> list[str]:
    return [item["id"] for item in reply["items"]]


@pytest.fixture
def open_shop(tmp_path: Path) -> Iterator[OpenShop]:
    """Opens shops that are closed with the test; `config` is TOML text, `bundle` whether a tiny one is served."""
    opened: list[Shop] = []

    def open_one(config: str = "", *, bundle: bool = True, **recipe: Any) -> Shop:
        models = tmp_path / f"models{len(opened)}"
        models.mkdir()
        if bundle:
            make_bundle(models, **recipe)
        opened.append(Shop(tmp_path / f"data{len(opened)}", parse(config), models=models))
        return opened[-1]

    yield open_one
    for each in opened:
        each.state.close()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.state.close()
