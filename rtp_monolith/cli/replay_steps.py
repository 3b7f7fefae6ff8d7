"""Recorded traffic played step by step: ask each surface for a list, then send the event, then wait for its answer.

Invariant: the events of a session go out in their order on one connection, and each list is asked with the position
of the last answer, so a list that misses an acknowledged event is the shard's fault. It does not know the command.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from rtp_monolith.cli.client import Client
from rtp_monolith.cli.output import Failure
from rtp_monolith.cli.replay_scores import Acknowledged, SurfaceScore, Tally, mean, percentile
from rtp_monolith.cli.target import Target
from rtp_monolith.ingest.columns import Columns
from rtp_monolith.ingest.files import Format, RowRefused, read_rows
from rtp_monolith.ingest.sessions import RefusedLine, click_event, read_clicks

ASKED_BEFORE = frozenset(("click", "view", "add_to_cart", "purchase", "like"))


class Step(msgspec.Struct, frozen=True):
    """One event as recorded; `target` is the item whose place in the lists counts, None when no list is asked."""

    session_id: str
    user_id: str | None
    target: str | None
    event: dict[str, object]


class ReplayReport(msgspec.Struct, frozen=True):
    """What a replay measured. `stale` lists missed an acknowledged event; it must be 0."""

    file: str
    sessions: int
    steps: int
    evaluations: int
    lists: int
    stale: int
    accepted: int
    duplicates: int
    rejected: dict[str, int]
    ack_ms_mean: float
    ack_ms_p99: float
    took_s: float
    surfaces: list[SurfaceScore]


def session_steps(path: Path, end_ms: int) -> Iterator[Step]:
    """The clicks of a file of sessions; raises Failure at a line that is none."""
    for one in read_clicks(path, end_ms):
        if isinstance(one, RefusedLine):
            raise Failure("bad_file", f"{path.name}, line {one.number}: {one.why.message}")
        yield Step(one.session_id, None, one.item_id, click_event(one))


def event_steps(path: Path, form: Format) -> Iterator[Step]:
    """The events of a table in the order of the file; raises Failure at a row that is none."""
    columns = Columns("events", typed=form in ("jsonl", "parquet"))
    for row in read_rows(path, form):
        event = row.cells if isinstance(row.cells, RowRefused) else columns.record(row.number, row.cells)
        if isinstance(event, RowRefused):
            raise Failure("bad_file", f"{path.name}, row {row.number}: {event.message}")
        if "session_id" not in event:
            raise Failure("bad_file", f"{path.name}, row {row.number}: no session")
        user, item = event.get("user_id"), event.get("item_id")
        asked = event.get("event_type") in ASKED_BEFORE and item is not None
        yield Step(str(event["session_id"]), None if user is None else str(user), str(item) if asked else None, event)


def first_sessions(steps: Iterable[Step], limit: int | None) -> Iterator[Step]:
    """The steps of the sessions that begin first, at most `limit` sessions."""
    known: set[str] = set()
    for step in steps:
        if step.session_id not in known:
            if limit is not None and len(known) >= limit:
                continue
            known.add(step.session_id)
        yield step


class Player:
    """Plays steps on one connection and keeps the sums."""

    def __init__(
        self, client: Client, surfaces: Sequence[str], k: int, position: str, *, impressions: bool = False
    ) -> None:
        """With `impressions` the items of the first surface's list are sent as seen, and what follows credits them."""
        self._client = client
        self._k = k
        self._seen_on = surfaces[0] if impressions else None
        self._seen: list[dict[str, object]] = []
        self._position = position
        self._acknowledged = Acknowledged()
        self._prefixes: dict[str, int] = {}
        self.tallies = {surface: Tally(surface, k) for surface in surfaces}
        self.steps = 0
        self.evaluations = 0
        self.accepted = 0
        self.duplicates = 0
        self.rejected: dict[str, int] = {}
        self.ack_ms: list[float] = []

    @property
    def sessions(self) -> int:
        """How many sessions were met."""
        return len(self._prefixes)

    def play(self, step: Step) -> None:
        """Asks for the lists of a step, then sends its event and waits for the answer."""
        prefix = self._prefixes.setdefault(step.session_id, 0)
        if step.target is not None:
            for surface, tally in self.tallies.items():
                self._ask(surface, tally, step, step.target, prefix)
            self._prefixes[step.session_id] = prefix + 1
            self.evaluations += prefix > 0
            self.steps += 1
        self._send(step)

    def _ask(self, surface: str, tally: Tally, step: Step, target: str, prefix: int) -> None:
        request: dict[str, Any] = {"surface": surface, "session_id": step.session_id, "k": self._k}
        if step.user_id is not None:
            request["user_id"] = step.user_id
        if self._position:
            request["min_position"] = self._position
        started = time.perf_counter()
        reply = self._client.call("POST", "/v1/recommend", msgspec.json.encode(request))
        ms = (time.perf_counter() - started) * 1000
        stale = self._acknowledged.stale(step.user_id, step.session_id, int(reply["state_version"]))
        found = [item["id"] for item in reply["items"]]
        tally.add(found, target, prefix=prefix, stale=stale, ms=ms)
        tally.degraded(reply.get("degraded", []))
        if surface == self._seen_on:
            self._seen = [_impression(step, reply["request_id"], at, item_id) for at, item_id in enumerate(found)]

    def _send(self, step: Step) -> None:
        event = step.event
        seen, self._seen = self._seen, []
        for one in seen:
            if one["item_id"] == event.get("item_id"):
                event = {**event, "request_id": one["request_id"], "position": one["position"]}
        body = msgspec.json.encode([*seen, event] if seen else event)
        started = time.perf_counter()
        reply = self._client.call("POST", "/v1/events", body)
        self.ack_ms.append((time.perf_counter() - started) * 1000)
        self._position = reply["position"] or self._position
        self.duplicates += reply["duplicates"]
        for _ in range(reply["accepted"]):
            self.accepted += 1
            self._acknowledged.accepted(step.user_id, step.session_id)
        for refused in reply["rejected"]:
            self.rejected[refused["code"]] = self.rejected.get(refused["code"], 0) + 1


def _impression(step: Step, request_id: str, at: int, item_id: str) -> dict[str, object]:
    """That an item was in sight, at the moment of the event that it may have led to."""
    who = {} if step.user_id is None else {"user_id": step.user_id}
    return {
        **who,
        "session_id": step.session_id,
        "event_id": f"{request_id}-{at}",
        "event_type": "impression",
        "item_id": item_id,
        "ts_ms": step.event["ts_ms"],
        "request_id": request_id,
        "position": at,
        "schema_version": 2,
    }


def play_all(
    target: Target,
    steps: Iterator[Step],
    surfaces: Sequence[str],
    k: int,
    *,
    position: str,
    connections: int,
    impressions: bool = False,
) -> list[Player]:
    """Plays on so many connections. With more than one all steps are held in memory, a user's stay in order, and those
    of different users may overtake each other."""
    if connections == 1:
        with target.client() as client:
            player = Player(client, surfaces, k, position, impressions=impressions)
            for step in steps:
                player.play(step)
            return [player]
    every = list(steps)
    # A session and the user it is linked to share a lane, also when the user is learned later.
    owner = {step.session_id: step.user_id for step in every if step.user_id is not None}
    lanes: list[list[Step]] = [[] for _ in range(connections)]
    lane_of: dict[tuple[bool, str], int] = {}
    for step in every:
        user = step.user_id or owner.get(step.session_id)
        key = (False, step.session_id) if user is None else (True, user)
        lanes[lane_of.setdefault(key, len(lane_of) % connections)].append(step)

    def play_lane(lane: list[Step]) -> Player:
        with target.client() as client:
            player = Player(client, surfaces, k, position, impressions=impressions)
            for step in lane:
                player.play(step)
            return player

    with ThreadPoolExecutor(max_workers=connections) as pool:
        return list(pool.map(play_lane, lanes))


def report_of(file: str, players: Sequence[Player], took_s: float) -> ReplayReport:
    """The figures over all connections."""
    total = players[0]
    tallies, ack_ms, rejected = total.tallies, list(total.ack_ms), dict(total.rejected)
    for player in players[1:]:
        ack_ms += player.ack_ms
        for surface, tally in player.tallies.items():
            tallies[surface].merge(tally)
        for code, count in player.rejected.items():
            rejected[code] = rejected.get(code, 0) + count
    scores = [tally.score() for tally in tallies.values()]
    return ReplayReport(
        file=file,
        sessions=sum(player.sessions for player in players),
        steps=sum(player.steps for player in players),
        evaluations=sum(player.evaluations for player in players),
        lists=sum(score.lists for score in scores),
        stale=sum(score.stale for score in scores),
        accepted=sum(player.accepted for player in players),
        duplicates=sum(player.duplicates for player in players),
        rejected=rejected,
        ack_ms_mean=round(mean(ack_ms), 3),
        ack_ms_p99=round(percentile(ack_ms, 0.99), 3),
        took_s=round(took_s, 3),
        surfaces=scores,
    )
