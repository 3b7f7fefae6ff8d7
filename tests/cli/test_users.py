"""`rtp users vectors` and what follows it: a log, a file, a published table, a first list of one's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith.clock import WallClock
from rtp_monolith.config import Config, parse
from rtp_monolith.features.declared import declared
from rtp_monolith.features.taste import Statics
from rtp_monolith.ranking.bundle import load
from rtp_monolith.state.online.reader import OnlineReader
from rtp_monolith.state.online.tables import open_store
from tests.ranking.bundles import DIMENSION, Recipe, clustered, halves
from tests.ranking.conftest import Shop, ids

Rtp = Callable[..., tuple[int, Any]]
TEXT = '[users]\nstatic = 8\n[surfaces.home]\nrank = "off"\n[surfaces.home.sources]\nann_user = {}\ncatalogue = {}\n'


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A stopped shard on which ada wanted i3 and i9, bob i4, and a stranger i5."""
    Recipe(fusion=halves()).write(tmp_path / "models")
    (tmp_path / "shard.toml").write_text(TEXT)
    shop = Shop(tmp_path / "data", parse(TEXT), models=tmp_path / "models")
    shop.did("click", "i3", session="a", user="ada")
    shop.did("purchase", "i9", session="a2", user="ada")
    shop.did("click", "i4", session="b")
    shop.did("click", "i10", session="b", user="bob")
    shop.did("click", "i5", session="anonymous")
    shop.state.close()
    return tmp_path


def written(rtp: Rtp, folder: Path, *more: object) -> tuple[int, Any]:
    return rtp("users", "vectors", "--data", folder / "data", "--bundle", folder / "models/tiny/1", "--out",
               folder / "users.ndjson", "--config", folder / "shard.toml", *more, "--json")  # fmt: skip


def test_the_file_has_every_user_with_a_past(rtp: Rtp, shard: Path) -> None:
    code, report = written(rtp, shard)
    assert code == 0 and (report["users"], report["dimension"]) == (2, DIMENSION)
    rows = {row["user_id"]: row for row in map(json.loads, (shard / "users.ndjson").read_text().splitlines())}
    vectors = clustered()
    for user, items in (("ada", [3, 9]), ("bob", [4, 10])):
        mean = vectors[items].sum(axis=0)
        # The half-life is 30 days, and what was wanted is seconds apart.
        np.testing.assert_allclose(rows[user]["static"], mean / np.linalg.norm(mean), atol=1e-4)
    assert {row["static_space"] for row in rows.values()} == {load(shard / "models/tiny/1").space}
    assert not list(shard.glob(".users*"))


def test_nobody_is_no_file(rtp: Rtp, shard: Path) -> None:
    assert written(rtp, shard, "--until", "2000-01-01T00:00:00Z")[0] == 1
    assert not (shard / "users.ndjson").exists()
    Recipe().write(shard / "models", version="2")
    code, said = rtp("users", "vectors", "--data", shard / "data", "--bundle", shard / "models/tiny/2", "--out",
                     shard / "x", "--json")  # fmt: skip
    assert (code, said["error"]["code"]) == (1, "no_fusion")


def published(rtp: Rtp, folder: Path, version: str) -> None:
    code, said = rtp("features", "publish", folder / "users.ndjson", "--scope", "user", "--version", version, "--data",
                     folder / "data", "--config", folder / "shard.toml", "--json")  # fmt: skip
    assert code == 0 and said["features"] == ["user_static", "user_static_space"]


async def gathered(folder: Path, config: Config, *users: str) -> list[Any]:
    """What lists of these users would read."""

    class Nothing:
        def stage_published(self, ids: list[str], rows: Any, *, first: bool = False) -> None: ...
        def adopt_published(self, expires_ms: list[int]) -> None: ...

    store = open_store(folder / "data", config.online)
    reader = OnlineReader(declared(config).published, store, config.online, WallClock(), Nothing())
    await reader.start()
    found = [await reader.gather(user, 1.0) for user in users]
    await reader.close()
    return found


def test_a_published_past_makes_the_first_list_and_goes_with_the_next_file(rtp: Rtp, shard: Path) -> None:
    assert written(rtp, shard)[0] == 0
    published(rtp, shard, "monday")
    config = parse(TEXT)
    ada, cleo = asyncio.run(gathered(shard, config, "ada", "cleo"))
    statics, space = Statics(declared(config).published.user), load(shard / "models/tiny/1").space
    past = statics.of(ada.user, space, DIMENSION)
    assert past is not None and statics.of(cleo.user, space, DIMENSION) is None
    shop = Shop(shard / "data", config, stocked=False, models=shard / "models")
    body = {"surface": "home", "session_id": "new", "user_id": "ada", "k": 4}
    lists = [_list(shop, body, each) for each in (ada, cleo)]
    near = [f"i{n}" for n in np.argsort(-(clustered() @ past), kind="stable") if n not in (3, 9)]
    assert ids(lists[0]) == near[:4] and {s for each in lists[0]["items"] for s in each["source"]} == {"ann_user"}
    assert {s for each in lists[1]["items"] for s in each["source"]} == {"catalogue"}
    shop.state.close()
    rows = (shard / "users.ndjson").read_text().splitlines()
    (shard / "users.ndjson").write_text("\n".join(row for row in rows if '"ada"' not in row) + "\n")
    published(rtp, shard, "tuesday")
    ada, bob = asyncio.run(gathered(shard, config, "ada", "bob"))
    assert statics.of(ada.user, space, DIMENSION) is None, "who is not in the file any more has no vector"
    assert statics.of(bob.user, space, DIMENSION) is not None


def _list(shop: Shop, body: dict[str, Any], gathered: Any) -> dict[str, Any]:
    from rtp_monolith.records import read_recommend

    work = shop.pipeline.recommend(read_recommend(json.dumps(body).encode()), deadline_ms=1e4, gathered=gathered)
    reply: dict[str, Any] = json.loads(asyncio.run(work))
    return reply
