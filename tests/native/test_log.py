"""The log as Python sees it. Its laws are tested in Rust (`native/tests/log_*.rs`); here the border is.

Invariant: nothing but this package's exceptions comes out of the wrapper.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from rtp_monolith._native import Log
from rtp_monolith.errors import NativeError


def write(log: Log, *bodies: bytes) -> int:
    end = 0
    for i, body in enumerate(bodies):
        end = log.append_frame(1, 7, 42, 1000 + i, body)
    assert log.wait_durable(end, 60_000)
    return end


def reason(refused: Callable[[], object]) -> str:
    with pytest.raises(NativeError) as caught:
        refused()
    return caught.value.reason


def test_frames_come_back_after_reopening(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    assert (log.start(), log.end(), log.durable(), log.failure()) == (0, 0, 0, None)
    first = write(log, b"abc")
    assert first == 44 + 28 + 3
    end = write(log, b"")
    log.close()
    log = Log(tmp_path / "log", read_only=True)
    assert log.recovery() == (0, 0, [])
    assert (log.end(), log.size_bytes(), log.segments()) == (end, end, [(0, end)])
    assert log.frames(0, 1 << 20) == [
        (44, first, 1, 7, 42, 1000, b"abc"),
        (first + 44, end, 1, 7, 42, 1000, b""),
    ]
    assert log.frames(first, 1) == [(first + 44, end, 1, 7, 42, 1000, b"")]
    assert log.frames(end, 100) == []
    data, following = log.read(0, 1 << 20)
    assert (len(data), following) == (end, end)
    assert log.verify() == (end, 2, [])


async def test_the_loop_is_woken_after_a_group(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    loop = asyncio.get_running_loop()
    woken = asyncio.Event()
    loop.add_reader(log.wake_fd(), woken.set)
    try:
        end = log.append_frame(1, 0, 0, 1, b"x")
        await asyncio.wait_for(woken.wait(), 60)
    finally:
        loop.remove_reader(log.wake_fd())
    assert log.drain_wake() >= 1
    assert log.durable() == end


def test_what_is_refused_has_a_code(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", segment_bytes=1)
    ends = [write(log, b"body") for _ in range(3)]
    assert reason(lambda: Log(tmp_path / "log")) == "log_locked"
    assert reason(lambda: log.append_frame(0, 0, 0, 0, b"")) == "bad_frame"
    assert reason(lambda: log.append_frame(64, 0, 0, 0, b"")) == "bad_frame"
    assert reason(lambda: log.read(ends[-1] + 1, 10)) == "offset_beyond_end"
    assert reason(lambda: log.read(1, 10)) == "log_corrupt"
    reader = Log(tmp_path / "log", read_only=True)
    assert reason(lambda: reader.append_frame(1, 0, 0, 0, b"")) == "disk_read_only"
    assert log.retain(max_bytes=0, older_than_ms=None, keep_from=ends[0]) == ends[0]
    assert reason(lambda: log.read(0, 10)) == "offset_gone"
    log.close()
    assert reason(lambda: log.append_frame(1, 0, 0, 0, b"")) == "log_closed"


def test_damage_is_an_error_and_salvage_lists_it(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", recorder=tmp_path / "recorder")
    write(log, b"one")
    end = write(log, b"two")
    log.close()
    recorded = dict(line.split() for line in (tmp_path / "recorder").read_text().splitlines())
    assert recorded == {"00000000000000000000.log": str(end), "synced": "12"}
    path = tmp_path / "log" / "00000000000000000000.log"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    assert reason(lambda: Log(tmp_path / "log")) == "log_corrupt"
    log = Log(tmp_path / "log", salvage=True)
    assert log.recovery() == (0, 0, [(44, 75, "a frame whose checksum does not hold")])
    assert [row[-1] for row in log.frames(0, 1 << 20)] == [b"two"]
