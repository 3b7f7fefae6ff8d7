"""Items that the bundle was not trained on: their vectors from content, as they were given, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rtp_monolith.errors import BundleError
from rtp_monolith.features.content import Described, bags
from rtp_monolith.ranking.bundle import load
from rtp_monolith.ranking.content import SLICE
from rtp_monolith.records import read_recommend
from tests.ranking.bundles import DIMENSION, Recipe, clustered, edited, make_bundle

from .conftest import CATEGORIES, Shop

ROWS = 1 << 12


def centre(category: str) -> NDArray[np.float32]:
    """Where the trained items of a category stand."""
    mean = clustered()[CATEGORIES.index(category) :: 6].mean(axis=0)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean)
    return unit


def table(sign: float = 1.0) -> NDArray[np.float32]:
    """A content model that knows categories and nothing else."""
    rows = np.zeros((ROWS, DIMENSION), np.float32)
    for category in CATEGORIES:
        rows[bags([Described(categories=[category])], ROWS).tokens[0, 0]] = sign * centre(category)
    return rows


class Cold:
    """A shard whose items come over the loop, as over HTTP."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.data = folder / "data"
        self.shop: Shop | None = None

    def open(self, stocked: bool = True) -> Shop:
        self.close()
        self.shop = Shop(self.data, stocked=stocked, models=self.models)
        return self.shop

    def close(self) -> None:
        if self.shop is not None:
            self.shop.state.close()
            self.shop = None

    def run(self, *work: Callable[[Shop], Any]) -> list[Any]:
        """Steps of a shard that is attached, one after another."""
        shop = self.shop
        assert shop is not None

        async def attached() -> list[Any]:
            loop = asyncio.get_running_loop()
            shop.state.attach(loop)
            shop.models.attach(loop)
            try:
                return [await step(shop) for step in work]
            finally:
                shop.models.close()
                assert shop.state._ticking is not None
                shop.state._ticking.cancel()
                loop.remove_reader(shop.state.log.wake_fd())
                shop.state._loop = None

        return asyncio.run(attached())

    def origin(self, item: str) -> str:
        assert self.shop is not None
        return self.shop.state.core.vector_origin(item)

    def found_for(self, vector: NDArray[np.float32]) -> dict[int, float]:
        """Score of every item that may be found, by number."""
        assert self.shop is not None
        return dict(zip(*(each.tolist() for each in self.shop.state.core.nearest(vector, 1000)), strict=True))

    def row(self, place: int) -> NDArray[np.float32]:
        """The vector of the item that came as the `place`-th."""
        assert self.shop is not None
        return self.shop.state.core.gather(np.array([place], np.uint32))[0]


@pytest.fixture
def cold(tmp_path: Path) -> Iterator[Cold]:
    made = Cold(tmp_path)
    made.models.mkdir()
    yield made
    made.close()


def put(*items: dict[str, Any]) -> Callable[[Shop], Any]:
    return lambda shop: shop.state.ingest("items", json.dumps(items).encode(), "json", trusted=True)


def test_an_item_has_its_vector_when_the_reply_is_there_after_a_restart_and_when_it_changes(cold: Cold) -> None:
    make_bundle(cold.models, content=table())
    cold.open()
    cold.run(put({"id": "new", "categories": ["hats"]}))
    assert (cold.origin("i1"), cold.origin("new"), cold.origin("nobody")) == ("trained", "content", "none")
    np.testing.assert_allclose(cold.row(60), centre("hats"), atol=1e-6)
    cold.open(stocked=False)
    assert cold.origin("new") == "content", "made from the catalogue before anybody asks"
    np.testing.assert_allclose(cold.row(60), centre("hats"), atol=1e-6)
    cold.run(lambda shop: shop.state.patch_item("new", b'{"categories": ["coats"]}'))
    np.testing.assert_allclose(cold.row(60), centre("coats"), atol=1e-6)


def test_what_the_caller_gives_is_used_instead_and_brought_to_the_length_of_the_others(cold: Cold) -> None:
    make_bundle(cold.models, content=table(), vectors=clustered() * 3)
    cold.open()
    sent = [*range(DIMENSION)]
    given = {"id": "new", "categories": ["hats"], "embedding": sent}
    short = {"id": "short", "categories": ["hats"], "embedding": [1.0, 2.0]}
    nothing = {"id": "nothing", "categories": ["hats"], "embedding": [0.0] * DIMENSION}
    own = {"id": "i1", "categories": ["hats"], "embedding": sent}
    cold.run(put(given, short, nothing, own))
    assert [cold.origin(item) for item in ("new", "short", "nothing", "i1")] == [
        *("given", "content", "content", "trained"),
    ]  # fmt: skip
    np.testing.assert_allclose(cold.row(60), 3 * np.array(sent) / np.linalg.norm(sent), rtol=1e-5)
    cold.run(put({"id": "new", "categories": ["hats"]}))
    assert cold.origin("new") == "content"


def test_without_a_content_model_a_given_vector_counts_and_a_category_stands_in(cold: Cold) -> None:
    make_bundle(cold.models)
    cold.open()
    given = {"id": "given", "categories": ["hats"], "embedding": [1.0] * DIMENSION}
    cold.run(put({"id": "new", "categories": ["hats"]}, given, {"id": "bare"}))
    assert [cold.origin(item) for item in ("new", "given", "bare")] == ["category", "given", "none"]
    cold.run(put({"id": "given", "categories": ["hats"]}))
    assert cold.origin("given") == "category"


def test_another_bundle_makes_them_anew(cold: Cold) -> None:
    make_bundle(cold.models, version="1", content=table())
    cold.open()
    many = [{"id": f"new{n}", "categories": [CATEGORIES[n % 6]]} for n in range(3 * SLICE + 1)]
    cold.run(put(*many))
    make_bundle(cold.models, version="2", content=table(-1.0))
    cold.run(lambda shop: shop.models.activate("tiny", "2"))
    for n in range(len(many)):
        np.testing.assert_allclose(cold.row(60 + n), -centre(CATEGORIES[n % 6]), atol=1e-6)
    make_bundle(cold.models, version="3", content=table())
    cold.run(lambda shop: shop.models.try_out("shadow", "tiny", "3", 0.5))
    assert cold.shop is not None
    with cold.shop.models.trials.lent():
        np.testing.assert_allclose(cold.row(60), centre(CATEGORIES[0]), atol=1e-6)
    np.testing.assert_allclose(cold.row(60), -centre(CATEGORIES[0]), atol=1e-6)


def test_a_new_item_is_found_by_those_who_like_its_like(cold: Cold) -> None:
    make_bundle(cold.models, content=table())
    shop = cold.open()
    cold.run(put({"id": "new", "categories": ["hats"]}, {"id": "other", "categories": ["coats"]}))
    shop.did("click", "i1")
    reply = shop.home(k=50, explain=True)
    places = [item["id"] for item in reply["items"]]
    assert places.index("new") < places.index("other")
    told = {item["id"]: item["explain"]["vector"] for item in reply["items"]}
    assert (told["new"], told["i7"]) == ("content", "trained")


def test_the_second_list_of_a_stranger_is_of_what_was_clicked(cold: Cold) -> None:
    """The first list knows the context alone; one click moves the list towards the category of the click."""
    make_bundle(cold.models, content=table())
    shop = cold.open()
    cold.run(put({"id": "new", "categories": ["rings"]}))
    for n, country in ((1, "no"), (4, "fr")):
        for visitor in range(30):
            shop.did("click", f"i{n + 6 * (visitor % 3)}", session=f"{country}{visitor}", props={"country": country})
    shop.clock.advance(120_000)
    first = {country: _list(shop, f"stranger-{country}", country) for country in ("no", "fr")}
    assert first["no"] != first["fr"]
    assert first["no"][0] in ("i1", "i7", "i13") and first["fr"][0] in ("i4", "i10", "i16")
    shop.did("click", "new", session="stranger-no", props={"country": "no"})
    second = _list(shop, "stranger-no", "no")
    before, after = (sum(_category(item) == "rings" for item in made[:8]) for made in (first["no"], second))
    assert after >= before + 4, (first["no"], second)


def _list(shop: Shop, session: str, country: str) -> list[str]:
    body = {"surface": "home", "session_id": session, "k": 20, "context": {"country": country}}
    made = asyncio.run(shop.pipeline.recommend(read_recommend(json.dumps(body).encode()), deadline_ms=1e4))
    return [item["id"] for item in json.loads(made)["items"]]


def _category(item: str) -> str:
    return "rings" if item == "new" else CATEGORIES[int(item[1:]) % 6]


def test_a_content_model_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    def refused(recipe: Recipe, version: str, change: Callable[[dict[str, Any]], None] = lambda _: None) -> str:
        folder = recipe.write(tmp_path, version=version)
        edited(folder, change)
        with pytest.raises(BundleError) as error:
            load(folder)
        return error.value.code

    assert load(Recipe(content=table()).write(tmp_path)).maker.graph is not None
    assert load(Recipe().write(tmp_path, version="plain")).maker.graph is None
    other = Recipe(content=table())
    other.manifest["content"]["tokens"] = "of another time"
    assert refused(other, "2") == "bundle_feature_differs"
    off = Recipe(content=table())
    off.probe["content_vectors"] += 0.1
    assert refused(off, "3") == "bundle_probe"
    large = Recipe(content=table())
    large.manifest["content"]["rows"] = ROWS + 1
    assert refused(large, "4") == "bundle_shape"
    wide = Recipe(content=np.zeros((ROWS, DIMENSION + 1), np.float32))
    assert refused(wide, "5") == "bundle_shape"
    assert refused(Recipe(content=table()), "6", lambda said: said["files"].pop("content.onnx")) == "bundle_format"
    nan = Recipe(content=np.full((ROWS, DIMENSION), np.nan, np.float32))
    assert refused(nan, "7") == "bundle_not_finite"
