"""The demo's five places on its own shop, with a bundle that knows its items: each shows what it is for."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rtp_monolith import config as configuration
from rtp_monolith.cli.demo import SURFACES
from rtp_monolith.clock import WallClock
from rtp_monolith.demo.serve import Recipe as ShopRecipe
from rtp_monolith.demo.serve import ShopFolder
from rtp_monolith.demo.shop import generate_items
from rtp_monolith.metrics import Metrics
from rtp_monolith.ranking.models import Models
from rtp_monolith.ranking.pipeline import Pipeline
from rtp_monolith.records import read_recommend
from rtp_monolith.state.shard_state import ShardState
from tests.ranking.bundles import Recipe

ITEMS, EVENTS = 300, 3000


class Demo:
    """The shop as `rtp demo` opens it, without HTTP."""

    def __init__(self, folder: Path) -> None:
        clock = WallClock()
        config = configuration.load(SURFACES)
        shop = ShopFolder(folder / "demo", ShopRecipe(items=ITEMS, events=EVENTS), clock.wall_ms())
        made = generate_items(ITEMS, seed=7, end_ms=clock.wall_ms())
        self.items: dict[str, dict[str, Any]] = {}
        bundle = Recipe(items=[item.id for item in made], vectors=vectors_by_category(made))
        bundle.write(folder / "models", "demo-shop", "1")
        self.state = ShardState.open(shop.shard, config, clock)
        shop.fill(self.state, clock.wall_ms())
        shop.close()
        models = Models(self.state, config, clock, Metrics(), folder / "models")
        models.start()
        self.pipeline = Pipeline(self.state, config, clock, Metrics(), models)
        self.clock = clock
        for item in made:
            self.items[item.id] = json.loads(self.state.item(item.id) or b"")

    def list(self, surface: str, session: str = "s", **context: Any) -> list[dict[str, Any]]:
        body = json.dumps({"surface": surface, "session_id": session, "context": context}).encode()
        reply = json.loads(asyncio.run(self.pipeline.recommend(read_recommend(body), deadline_ms=1e4)))
        assert reply["model"] == {"name": "demo-shop", "version": "1"} and "no_model" not in reply["degraded"]
        found: list[dict[str, Any]] = reply["items"]
        return found

    def did(self, kind: str, session: str, *items: str) -> None:
        now = self.clock.wall_ms()
        who = {"session_id": session, "event_type": kind, "ts_ms": now}
        events = [{**who, "event_id": f"{session}{kind}{item}", "item_id": item} for item in items]
        assert self.state.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True).rejected == []

    def category(self, item: str) -> str:
        return str(self.items[item]["categories"][0])

    def in_category(self, path: str) -> list[str]:
        return [item for item in self.items if self.category(item) == path]


def vectors_by_category(items: list[Any]) -> Any:
    """Items of a category stand together."""
    rng = np.random.default_rng(3)
    centres: dict[str, Any] = {}
    rows = [centres.setdefault(item.categories[0], rng.normal(size=8)) + 0.2 * rng.normal(size=8) for item in items]
    points = np.array(rows)
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    made = Demo(tmp_path_factory.mktemp("demo"))
    yield made
    made.state.close()


def test_each_place_has_its_own_size(demo: Demo) -> None:
    some = next(iter(demo.items))
    sizes = {
        "home": len(demo.list("home")),
        "search": len(demo.list("search", query="the")),
        "product": len(demo.list("product", item_id=some)),
        "cart": len(demo.list("cart", cart=[some])),
    }
    assert sizes == {"home": 24, "search": 24, "product": 12, "cart": 8}


def test_one_click_makes_the_home_page_personal(demo: Demo) -> None:
    item = max(demo.items, key=lambda each: len(demo.in_category(demo.category(each))))
    alike = demo.category(item)

    def share(session: str) -> float:
        found = demo.list("home", session)
        return sum(demo.category(each["id"]) == alike for each in found) / len(found)

    before = share("clicker")
    demo.did("click", "clicker", item)
    assert share("clicker") > before


def test_a_category_page_holds_its_category_and_what_was_clicked(demo: Demo) -> None:
    path = demo.category(next(iter(demo.items)))
    inside = demo.in_category(path)
    demo.did("click", "browser", inside[0])
    found = [each["id"] for each in demo.list("category", "browser", category=path)]
    assert set(found) <= set(inside) and len(found) == min(24, len(inside))
    assert len(inside) > 24 or inside[0] in found


def test_a_search_finds_the_words_and_prefers_what_is_liked(demo: Demo) -> None:
    titles = {item: demo.items[item]["title"].lower() for item in demo.items}
    words = Counter(word for title in titles.values() for word in set(title.split()) if len(word) > 3)
    word = words.most_common(1)[0][0]
    found = demo.list("search", query=word)
    matching = [each for each in found if "text" in each["source"]]
    assert matching
    for each in matching:
        assert word in f"{titles[each['id']]} {demo.items[each['id']].get('description', '')}".lower()
    assert matching == found[: len(matching)], "what matches comes first"


def test_the_cart_offers_what_goes_with_it_and_not_what_is_in_it(demo: Demo) -> None:
    one, two, bought, also = list(demo.items)[:4]
    for n in range(4):
        demo.did("click", f"pair{n}", one, also)
    demo.did("purchase", "buyer", bought)
    found = [each["id"] for each in demo.list("cart", "buyer", cart=[one, two])]
    assert not {one, two, bought} & set(found)
    offered = {each["id"]: each["source"] for each in demo.list("cart", "buyer", cart=[one])}
    assert any("covis" in source for source in offered.values())


def test_the_product_page_does_not_show_its_product(demo: Demo) -> None:
    some = next(iter(demo.items))
    assert some not in [each["id"] for each in demo.list("product", item_id=some)]
