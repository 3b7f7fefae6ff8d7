"""Many lives of one data directory: traffic, a sudden death, recovery, and the comparison with the oracle.

Invariant: the oracle hears of a body when the shard acknowledged it, and of nothing else; a body that was not
acknowledged is sent again, unchanged, in the next life. It does not know how the shard dies.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from tests.simulation.oracle import Oracle
from tests.simulation.shards import Connection, Process
from tests.simulation.traffic import Body, Client

CLIENTS = 12
EVENTS_PER_BODY = 100
IN_FLIGHT_MIN = 1_000
KEYS_PER_CALL = 40
PER_ITEM_HOUR_MAX = 3
PER_HOUR_MAX = 40
CONFIG = f"""
[events]
custom = ["wishlist"]
[bots]
contributions_per_item_per_hour_max = {PER_ITEM_HOUR_MAX}
contributions_per_hour_max = {PER_HOUR_MAX}
[state]
flush_interval_ms = 5
users_cached_max = 60
[log]
segment_bytes = 65536
"""


class Lineage:
    """The lives of one shard. `damage` is done to the directory after each death."""

    def __init__(self, seed: int, shard: Process, damage: Callable[[], None] = lambda: None) -> None:
        self.seed = seed
        self.shard = shard
        self.oracle = Oracle(PER_ITEM_HOUR_MAX, PER_HOUR_MAX)
        self.clients = [Client(seed, f"{n}") for n in range(CLIENTS)]
        self.deaths = 0
        self.in_flight: list[int] = []
        self.opened_s: list[float] = []
        self.acknowledged = 0
        self._damage = damage
        self._rng = Random(f"{seed}/deaths")
        self._waiting: dict[str, Body] = {}
        self._acks = 0
        self._enough = asyncio.Event()

    def run(self, deaths: int, compare_every: int = 10) -> None:
        """So many deaths, with a comparison of everything now and then and at the end."""
        for _ in range(deaths):
            try:
                self._start()
                asyncio.run(self._live())
                self.shard.kill()
                self._damage()
                self.deaths += 1
                if self.deaths % compare_every == 0:
                    self.settle()
                    self.shard.kill()
                    self._damage()
            except BaseException as error:
                error.add_note(f"seed {self.seed}, after {self.deaths} deaths")
                raise

    def settle(self) -> None:
        """Starts; everything unacknowledged is sent until it is acknowledged; then shard and oracle know the same."""
        self._start()
        asyncio.run(self._settle())

    def report(self) -> str:
        opened = ""
        if self.opened_s:
            ms = [s * 1e3 for s in self.opened_s]
            opened = f", restart {statistics.median(ms):.1f} ms median, {max(ms):.1f} ms at most"
        return (
            f"seed {self.seed}: {self.deaths} deaths, {min(self.in_flight)} to {max(self.in_flight)} events in flight, "
            f"{self.acknowledged} records acknowledged{opened}"
        )

    def _start(self) -> None:
        opened_s = self.shard.start()
        if opened_s is not None:
            self.opened_s.append(opened_s)

    async def _live(self) -> None:
        await self._check_bounds()
        self._acks, self._enough = self._rng.randrange(5), asyncio.Event()
        tasks = [asyncio.create_task(self._chatter(client)) for client in self.clients]
        died = asyncio.create_task(self._enough.wait())
        await asyncio.wait([died, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(self._rng.random() * 0.006)
        # A count over all clients is waited for, which no single event tells of.
        while (in_flight := self._in_flight()) < IN_FLIGHT_MIN and not any(t.done() for t in tasks):  # noqa: ASYNC110
            await asyncio.sleep(0)
        self.in_flight.append(in_flight)
        for task in [died, *tasks]:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if not isinstance(outcome, asyncio.CancelledError):
                raise AssertionError(f"a client ended before the shard was killed: {outcome!r}") from outcome
        assert in_flight >= IN_FLIGHT_MIN

    def _in_flight(self) -> int:
        return sum(len(body) for body in self._waiting.values() if body.kind == "events")

    async def _chatter(self, client: Client) -> None:
        connection = await self.shard.connect()
        try:
            while True:
                await self._exchange(client, connection)
                self._acks -= 1
                if self._acks < 0:
                    self._enough.set()
        finally:
            connection.close()

    async def _exchange(self, client: Client, connection: Connection) -> None:
        """Sends what waits, or something new, and tells the oracle when it is acknowledged."""
        again = client.name in self._waiting
        if not again:
            self._waiting[client.name] = client.body(EVENTS_PER_BODY)
        body = self._waiting[client.name]
        reply = await connection.send(body)
        del self._waiting[client.name]
        new = body.tell(self.oracle)
        self.acknowledged += new
        assert len(reply["rejected"]) == body.refused, reply
        assert reply["accepted"] + reply["duplicates"] == len(body) - body.refused, reply
        if again:
            assert reply["accepted"] <= new, f"{reply} where {new} were new"
        else:
            assert reply["accepted"] == new, f"{reply} where {new} were new"

    async def _check_bounds(self) -> None:
        """Right after recovery: all that was acknowledged, and at most what was on its way besides."""
        known = {person.key: person.version for person in self.oracle.users.values()}
        # A sign-in that was on its way brings along what its session did before, which was acknowledged to the session.
        joining = sum(person.version for person in self.oracle.visitors.values())
        maybe = joining + sum(len(body) for body in self._waiting.values())
        versions = await self.shard.versions(known)
        surplus = 0
        for key, version in known.items():
            seen = versions[key]
            assert seen >= version, f"{key}: {version} events acknowledged, {seen} known"
            surplus += seen - version
        assert surplus <= maybe, f"{surplus} events more than acknowledged, {maybe} were on their way"

    async def _settle(self) -> None:
        for client in self.clients:
            if client.name in self._waiting:
                connection = await self.shard.connect()
                await self._exchange(client, connection)
                connection.close()
        expected = self.oracle.states()
        for keys in batched(list(expected), KEYS_PER_CALL):
            found = await self.shard.states(keys)
            for key in keys:
                check_state(key, found[key], expected[key])
        linked = self._rng.sample(sorted(self.oracle.linked), min(len(self.oracle.linked), KEYS_PER_CALL))
        versions = await self.shard.versions(linked)
        for session in linked:
            user = self.oracle.linked[session]
            assert versions[session] == self.oracle.users[user].version, f"{session} is linked to {user}"
        items = await self.shard.items(self.oracle.items)
        for key, item in self.oracle.items.items():
            assert {name: (items[key] or {}).get(name) for name in item} == item


def batched(keys: list[str], n: int) -> Iterator[list[str]]:
    return (keys[at : at + n] for at in range(0, len(keys), n))


def first_difference(found: Any, want: Any) -> str:
    """The first place at which two lists differ, or the two values."""
    if isinstance(found, list) and isinstance(want, list):
        for at, (mine, theirs) in enumerate(zip(found, want, strict=False)):
            if mine != theirs:
                return f"{mine} at {at}, acknowledged {theirs} (of {len(found)} and {len(want)})"
        return f"{len(found)} long, acknowledged {len(want)}"
    return f"{found}, acknowledged {want}"


def check_state(key: str, found: dict[str, Any] | None, want: dict[str, Any] | None) -> None:
    """The parts that the contract names; the first one that differs is shown."""
    if want is None or found is None:
        assert found == want, f"{key}: {found} where {want} was acknowledged"
        return
    for name in ("user_id", "state_version", "counts", "attributes"):
        assert found[name] == want[name], f"{key}: {name} is {found[name]}, acknowledged {want[name]}"
    assert [s["session_id"] for s in found["sessions"]] == [s["session_id"] for s in want["sessions"]], key
    for mine, theirs in zip(found["sessions"], want["sessions"], strict=True):
        seen = {name: mine[name] for name in theirs}
        for name, wanted in theirs.items():
            assert seen[name] == wanted, (
                f"{key}, session {theirs['session_id']}: {name} is {first_difference(seen[name], wanted)}"
            )
