"""Which bundle is served, and how that changes: activation, rollback, restart, and bundles that do not fit."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from rtp_monolith.config import Config, parse
from rtp_monolith.errors import BundleError
from rtp_monolith.ranking import models
from rtp_monolith.ranking.models import Status, Version
from rtp_monolith.records import read_recommend
from tests.ranking.bundles import Recipe, flipped, item_ids, make_bundle

from .conftest import Shop

T = TypeVar("T")
ONE, TWO = Version("tiny", "1"), Version("tiny", "2")


class Place:
    """A folder of bundles and a shard beside it that can be opened again."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.models.mkdir()
        self.data = folder / "data"
        self.shop: Shop | None = None

    def open(self, config: Config | None = None, *, stocked: bool = True) -> Shop:
        self.close()
        self.shop = Shop(self.data, config, stocked=stocked, models=self.models)
        return self.shop

    def close(self) -> None:
        if self.shop is not None:
            self.shop.state.close()
            self.shop = None


@pytest.fixture
def place(tmp_path: Path) -> Any:
    made = Place(tmp_path)
    yield made
    made.close()


def in_loop(shop: Shop, work: Coroutine[Any, Any, T]) -> T:
    """Runs it where the log's commits are heard, as a server does."""

    async def attached() -> T:
        shop.state.attach(asyncio.get_running_loop())
        try:
            return await work
        finally:
            loop, shop.state._loop = shop.state._loop, None
            assert loop is not None and shop.state._ticking is not None
            loop.remove_reader(shop.state.log.wake_fd())
            shop.state._ticking.cancel()

    return asyncio.run(attached())


def served(shop: Shop) -> str:
    return str(shop.home(k=1)["model"]["version"])


def test_the_newest_that_fits_is_served_until_one_is_activated(place: Place) -> None:
    make_bundle(place.models, version="1")
    make_bundle(place.models, version="2")
    flipped(make_bundle(place.models, version="10") / "items.npy")
    shop = place.open()
    assert served(shop) == "2"
    assert shop.models.status() == Status(TWO, None)


def test_without_a_bundle_that_fits_there_is_none(place: Place) -> None:
    flipped(make_bundle(place.models) / "ranker.onnx")
    reply = place.open().home()
    assert (reply["model"]["name"], reply["degraded"]) == ("none", ["no_model"])


def test_an_activation_is_served_at_once_and_after_a_restart(place: Place) -> None:
    for version in ("1", "2"):
        make_bundle(place.models, version=version)
    shop = place.open()
    assert in_loop(shop, shop.models.activate("tiny", "1")) == Status(ONE, TWO)
    assert served(shop) == "1"
    assert served(place.open(stocked=False)) == "1"
    shop = place.open(stocked=False)
    assert in_loop(shop, shop.models.rollback()) == Status(TWO, ONE)
    shop = place.open(stocked=False)
    assert served(shop) == "2"
    assert in_loop(shop, shop.models.rollback()) == Status(ONE, TWO)


def test_there_is_no_rollback_before_a_second_bundle(place: Place) -> None:
    make_bundle(place.models)
    shop = place.open()
    with pytest.raises(BundleError) as refused:
        in_loop(shop, shop.models.rollback())
    assert (refused.value.code, refused.value.status) == ("bundle_no_previous", 409)


@pytest.mark.parametrize(
    ("code", "spoil"),
    [
        ("bundle_missing", lambda folder: shutil.rmtree(folder)),
        ("bundle_truncated", lambda folder: (folder / "items.npy").write_bytes(b"")),
        ("bundle_checksum", lambda folder: flipped(folder / "ranker.onnx")),
        ("bundle_format", lambda folder: (folder / "manifest.json").write_text("[]")),
    ],
)
def test_what_does_not_fit_is_refused_and_the_old_one_stays(place: Place, code: str, spoil: Any) -> None:
    make_bundle(place.models, version="1")
    shop = place.open()
    before = shop.home(k=4)["items"]
    spoil(make_bundle(place.models, version="2"))
    with pytest.raises(BundleError) as refused:
        in_loop(shop, shop.models.activate("tiny", "2"))
    assert refused.value.code == code
    assert (served(shop), shop.home(k=4)["items"]) == ("1", before)
    assert shop.state.core.active_bundle is None, "a refusal is no record"


def test_a_bundle_without_a_head_that_a_surface_values_is_refused(place: Place) -> None:
    make_bundle(place.models, version="1")
    shop = place.open()
    clicks_only = {"item_ctr_1d": (1.0,)}
    make_bundle(place.models, version="2", weights=clicks_only, bias=(0.0,), heads=("click",))
    with pytest.raises(BundleError, match=r"surfaces\.home\.value: 'cart' is not a head") as refused:
        in_loop(shop, shop.models.activate("tiny", "2"))
    assert refused.value.code == "bundle_head_missing"
    off = parse("[surfaces.home]\nrank = 'off'\n[surfaces.home.sources.popular]")
    shop = place.open(off, stocked=False)
    assert in_loop(shop, shop.models.activate("tiny", "2")).active == TWO, "who does not rank needs no heads"


def test_when_the_active_bundle_is_gone_the_one_before_it_is_served(place: Place) -> None:
    for version in ("1", "2", "3"):
        make_bundle(place.models, version=version)
    shop = place.open()
    in_loop(shop, shop.models.activate("tiny", "1"))
    in_loop(shop, shop.models.activate("tiny", "2"))
    place.close()
    flipped(place.models / "tiny" / "2" / "items.npy")
    assert served(place.open(stocked=False)) == "1"


def test_the_listing_says_what_is_there_and_what_is_served(place: Place) -> None:
    make_bundle(place.models, version="1")
    (make_bundle(place.models, version="2") / "manifest.json").write_text("{}")
    shop = place.open()
    listing = shop.models.listing()
    assert [(each.version, each.active, each.metrics) for each in listing.bundles] == [
        ("1", True, {"ndcg": 0.5}),
        ("2", False, {}),
    ]
    described = shop.models.described("tiny", "1")
    assert described.active and described.manifest.embedding.items == 60
    for name, version in (("tiny", "3"), ("../models", "1")):
        with pytest.raises(BundleError) as refused:
            shop.models.described(name, version)
        assert refused.value.code == "bundle_missing"
    text = shop.metrics.render().decode()
    assert 'rtp_bundle_active{name="tiny",version="1"} 1.0' in text


def test_back_and_forth_under_load_no_reply_fails_or_is_mixed(place: Place) -> None:
    """Every reply names the bundle whose ranker made its scores, and its decision names the same."""
    for version, bias in (("1", (-8.0, -8.0, -8.0)), ("2", (8.0, 8.0, 8.0))):
        make_bundle(place.models, version=version, bias=bias)
    shop = place.open(parse("[surfaces.home.sources.new]\n[surfaces.home.sources.catalogue]"))
    replies: list[dict[str, Any]] = []

    async def ask(stop: asyncio.Event) -> None:
        n = 0
        while not stop.is_set():
            body = json.dumps({"surface": "home", "session_id": f"s{n % 7}", "request_id": f"q{n}"}).encode()
            replies.append(json.loads(await shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4)))
            n += 1
            await asyncio.sleep(0)

    async def switch() -> None:
        stop = asyncio.Event()
        asking = asyncio.create_task(ask(stop))
        for version in ("1", "2", "1", "2", "1"):
            status = await shop.models.activate("tiny", version)
            assert status.active == Version("tiny", version)
            seen = len(replies)
            for _ in range(20):
                await asyncio.sleep(0)
            assert len(replies) >= seen + 5
            assert {reply["model"]["version"] for reply in replies[seen:]} == {version}
        stop.set()
        await asking

    in_loop(shop, switch())
    assert len(replies) > 25
    assert {reply["model"]["version"] for reply in replies} == {"1", "2"}
    decided = {decision["request_id"]: decision["bundle"] for decision in shop.decisions()}
    for reply in replies:
        assert reply["degraded"] == [] and len(reply["items"]) == 20
        version = reply["model"]["version"]
        assert decided[reply["request_id"]] == f"tiny/{version}"
        scores = {item["score"] > 1.0 for item in reply["items"]}
        assert scores == {version == "2"}, "the scores are those of the bundle that is named"


def test_lists_are_made_while_the_vectors_of_a_bundle_are_encoded(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2"):
        make_bundle(place.models, version=version)
    shop = place.open()
    monkeypatch.setattr(models, "STAGED_ROWS", 7)
    before = shop.home(session_id="s")
    served_meanwhile: list[str] = []

    async def ask() -> None:
        while True:
            body = json.dumps({"surface": "home", "session_id": "s"}).encode()
            reply = json.loads(await shop.pipeline.recommend(read_recommend(body), deadline_ms=1e4))
            served_meanwhile.append(reply["model"]["version"])
            await asyncio.sleep(0)

    async def switch() -> None:
        asking = asyncio.create_task(ask())
        await shop.models.activate("tiny", "1")
        asking.cancel()

    in_loop(shop, switch())
    assert before["model"]["version"] == "2"
    parts = -(-len(item_ids()) // 7)
    assert parts > 5 and served_meanwhile.count("2") >= parts, "a list between any two parts"
    assert served(shop) == "1"


def test_items_that_the_bundle_does_not_know_are_shown_all_the_same(place: Place) -> None:
    recipe = Recipe(items=item_ids(30))
    recipe.write(place.models)
    shop = place.open()
    assert len(shop.home(k=60)["items"]) == 60
