"""The state of a stopped shard for tests of `--data`: the FakeShard's rules without HTTP."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import msgspec
import pytest

from rtp_monolith.ingest.dead_letters import DeadLetters
from rtp_monolith.records import IngestReply

from .fake_shard import FakeShard


class FakeState:
    """One per folder and test; `opened` says how."""

    def __init__(self, data: Path, rules: FakeShard) -> None:
        self.data = data
        self.rules = rules
        self.dead_letters = DeadLetters(data / "dead_letters")
        self.closed = False

    def ingest_sync(self, kind: str, body: bytes, media: str, *, trusted: bool, bury: bool = True) -> IngestReply:
        assert (media in ("ndjson", "json"), trusted) == (True, True)
        _, _, document = self.rules.answer(
            "POST" if kind == "events" else "PUT", "/v1/items?only=new" if kind == "new_items" else f"/v1/{kind}", body
        )
        return msgspec.convert(document, IngestReply)

    def user_state(self, key: str) -> bytes | None:
        return b'{"user_id":"u","state_version":3}' if key == "u" else None

    def stats(self) -> dict[str, int | float]:
        return {"users": 2, "items": 5}

    def footprint(self) -> dict[str, int | float]:
        return {"user_record_bytes_mean": 250.0}

    def close(self) -> None:
        self.closed = True


class Shards:
    """Stands where `rtp_monolith.state` is; remembers what was opened."""

    def __init__(self, rules: FakeShard) -> None:
        self.rules = rules
        self.opened: list[Path] = []
        self.states: list[FakeState] = []
        self.locked: Exception | None = None
        self.equal = True

    def open(self, data: Path, config: Any, clock: Any) -> FakeState:
        if self.locked is not None:
            raise self.locked
        self.opened.append(data)
        self.states.append(FakeState(data, self.rules))
        return self.states[-1]

    def rebuild(self, data: Path, config: Any, *, partial: bool = False) -> dict[str, int]:
        return {"frames": 7 if partial else 12}

    def verify(self, data: Path, config: Any) -> Any:
        report = msgspec.defstruct("Report", [("equal", bool)])
        return report(self.equal)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        package = ModuleType("rtp_monolith.state")
        shard_state = ModuleType("rtp_monolith.state.shard_state")
        rebuild = ModuleType("rtp_monolith.state.rebuild")
        shard_state.ShardState = SimpleNamespace(open=self.open)  # type: ignore[attr-defined]
        rebuild.rebuild, rebuild.verify = self.rebuild, self.verify  # type: ignore[attr-defined]
        package.rebuild, package.shard_state = rebuild, shard_state  # type: ignore[attr-defined]
        for module in (package, shard_state, rebuild):
            monkeypatch.setitem(sys.modules, module.__name__, module)
