"""The write path of a shard and its state: bodies in, durable and visible when the reply goes out.

Invariant: an answer is given only after what it accepts is on disk, folded and visible to the next read. The log is the
truth; the view store may lag behind it or be gone, and is made again from it. It does not know HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, ParamSpec, TypeVar

from rtp_monolith._native import Core, EventBatch, Log
from rtp_monolith.clock import Clock
from rtp_monolith.config import Config
from rtp_monolith.errors import DataError, LogFailure, Overloaded, RtpError
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.ingest.dead_letters import DeadLetters
from rtp_monolith.manifest import claim
from rtp_monolith.records import IngestReply, Rejected
from rtp_monolith.state import position
from rtp_monolith.state.changed import changed_items, changed_users
from rtp_monolith.state.flusher import Flusher
from rtp_monolith.state.introduced import Introduced, introduce, refuse_changed
from rtp_monolith.state.introduced import read as read_introduced
from rtp_monolith.state.loading import load_missing, load_request
from rtp_monolith.state.recovery import open_log, recover
from rtp_monolith.state.store import ViewStore

P = ParamSpec("P")
T = TypeVar("T")
Kind = Literal["events", "items", "users", "new_items", "changed_items", "changed_users"]
Media = Literal["json", "ndjson", "msgpack"]
Refusal = tuple[int, str | None, str, str, bytes]

LOG_BYTES_BETWEEN_FLUSHES = 64 << 20
"""Bounds the tail that a restart has to fold."""
FLUSH_RECORDS_MIN = 2_000
"""So many dirty users and items are flushed before their time: folding waits while they are encoded."""
FLUSH_SHARE = 1 / 40
"""Of the time, at most, that goes into flushing."""
TICK_S = 0.05
DECISIONS_WAIT_S = 0.005
DISK_WAIT_MS = 30_000


class ShardState:
    """Opened by `open`; `attach` makes the asynchronous calls work. One thread only."""

    def __init__(
        self, core: Core, log: Log, store: ViewStore, letters: DeadLetters, config: Config, clock: Clock
    ) -> None:
        self.core = core
        self.log = log
        self.store = store
        self.dead_letters = letters
        self.features = declared(config).features
        self.introduced: Introduced = {}
        self.items_changed: Callable[[], Awaitable[None]] | None = None
        """Awaited when items were put, before the reply: a vector of theirs may be made by then."""
        self.plan = compile_plan(self.features)
        self._config = config
        self._clock = clock
        self._flusher = Flusher(core, store)
        self._flusher.flushed_offset = core.applied
        self._waiting: dict[int, asyncio.Future[tuple[int, int, int]]] = {}
        self._settled: dict[int, tuple[int, int, int]] = {}
        self._positions: list[tuple[int, asyncio.Future[None]]] = []
        self._copies: list[tuple[Path, asyncio.Future[None]]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._persisted_offset = core.applied
        self._refreshed_s = 0.0
        self._refresh_cost_s = 0.0
        self._flush_again_s = 0.0
        self._flush_due_s = 0.0
        self._decisions_due = False

    @classmethod
    def open(cls, data: Path, config: Config, clock: Clock) -> ShardState:
        """Recovers `data`, made when it is not there. Raises DataError, and FeatureError for a team's feature that does
        not fit or means something else than before under the same version."""
        manifest = claim(data, config.partitions)
        own = declared(config).custom
        refuse_changed(read_introduced(data), own)
        log = open_log(data, config)
        core, store = recover(data, manifest, log, config)
        # Noted only by whom the views are opened for: a folder in use is refused before.
        introduced = introduce(data, own)
        state = cls(core, log, store, DeadLetters(data / "dead_letters"), config, clock)
        state.introduced = introduced
        clock.observe(core.events_now_ms)
        core.submit_due_links(log, clock.wall_ms())
        log.wait_durable(log.end(), DISK_WAIT_MS)
        state._load(core.missing_for_links())
        core.advance(log, clock.wall_ms())
        core.rebuild_lists(clock.now_ms())
        return state

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Folds from now on when the disk says so."""
        self._loop = loop
        loop.add_reader(self.log.wake_fd(), self._on_durable)
        self._ticking = loop.create_task(self._tick())

    def close(self) -> None:
        """Folds what is durable, flushes the views and lets the directory go."""
        if self._ticking is not None:
            self._ticking.cancel()
        if self._loop is not None:
            self._loop.remove_reader(self.log.wake_fd())
            self._loop = None
        self._flusher.flush()
        self._submit_decisions()
        if self.log.failure() is None:
            self.log.wait_durable(self.log.end(), DISK_WAIT_MS)
            self._advance()
        self._flusher.flush()
        self.store.persist()
        self.store.close()
        self.dead_letters.close()
        self.log.close()

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def wall_ms(self) -> int:
        return self._clock.wall_ms()

    # Writes.

    async def ingest(self, kind: Kind, body: bytes, media: Media, *, trusted: bool, bury: bool = True) -> IngestReply:
        """One body of events, items or users. Raises RtpError for the whole request.

        Refused events become dead letters unless `bury` is off: a letter that is refused again is one already.
        """
        ticket, rejected, held = self._submit(kind, body, media, trusted, bury)
        answer = await self._answer(ticket)
        if kind.endswith("items"):
            await self._tell_of_items()
        return self._reply(answer, rejected, held)

    def ingest_sync(self, kind: Kind, body: bytes, media: Media, *, trusted: bool, bury: bool = True) -> IngestReply:
        """`ingest` for commands that work on a stopped shard."""
        ticket, rejected, held = self._submit(kind, body, media, trusted, bury)
        reply = self._reply(self._answer_sync(ticket), rejected, held)
        self._flush_if_due_sync()
        return reply

    async def patch_item(self, item_id: str, body: bytes) -> IngestReply:
        """Merges fields into an item. Raises UnknownItem and whatever the merged item lacks."""
        answer = await self._answer(self._guard(self._submit_patch, item_id, body))
        await self._tell_of_items()
        return self._reply(answer, [])

    async def _tell_of_items(self) -> None:
        if self.items_changed is not None:
            await self.items_changed()

    async def delete_item(self, item_id: str) -> IngestReply:
        """Takes an item out of the catalogue. One that is not there needs no record that it is gone."""
        return self._reply(await self._answer(self._submit_delete(item_id)), [])

    def delete_item_sync(self, item_id: str) -> IngestReply:
        """`delete_item` for commands that work on a stopped shard."""
        return self._reply(self._answer_sync(self._submit_delete(item_id)), [])

    async def record_activation(self, name: str, version: str) -> None:
        """Writes down which bundle is served; it is on disk when this returns. Raises Overloaded."""
        await self._answer(self._guard(self.core.submit_activation, self.log, name, version, self.wall_ms()))

    def record_activation_sync(self, name: str, version: str) -> None:
        """`record_activation` for commands that work on a stopped shard."""
        self._answer_sync(self._guard(self.core.submit_activation, self.log, name, version, self.wall_ms()))

    async def record_trial(self, body: bytes) -> None:
        """Writes down what is tried beside that bundle; it is on disk when this returns. Raises Overloaded."""
        await self._answer(self._guard(self.core.submit_trial, self.log, body, self.wall_ms()))

    def record_trial_sync(self, body: bytes) -> None:
        """`record_trial` for commands that work on a stopped shard."""
        self._answer_sync(self._guard(self.core.submit_trial, self.log, body, self.wall_ms()))

    def _submit_delete(self, item_id: str) -> int | None:
        if self.item(item_id) is None:
            return None
        return self._guard(self.core.submit_item_delete, self.log, item_id, self.wall_ms())

    def _submit_patch(self, item_id: str, body: bytes) -> int:
        return self.core.submit_item_patch(self.log, item_id, body, self.wall_ms())

    def _submit(
        self, kind: Kind, body: bytes, media: Media, trusted: bool, bury: bool
    ) -> tuple[int | None, list[Refusal], int]:
        """Ticket, refusals, and how many records were there already."""
        now = self.wall_ms()
        if kind == "events":
            batch: EventBatch = self.core.parse_events(body, media, now, now, trusted)
            rejected = batch.rejected
            if bury:
                self._bury(rejected, now)
            if batch.accepted == 0:
                return None, rejected, 0
            if self._load(self.core.missing_for_events(batch)):
                # A session just loaded may be linked to a user who is not in memory yet.
                self._load(self.core.missing_for_events(batch))
            return self._guard(self.core.submit_events, self.log, batch), rejected, 0
        if kind in ("users", "changed_users"):
            return self._submit_users(kind, body, media, now)
        items, rejected = self.core.parse_items(body, media == "ndjson")
        if kind == "changed_items":
            bodies = changed_items(self.core, [(item_id, json) for _, item_id, json in items])
        else:
            bodies = [json for _, item_id, json in items if kind == "items" or self.item(item_id) is None]
        held = len(items) - len(bodies)
        if not bodies:
            return None, rejected, held
        return self._guard(self.core.submit_items, self.log, bodies, now), rejected, held

    def _submit_users(self, kind: Kind, body: bytes, media: Media, now: int) -> tuple[int | None, list[Refusal], int]:
        users, rejected = self.core.parse_users(body, media == "ndjson")
        records = [(user_id, json) for _, user_id, json in users]
        self._load(self.core.missing_for_users([user_id for user_id, _ in records]))
        held = 0
        if kind == "changed_users":
            records = changed_users(self.core, records)
            held = len(users) - len(records)
        if not records:
            return None, rejected, held
        return self._guard(self.core.submit_users, self.log, records, now), rejected, held

    def _guard(self, submit: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The log may have failed: nothing is accepted until it can be written again."""
        failure = self.log.failure()
        if failure is not None:
            self._fail_waiting(failure[1])
            try:
                self.log.try_recover()
            except RtpError as error:
                raise Overloaded(f"the log cannot be written: {error.message}", retry_after_s=5) from None
        return submit(*args, **kwargs)

    def _bury(self, rejected: Sequence[Refusal], now: int) -> None:
        for _, _, code, message, payload in rejected:
            self.dead_letters.put(now, code, message, payload)

    async def _answer(self, ticket: int | None) -> tuple[int, int, int]:
        if ticket is None:
            return 0, 0, self.core.applied
        assert self._loop is not None
        future: asyncio.Future[tuple[int, int, int]] = self._loop.create_future()
        self._waiting[ticket] = future
        return await future

    def _answer_sync(self, ticket: int | None) -> tuple[int, int, int]:
        if ticket is None:
            return 0, 0, self.core.applied
        while ticket not in self._settled:
            self.log.wait_durable(self.log.end(), DISK_WAIT_MS)
            failure = self.log.failure()
            if failure is not None:
                raise Overloaded(f"the log cannot be written: {failure[1]}")
            self._advance()
        return self._settled.pop(ticket)

    def _reply(self, answer: tuple[int, int, int], rejected: Sequence[Refusal], held: int = 0) -> IngestReply:
        accepted, duplicates, offset = answer
        refused = [Rejected(index, event_id, code, message) for index, event_id, code, message, _ in rejected]
        return IngestReply(accepted, duplicates + held, refused, position.encode(offset))

    def decided(self) -> None:
        """A decision was made: it reaches the log with the next batch, or a few ms from now. Raises LogFailure."""
        if self._loop is None:
            self.core.submit_decisions(self.log)
        elif not self._decisions_due:
            self._decisions_due = True
            self._loop.call_later(DECISIONS_WAIT_S, self._submit_decisions)

    def _submit_decisions(self) -> None:
        self._decisions_due = False
        # A log that failed has told those who wait for it; decisions nobody waits for are lost with it.
        with contextlib.suppress(LogFailure):
            self.core.submit_decisions(self.log)

    # Folding.

    def _on_durable(self) -> None:
        self.log.drain_wake()
        failure = self.log.failure()
        if failure is not None:
            self._fail_waiting(failure[1])
            return
        self._advance()

    def _advance(self) -> None:
        for ticket, accepted, duplicates, offset in self.core.advance(self.log, self.wall_ms()):
            future = self._waiting.pop(ticket, None)
            if future is None:
                self._settled[ticket] = (accepted, duplicates, offset)
            elif not future.done():
                future.set_result((accepted, duplicates, offset))
        self._clock.observe(self.core.events_now_ms)
        if self._positions:
            self._wake_positions()

    def _fail_waiting(self, failure: str) -> None:
        """What was not durable is not in the state either; its senders are told to send it again."""
        for ticket in self.core.abandon():
            future = self._waiting.pop(ticket, None)
            if future is not None and not future.done():
                future.set_exception(Overloaded(f"the log cannot be written: {failure}", retry_after_s=5))

    async def reached(self, token: str, timeout_ms: float) -> bool:
        """True once the state holds everything up to a position. Raises InvalidField for what is not a position."""
        offset = position.decode(token)
        if self.core.applied >= offset:
            return True
        assert self._loop is not None
        future: asyncio.Future[None] = self._loop.create_future()
        self._positions.append((offset, future))
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                await future
        except TimeoutError:
            self._positions = [entry for entry in self._positions if entry[1] is not future]
            return False
        return True

    def _wake_positions(self) -> None:
        applied = self.core.applied
        for offset, future in self._positions:
            if offset <= applied and not future.done():
                future.set_result(None)
        self._positions = [entry for entry in self._positions if entry[0] > applied]

    # Reads.

    def item(self, item_id: str) -> bytes | None:
        """Canonical JSON of an item, None when there is none."""
        return self.core.item_json(item_id)

    def user_state(self, key: str) -> bytes | None:
        """JSON of a user key: the user of that name, else the session, whose user answers when it is linked."""
        self.load_request(key, key)
        answer = self.core.user_json(key, "", self.plan, self.now_ms())
        if answer is None:
            self.load_request(None, key)
            answer = self.core.user_json(None, key, self.plan, self.now_ms())
        return answer

    def load_request(self, user_id: str | None, session_id: str) -> None:
        """Brings the records of a request into memory; a linked session's user takes a second look."""
        load_request(self.core, self.store, user_id, session_id)

    def user_of(self, user_id: str | None, session_id: str) -> str | None:
        """The user whom a request is for: the one it names, else the one whom its session is linked to."""
        if user_id is None:
            self.load_request(None, session_id)
            return self.core.linked_user(session_id)
        return user_id

    def refresh_lists(self) -> None:
        """Popular, trending and new, a share of the work at a time, at most a fiftieth of the time."""
        now_s = self._clock.monotonic_s()
        if now_s - self._refreshed_s < 50 * self._refresh_cost_s:
            return
        self.core.refresh_lists(self.now_ms())
        self._refreshed_s = self._clock.monotonic_s()
        self._refresh_cost_s = self._refreshed_s - now_s

    def _load(self, missing: Sequence[tuple[int, bytes]]) -> int:
        """Reads user records into memory; the number that exist."""
        return load_missing(self.core, self.store, missing)

    def stats(self) -> dict[str, int | float]:
        return {
            **dict(self.core.stats()),
            "log_end": self.log.end(),
            "log_durable": self.log.durable(),
            "log_start": self.log.start(),
            "log_bytes": self.log.size_bytes(),
            "flushed_offset": self._flusher.flushed_offset,
            "flushed_records": self._flusher.records,
            "view_bytes": self.store.disk_bytes(),
        }

    def feature_counts(self) -> list[tuple[str, int, int]]:
        """(feature, values that decisions carried, of those nothing but the default)."""
        return self.core.feature_counts()

    def footprint(self) -> dict[str, int | float]:
        """What a user and an item cost, in bytes. Reads all views: for a stopped shard and for benchmarks."""
        users, user_memory, items, item_memory = self.core.footprint()
        sizes = self.store.sizes()
        user_count, user_disk = sizes.get(b"u", (0, 0))
        item_disk = sum(sizes.get(space, (0, 0))[1] for space in (b"i", b"s", b"v"))
        return {
            "user_records": user_count,
            "user_record_bytes_mean": round(user_disk / max(user_count, 1), 1),
            "user_memory_bytes_mean": round(user_memory / max(users, 1), 1),
            "item_record_bytes_mean": round(item_disk / max(items, 1), 1),
            "item_memory_bytes_mean": round(item_memory / max(items, 1), 1),
            "view_disk_bytes": self.store.disk_bytes(),
            "log_disk_bytes": self.log.size_bytes(),
        }

    async def copy_views(self, path: Path) -> None:
        """A copy of the views as they were flushed last, made between two flushes. Raises DataError."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._copies.append((path, done))
        await done

    # Background.

    async def _tick(self) -> None:
        """Flushes, list refreshes and retention, in small pieces between requests."""
        while True:
            await asyncio.sleep(TICK_S)
            self.refresh_lists()
            if self._flush_due():
                await self._flush()
            while self._copies:
                await self._copy(*self._copies.pop())

    async def _copy(self, path: Path, done: asyncio.Future[None]) -> None:
        failure: DataError | None = None
        try:
            await asyncio.to_thread(self.store.copy_to, path)
        except DataError as error:
            failure = error
        if done.done():  # whoever asked has gone
            return
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)

    def _flush_due(self) -> bool:
        if self.core.dirty == 0:
            return False
        now_s = self._clock.monotonic_s()
        if now_s < self._flush_again_s:
            return False
        return self.core.dirty >= FLUSH_RECORDS_MIN or now_s >= self._flush_due_s

    async def _flush(self) -> None:
        """Between the beginning and the last encoded record folding waits, so that the flush is of one offset; lists
        and admissions go on."""
        started = self._clock.monotonic_s()
        busy = 0.0
        if self.store.switch_due:
            await asyncio.to_thread(self.store.persist)
        at = self._clock.monotonic_s()
        more = self._flusher.begin()
        busy += self._clock.monotonic_s() - at
        while more:
            await asyncio.sleep(0)
            at = self._clock.monotonic_s()
            more = self._flusher.encode()
            busy += self._clock.monotonic_s() - at
        self._advance()
        more = self._flusher.under_way
        while more:
            await asyncio.sleep(0)
            at = self._clock.monotonic_s()
            more = self._flusher.step()
            busy += self._clock.monotonic_s() - at
        self.core.evict(self._config.state.users_cached_max)
        self._flush_again_s = started + busy / FLUSH_SHARE
        self._flush_due_s = started + self._config.state.flush_interval_ms / 1000
        if self._retain_due():
            await asyncio.to_thread(self.store.persist)
            self._retain()

    def _flush_if_due_sync(self) -> None:
        if self.core.applied - self._flusher.flushed_offset >= LOG_BYTES_BETWEEN_FLUSHES:
            self._flusher.flush()
            self.core.evict(self._config.state.users_cached_max)
            if self._retain_due():
                self.store.persist()
                self._retain()

    def _retain_due(self) -> bool:
        limits = self._config.log
        if limits.retain_bytes is None and limits.retain_ms is None:
            return False
        return self._flusher.flushed_offset - self._persisted_offset >= limits.segment_bytes // 2

    def _retain(self) -> None:
        """Old segments go once nothing needs them: the views on disk, just persisted, hold all that they said."""
        limits = self._config.log
        self._persisted_offset = self._flusher.flushed_offset
        older_than = None if limits.retain_ms is None else self.wall_ms() - limits.retain_ms
        self.log.retain(max_bytes=limits.retain_bytes, older_than_ms=older_than, keep_from=self._persisted_offset)
