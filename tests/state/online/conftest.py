"""Both stores behind one fixture, and the features that the tests publish."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from rtp_monolith.config import Config, Online, parse
from rtp_monolith.state.online.embedded import EmbeddedTables
from rtp_monolith.state.online.redis import RedisTables
from rtp_monolith.state.online.store import TableStore
from tests.conftest import unused_port
from tests.redis_server import RedisServer

DECLARED = """
[features.user.budget]
published = "number"
meaning = "budget of a year"
default = 5.0
ttl = "2d"

[features.user.tier]
published = "text"
words = ["silver", "gold"]
meaning = "loyalty tier"

[features.user.taste]
published = "vector"
length = 3
meaning = "nightly embedding"

[features.item.rate]
published = "number"
meaning = "click rate of a week"
default = 0.5

[features.item.look]
published = "vector"
length = 2
meaning = "embedding of the picture"
ttl = "1h"
"""

Open = Callable[[], TableStore]


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), unused_port()).start()
    yield server
    server.stop()


@pytest.fixture
def config() -> Config:
    return parse(DECLARED)


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TableStore]:
    """A store with nothing in it."""
    made: TableStore
    if request.param == "embedded":
        made = EmbeddedTables(tmp_path / "online")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        made = RedisTables(Online(store="redis", url=server.url, prefix=f"test{hash(str(tmp_path)) & 0xFFFFFFFF:x}"))
    yield made
    await made.close()
