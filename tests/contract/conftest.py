"""One shard per module, and the words in which the tests of the contract speak to it.

Invariant: everything goes over HTTP to a process of its own; nothing of the package is imported. Visitors of different
tests never share a name.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Shard

WISHLIST = '[events]\ncustom = ["wishlist"]\n'
_numbers = itertools.count(1)


def now_ms() -> int:
    """The wall time; events are dated by it."""
    return time.time_ns() // 1_000_000


def fresh(prefix: str = "v") -> str:
    """A name that no other test uses."""
    return f"{prefix}{next(_numbers)}"


def event(event_type: str = "click", **fields: Any) -> dict[str, Any]:
    """A good event with its own id; `fields` replace, None leaves a field out."""
    given = {"event_id": fresh("e"), "session_id": "nobody", "event_type": event_type, "ts_ms": now_ms(), **fields}
    return {name: value for name, value in given.items() if value is not None}


class Talk:
    """A shard as a client sees it."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.call = shard.call

    def send(self, *events: object, status: int = 200, **envelope: Any) -> Any:
        """The reply to events in an array, or in an envelope when it has more to say."""
        body = {"events": events, **envelope} if envelope else list(events)
        return self.expect(status, "POST", "/v1/events", body)

    def expect(self, status: int, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The body of an answer that must have this status."""
        got, answer = self.call(method, path, body, headers)
        assert got == status, answer
        return answer

    def refused(self, status: int, code: str, method: str, path: str, body: object = None, **headers: str) -> Any:
        """The words of a whole request that is refused, checked for their form."""
        answer = self.expect(status, method, path, body, **headers)
        assert set(answer) == {"error"}
        words = answer["error"]
        assert {"code", "message"} <= set(words) <= {"code", "message", "field"}
        assert all(isinstance(each, str) and each for each in words.values())
        assert words["code"] == code, words
        return words

    def put_items(self, *items: dict[str, Any]) -> Any:
        return self.expect(200, "PUT", "/v1/items", list(items))

    def state(self, key: str) -> Any:
        return self.expect(200, "GET", f"/v1/users/{key}/state")

    def recommend(self, session_id: str, **fields: Any) -> Any:
        return self.expect(200, "POST", "/v1/recommend", {"surface": "home", "session_id": session_id, **fields})

    def rank(self, session_id: str, items: list[Any], **fields: Any) -> Any:
        body = {"surface": "home", "session_id": session_id, "items": items, **fields}
        return self.expect(200, "POST", "/v1/rank", body)

    def ids(self, session_id: str, **fields: Any) -> list[str]:
        """The ids of a list, in their order."""
        return [item["id"] for item in self.recommend(session_id, **fields)["items"]]


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """The shard of a module, with the custom type `wishlist`."""
    folder = tmp_path_factory.mktemp("contract")
    config: Path = folder / "shard.toml"
    config.write_text(WISHLIST)
    shard = Shard(folder / "data", folder / "shard.log", ["--config", str(config)]).start()
    try:
        yield Talk(shard)
    finally:
        shard.stop()
