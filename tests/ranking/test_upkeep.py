"""What is done beside the lists: words indexed, a graph built by a child where the catalogue is large."""

from __future__ import annotations

import asyncio
import time

import pytest

from rtp_monolith.ranking import nearest
from rtp_monolith.ranking.upkeep import Graphs

from .conftest import OpenShop, Shop, ids

SEARCH = """
[surfaces.search.sources]
text = {}
[surfaces.home.sources]
ann = { quota = 20 }
catalogue = {}
"""


def test_new_items_are_indexed_a_few_at_a_time(open_shop: OpenShop) -> None:
    shop = open_shop(SEARCH)
    shop.put(*[Shop.item(n, title=f"umbrella {n}") for n in range(60)])
    asyncio.run(shop.models.upkeep.tick())
    assert shop.state.core.index_text(0) == 0, "nothing is left"
    assert len(ids(shop.home(surface="search", context={"query": "umbrella"}, k=20))) == 20


def until_built(shop: Shop, graphs: Graphs | None = None) -> None:
    upkeep = shop.models.upkeep
    graphs = graphs or upkeep.graphs
    give_up = time.monotonic() + 60
    asyncio.run(upkeep.tick())
    while graphs.building and time.monotonic() < give_up:
        time.sleep(0.05)
        asyncio.run(upkeep.tick())


def test_where_a_graph_is_quicker_the_lists_ask_it(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "SCAN_ONLY_MAX", 10)
    monkeypatch.setattr(
        nearest.Nearest, "_took_s", lambda self, find, queries: float("graph" not in find.__code__.co_freevars)
    )
    shop = open_shop(SEARCH)
    shop.did("click", "i1")
    scanned = ids(shop.home(k=9))
    until_built(shop)
    upkeep = shop.models.upkeep
    graphs = upkeep.graphs
    assert graphs.nearest.graph is not None and len(graphs.nearest.graph) == 60
    assert ids(shop.home(k=9)) == scanned
    shop.put(Shop.item(7, available=False))
    asyncio.run(upkeep.tick())
    assert "i7" not in ids(shop.home(k=9))
    graphs.vectors_changed()
    assert graphs.nearest.graph is None


def test_where_the_scan_is_quicker_it_stays(open_shop: OpenShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "SCAN_ONLY_MAX", 10)
    monkeypatch.setattr(
        nearest.Nearest, "_took_s", lambda self, find, queries: float("graph" in find.__code__.co_freevars)
    )
    shop = open_shop(SEARCH)
    until_built(shop)
    assert shop.models.upkeep.graphs.nearest.graph is None
    asyncio.run(shop.models.upkeep.tick())
    assert not shop.models.upkeep.graphs.building, "it is not built again"
