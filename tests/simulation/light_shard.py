"""A shard without HTTP for tests that kill it often: a parent that has imported everything forks one shard per life.

Invariant: a shard answers a line only with what `ShardState` answered. The parent opens no data directory and starts no
thread, so that each child begins as a fresh process would.

Lines of JSON. Parent: `{"op": "start", …}` → the child's `{"ready": pid, "open_s": s}` or `{"failed": text}`;
`{"op": "reap", "pid"}` → `{"reaped": pid}`. Shard, on its socket: `ingest`, `states`, `versions`, `items`, `close`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rtp_monolith import config as configuration
from rtp_monolith.clock import WallClock
from rtp_monolith.errors import RtpError
from rtp_monolith.state import flusher, shard_state, store
from rtp_monolith.state.shard_state import ShardState

LINE_BYTES_MAX = 1 << 24


def tell(message: dict[str, Any]) -> None:
    """One line, in one write: parent and child share the pipe."""
    os.write(1, json.dumps(message).encode() + b"\n")


def hurry(order: dict[str, Any]) -> None:
    """Flushes, memtable switches and slices so small that kills meet them half done."""
    shard_state.TICK_S = order["tick_s"]
    store.SWITCH_BYTES = order["switch_bytes"]
    flusher.SLICE_RECORDS = order["slice_records"]


class Service:
    """Answers the lines of any number of connections."""

    def __init__(self, state: ShardState) -> None:
        self._state = state
        self._closed = asyncio.Event()

    async def serve(self, socket: str, open_s: float) -> None:
        self._state.attach(asyncio.get_running_loop())
        server = await asyncio.start_unix_server(self._converse, socket, limit=LINE_BYTES_MAX)
        tell({"ready": os.getpid(), "open_s": open_s})
        await self._closed.wait()
        server.close()
        self._state.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A client that is gone, or the end of this shard, ends a conversation without a word.
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._talk(reader, writer)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            try:
                answer = await self._answer(json.loads(line))
            except RtpError as error:
                answer = {"error": error.code, "message": error.message}
            except Exception:
                answer = {"error": "exception", "message": traceback.format_exc()}
            writer.write(json.dumps(answer).encode() + b"\n")

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["op"] == "ingest":
            reply = await self._state.ingest(request["kind"], request["body"].encode(), "json", trusted=True)
            rejected = [one.code for one in reply.rejected]
            return {"accepted": reply.accepted, "duplicates": reply.duplicates, "rejected": rejected}
        if request["op"] == "close":
            self._closed.set()
            return {}
        answers = {}
        for key in request["keys"]:
            found = self._state.item(key) if request["op"] == "items" else self._state.user_state(key)
            answers[key] = None if found is None else json.loads(found)
        if request["op"] == "versions":
            return {key: state["state_version"] if state else 0 for key, state in answers.items()}
        return answers


def live(order: dict[str, Any]) -> int:
    """One life of a shard, in the child."""
    hurry(order)
    try:
        config = configuration.parse(order["config"])
        started = time.perf_counter()
        state = ShardState.open(Path(order["data"]), config, WallClock())
        asyncio.run(Service(state).serve(order["socket"], time.perf_counter() - started))
    except BaseException:
        tell({"failed": traceback.format_exc()})
        return 1
    return 0


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        if order["op"] == "reap":
            os.waitpid(order["pid"], 0)
            tell({"reaped": order["pid"]})
        elif os.fork() == 0:
            os._exit(live(order))


if __name__ == "__main__":
    main()
