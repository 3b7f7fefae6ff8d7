"""A shard that remembers what it was asked and answers what it was told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from rtp_monolith.clock import Clock, WallClock
from rtp_monolith.config import Config
from rtp_monolith.errors import RtpError
from rtp_monolith.records import IngestReply, RankRequest, RecommendRequest, Rejected
from rtp_monolith.serving.app import App
from rtp_monolith.serving.bodies import Media
from rtp_monolith.serving.ports import Kind, Shard
from rtp_monolith.serving.process import make_services


class Letter(msgspec.Struct, frozen=True):
    id: int
    received_ms: int
    code: str
    message: str
    payload: str
    cut: bool = False
    replayed: bool = False


class Letters:
    def __init__(self) -> None:
        self.kept: list[Letter] = []

    @property
    def last_id(self) -> int:
        return self.kept[-1].id if self.kept else 0

    def put(self, code: str, payload: str, *, cut: bool = False) -> None:
        self.kept.append(Letter(self.last_id + 1, 5, code, "refused", payload, cut))

    def list(self, *, after: int = 0, limit: int = 100, code: str | None = None) -> Sequence[Letter]:
        return [each for each in self.kept if each.id > after and code in (None, each.code)][:limit]

    def get(self, id: int) -> Letter | None:
        return next((each for each in self.kept if each.id == id), None)

    def mark_replayed(self, ids: Sequence[int]) -> None:
        self.kept = [msgspec.structs.replace(each, replayed=each.replayed or each.id in ids) for each in self.kept]


class FakeState:
    def __init__(self) -> None:
        self.letters = Letters()
        self.ingested: list[tuple[Kind, bytes, Media, bool]] = []
        self.patched: list[tuple[str, bytes]] = []
        self.deleted: list[str] = []
        self.items: dict[str, bytes] = {}
        self.users: dict[str, bytes] = {}
        self.waited_for: list[str] = []
        self.reaches = True
        self.refuse: RtpError | Exception | None = None
        self.rejected: list[Rejected] = []
        self.attached = False
        self.closed = 0

    @property
    def dead_letters(self) -> Letters:
        return self.letters

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        self.attached = True

    def reply(self) -> IngestReply:
        if self.refuse is not None:
            raise self.refuse
        return IngestReply(0 if self.rejected else 1, 0, self.rejected, "p1")

    async def ingest(self, kind: Kind, body: bytes, media: Media, *, trusted: bool, bury: bool = True) -> IngestReply:
        self.ingested.append((kind, body, media, trusted))
        await asyncio.sleep(0)
        return self.reply()

    async def patch_item(self, item_id: str, body: bytes) -> IngestReply:
        self.patched.append((item_id, body))
        return self.reply()

    async def delete_item(self, item_id: str) -> IngestReply:
        self.deleted.append(item_id)
        return self.reply()

    def item(self, item_id: str) -> bytes | None:
        return self.items.get(item_id)

    def user_state(self, key: str) -> bytes | None:
        return self.users.get(key)

    async def reached(self, position: str, timeout_ms: float) -> bool:
        self.waited_for.append(position)
        return self.reaches

    def stats(self) -> dict[str, int | float]:
        return {"users": 3, "items": 2, "log_durable_offset": 1024}

    def close(self) -> None:
        self.closed += 1


class FakeLists:
    def __init__(self) -> None:
        self.asked: list[RecommendRequest | RankRequest] = []
        self.deadlines_ms: list[float] = []
        self.degraded: list[Sequence[str]] = []

    async def recommend(self, request: RecommendRequest, *, deadline_ms: float, degraded: Sequence[str] = ()) -> bytes:
        return self._answer(request, deadline_ms, degraded)

    async def rank(self, request: RankRequest, *, deadline_ms: float, degraded: Sequence[str] = ()) -> bytes:
        return self._answer(request, deadline_ms, degraded)

    def _answer(self, request: RecommendRequest | RankRequest, deadline_ms: float, degraded: Sequence[str]) -> bytes:
        self.asked.append(request)
        self.deadlines_ms.append(deadline_ms)
        self.degraded.append(degraded)
        return b'{"items":[]}'


class FakeModels:
    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.refuse: RtpError | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        pass

    def close(self) -> None:
        pass

    async def activate(self, name: str, version: str) -> object:
        return self._answer("activate", name, version)

    async def rollback(self) -> object:
        return self._answer("rollback")

    async def try_out(self, role: str, name: str, version: str, share: float) -> object:
        return self._answer("try_out", role, name, version, str(share))

    async def end_trial(self) -> object:
        return self._answer("end_trial")

    def trial(self) -> object:
        return self._answer("trial")

    def listing(self) -> object:
        return self._answer("listing")

    def described(self, name: str, version: str) -> object:
        return self._answer("described", name, version)

    def stats(self) -> dict[str, int | float]:
        return {"encoding_hits": 7}

    def _answer(self, *asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        if self.refuse is not None:
            raise self.refuse
        return {"active": None, "previous": None}


def client_of(app: App) -> httpx.AsyncClient:
    """A client that gets an answer even when the application raises."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=("127.0.0.1", 1234))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://shard")


class Shop:
    """An application in front of a fake shard, and a client of it."""

    def __init__(self, config: Config | None = None, *, ready: bool = True, clock: Clock | None = None) -> None:
        self.state = FakeState()
        self.lists = FakeLists()
        self.models = FakeModels()
        self.services = make_services(config or Config(), clock or WallClock())
        self.app = App(self.services)
        if ready:
            self.services.place.put(Shard(self.state, self.lists, self.models))
        self.client = client_of(self.app)

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        return await self.client.request(method, path, **more)

    async def code(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and code of a refusal; checks the form of every error body on the way."""
        answer = await self.ask(method, path, **more)
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        assert set(body) == {"error"}
        assert {"code", "message"} <= set(body["error"]) <= {"code", "message", "field"}
        return answer.status_code, body["error"]["code"]
