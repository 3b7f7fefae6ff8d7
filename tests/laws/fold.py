"""A log made once, and ways to fold it: in pieces, with flushes, with forgetful memory, by partitions.

Invariant: a way of folding may differ in when things are done, never in which frames are folded or in their order.
Views are compared as the bytes that would be stored.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from rtp_monolith._native import Core, Log
from rtp_monolith.clock import ManualClock
from rtp_monolith.config import Bots, Config, Events
from rtp_monolith.state.shard_state import ShardState
from tests.simulation.traffic import BASE_MS, Body

CONFIG = Config(
    events=Events(custom=["wishlist"]),
    bots=Bots(contributions_per_item_per_hour_max=3, contributions_per_hour_max=40),
)
ALL = 1 << 30
Views = dict[bytes, bytes]


class Frame(msgspec.Struct, frozen=True):
    """One frame as it lies in the log."""

    offset: int
    kind: int
    partition: int
    raw: bytes


def write_log(data: Path, bodies: Iterable[Body]) -> dict[str, bytes]:
    """Makes a data directory of these bodies; the JSON of every key that they name."""
    state = ShardState.open(data, CONFIG, ManualClock(BASE_MS + 10**10))
    keys: set[str] = set()
    for body in bodies:
        state.ingest_sync(body.kind, body.text, "json", trusted=True)  # type: ignore[arg-type]
        keys |= {record[name] for record in body.records for name in ("user_id", "session_id") if record.get(name)}
    answers = {key: state.user_state(key) for key in sorted(keys)}
    state.close()
    return {key: answer for key, answer in answers.items() if answer is not None}


def read_frames(data: Path) -> list[Frame]:
    """All frames but the markers of groups."""
    log = Log(data / "log", read_only=True)
    frames, offset = [], log.start()
    while offset < log.durable():
        raw, end = log.read(offset, ALL)
        at = 0
        while at < len(raw):
            (covered,) = struct.unpack_from("<I", raw, at)
            kind, _, partition = struct.unpack_from("<BBH", raw, at + 8)
            if kind:
                frames.append(Frame(offset + at, kind, partition, raw[at : at + 8 + covered]))
            at += 8 + covered
        offset = end
    log.close()
    return frames


def new_core() -> Core:
    bots = CONFIG.bots
    return Core(
        custom_types=CONFIG.events.custom,
        per_item_hour_max=bots.contributions_per_item_per_hour_max,
        per_hour_max=bots.contributions_per_hour_max,
    )


def changes(core: Core) -> list[tuple[bytes, bytes | None]]:
    """All that a flush would write, the mark of its beginning left out."""
    if not core.begin_flush():
        return []
    while core.encode_flush(100):
        pass
    core.flush_meta()
    return core.next_changes(ALL)


def flush(core: Core, views: Views) -> None:
    for key, value in changes(core):
        if value is None:
            views.pop(key, None)
        else:
            views[key] = value


def fold(frames: Iterable[Frame], *, flush_every: int = 0, users_max: int = ALL, restart_every: int = 0) -> Views:
    """The views of these frames. 0 means: only at the end, never."""
    views: Views = {}
    core = new_core()
    for n, frame in enumerate(frames, start=1):
        for key_hash, key in core.missing_for_frames(frame.raw, frame.offset):
            if key in views:
                core.load(key_hash, views[key])
        core.replay(frame.raw, frame.offset)
        if flush_every and n % flush_every == 0:
            flush(core, views)
            core.evict(users_max)
        if restart_every and n % restart_every == 0:
            flush(core, views)
            core = new_core()
            for key in sorted(views):
                core.restore(key, views[key])
    flush(core, views)
    return views


def fold_whole(frames: Iterable[Frame], piece_frames: int) -> Views:
    """Several frames in one call, markers between them left out, as a reader of a batched stream would have them."""
    views: Views = {}
    core = new_core()
    held: list[Frame] = []

    def take() -> None:
        if held:
            core.replay(b"".join(frame.raw for frame in held), held[0].offset)
            held.clear()

    for frame in frames:
        if held and (len(held) == piece_frames or held[-1].offset + len(held[-1].raw) != frame.offset):
            take()
        held.append(frame)
    take()
    flush(core, views)
    return views


def select(views: Views, wanted: Callable[[bytes, bytes], bool]) -> Views:
    return {key: value for key, value in views.items() if wanted(key, value)}
