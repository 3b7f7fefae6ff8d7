from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import numpy as np
import pytest

from rtp_monolith.clock import WallClock
from rtp_monolith.config import parse
from rtp_monolith.records import RankRequest, RecommendRequest
from rtp_monolith.serving.ports import Online, Shard
from rtp_monolith.state.online.reader import Gathered
from tests.serving.fakes import Shop

ASKED = {"surface": "home", "session_id": "s"}
BOTH = pytest.mark.parametrize("path", ["/v1/recommend", "/v1/rank"])


def body(path: str, **more: Any) -> dict[str, Any]:
    return ASKED | ({"items": ["a"]} if path == "/v1/rank" else {}) | more


async def test_a_list_is_asked_with_every_field() -> None:
    shop = Shop()
    asked = {
        "surface": "product", "user_id": "u", "session_id": "s", "k": 5,
        "context": {"item_id": "i", "query": "q", "cart": ["a", "b"], "category": "c > d", "device": "phone",
                    "country": "NL", "channel": "mail", "app_version": "1.2", "campaign": "x"},
        "filter": {"field": "price", "op": "lt", "value": 5}, "exclude": ["x"], "min_position": "p0",
        "explain": True, "request_id": "r1",
    }  # fmt: skip
    answer = await shop.ask("POST", "/v1/recommend", json=asked)
    assert (answer.status_code, answer.json()) == (200, {"items": []})
    (request,) = shop.lists.asked
    assert isinstance(request, RecommendRequest)
    assert (request.surface, request.user_id, request.session_id, request.k) == ("product", "u", "s", 5)
    assert json.loads(request.filter_json or b"") == asked["filter"]
    assert (request.exclude, request.explain, request.request_id) == (["x"], True, "r1")
    assert request.context is not None
    assert (request.context.cart, request.context.category) == (["a", "b"], "c > d")
    assert shop.state.waited_for == ["p0"]


async def test_what_is_absent_null_or_empty_is_the_default() -> None:
    shop = Shop()
    empty = {
        "user_id": "",
        "context": {"item_id": "", "query": None},
        "filter": None,
        "min_position": "",
        "request_id": None,
    }
    assert (await shop.ask("POST", "/v1/recommend", json=ASKED | empty)).status_code == 200
    (request,) = shop.lists.asked
    assert isinstance(request, RecommendRequest)
    assert (request.k, request.user_id, request.filter_json, request.exclude) == (None, None, None, None)
    assert (request.min_position, request.request_id, request.explain) == (None, None, False)
    assert request.context is not None
    assert (request.context.item_id, request.context.query) == (None, None)
    assert shop.state.waited_for == []


async def test_rank_takes_ids_and_objects_and_ignores_k_filter_and_exclude() -> None:
    shop = Shop()
    items: list[Any] = ["a", {"id": "b", "price": 3, "attributes": {"size": ["s", "m"]}}, "a"]
    asked = ASKED | {"items": items, "k": 9999, "filter": "nonsense", "exclude": {"a": 1}}
    assert (await shop.ask("POST", "/v1/rank", json=asked)).status_code == 200
    (request,) = shop.lists.asked
    assert isinstance(request, RankRequest)
    assert (request.ids(), request.items) == (["a", "b", "a"], items)


async def test_rank_takes_a_thousand_items_and_none() -> None:
    shop = Shop()
    for count in (0, 1000):
        asked = ASKED | {"items": [f"i{n}" for n in range(count)]}
        assert (await shop.ask("POST", "/v1/rank", json=asked)).status_code == 200
    assert [len(each.items) for each in shop.lists.asked if isinstance(each, RankRequest)] == [0, 1000]


@BOTH
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"surface": None}, "missing_field"),
        ({"surface": ""}, "missing_field"),
        ({"session_id": ""}, "missing_field"),
        ({"session_id": 3}, "wrong_type"),
        ({"session_id": "é" * 129}, "too_long"),
        ({"user_id": "u" * 129}, "too_long"),
        ({"colour": "red"}, "unknown_field"),
        ({"context": {"weather": "rain"}}, "unknown_field"),
        ({"context": {"cart": "a"}}, "wrong_type"),
        ({"context": []}, "wrong_type"),
        ({"explain": "yes"}, "wrong_type"),
    ],
)
async def test_a_wrong_field_is_refused(path: str, more: dict[str, Any], code: str) -> None:
    shop = Shop()
    answer = await shop.ask("POST", path, json=body(path, **more))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, code)
    assert answer.json()["error"]["field"].split(".")[0] == next(iter(more))
    assert shop.lists.asked == []


@BOTH
@pytest.mark.parametrize("name", ["surface", "session_id"])
async def test_a_missing_field_is_named(path: str, name: str) -> None:
    asked = body(path)
    del asked[name]
    answer = await Shop().ask("POST", path, json=asked)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "missing_field")
    assert answer.json()["error"]["field"] == name


@pytest.mark.parametrize("k", [0, -1, 201, 10**30])
async def test_k_has_a_range(k: int) -> None:
    assert await Shop().code("POST", "/v1/recommend", json=ASKED | {"k": k}) == (422, "out_of_range")


@pytest.mark.parametrize("k", [1, 200])
async def test_the_ends_of_the_range_are_in_it(k: int) -> None:
    assert (await Shop().ask("POST", "/v1/recommend", json=ASKED | {"k": k})).status_code == 200


@pytest.mark.parametrize("k", ["5", 1.5, True])
async def test_k_is_a_whole_number(k: Any) -> None:
    assert await Shop().code("POST", "/v1/recommend", json=ASKED | {"k": k}) == (422, "wrong_type")


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([f"i{n}" for n in range(1001)], "out_of_range"),
        ([""], "missing_field"),
        ([{"price": 1}], "missing_field"),
        ([{"id": 7}], "wrong_type"),
        ([7], "wrong_type"),
        ("a", "wrong_type"),
        (["i" * 129], "too_long"),
    ],
)
async def test_items_of_rank_are_checked(items: Any, code: str) -> None:
    assert await Shop().code("POST", "/v1/rank", json=ASKED | {"items": items}) == (422, code)


async def test_rank_without_items_misses_a_field() -> None:
    assert await Shop().code("POST", "/v1/rank", json=ASKED) == (422, "missing_field")


@BOTH
@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"surface":"\xff"}', b'{"filter":' + b"[" * 200_000, b"{} {}"]
)
async def test_what_is_not_a_json_object_is_malformed(path: str, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert await Shop().code("POST", path, content=content, headers=headers) == (400, "malformed_body")


@BOTH
async def test_an_unknown_surface_is_not_found(path: str) -> None:
    assert await Shop().code("POST", path, json=body(path, surface="cellar")) == (404, "unknown_surface")


@BOTH
async def test_lists_are_asked_in_json_only(path: str) -> None:
    answer = await Shop().code("POST", path, content=b"{}", headers={"content-type": "application/msgpack"})
    assert answer == (415, "unsupported_media_type")


@BOTH
async def test_a_position_not_reached_in_time_is_said(path: str) -> None:
    shop = Shop()
    shop.state.reaches = False
    assert (await shop.ask("POST", path, json=body(path, min_position="p9"))).status_code == 200
    assert shop.lists.degraded == [("stale_position",)]


async def test_the_time_left_is_that_of_the_surface() -> None:
    config = parse("[surfaces.fast]\nrank_timeout_ms = 50\nsources = {popular = {}}\n[surfaces.plain.sources.popular]")
    shop = Shop(config)
    await shop.ask("POST", "/v1/recommend", json=ASKED | {"surface": "fast"})
    await shop.ask("POST", "/v1/recommend", json=ASKED | {"surface": "plain"})
    fast_ms, plain_ms = shop.lists.deadlines_ms
    assert 0 < fast_ms <= 50 < plain_ms <= 100


class SteppedClock(WallClock):
    """Durations stand still unless a test lets time pass."""

    now_s = 50.0

    def monotonic_s(self) -> float:
        return self.now_s


@BOTH
async def test_a_list_whose_deadline_passed_while_it_waited_is_not_made(path: str) -> None:
    clock = SteppedClock()
    shop = Shop(clock=clock)

    async def slowly(position: str, timeout_ms: float) -> bool:
        assert timeout_ms == pytest.approx(50)
        clock.now_s += 0.1
        return True

    shop.state.reached = slowly  # type: ignore[method-assign]
    assert await shop.code("POST", path, json=body(path, min_position="p")) == (504, "deadline_exceeded")
    assert shop.lists.asked == []


@BOTH
async def test_a_queue_that_is_too_long_sheds_and_says_when_to_come_back(path: str) -> None:
    shop = Shop(parse("[limits]\nqueue_max = 1\nturn_budget_ms = 0.001"))
    answers = await asyncio.gather(*(shop.ask("POST", path, json=body(path)) for _ in range(30)))
    shed = [each for each in answers if each.status_code == 503]
    assert {each.status_code for each in answers} == {200, 503}
    assert {each.json()["error"]["code"] for each in shed} == {"overloaded"}
    assert {each.headers["retry-after"] for each in shed} == {"1"}
    assert len(shop.lists.asked) == 30 - len(shed)


class FakeOnline:
    """Remembers for whom it was asked and how long it might take."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, float]] = []

    async def gather(self, user_id: str | None, left_s: float) -> Gathered:
        self.asked.append((user_id, left_s))
        await asyncio.sleep(0)
        return Gathered(np.array([4.0], np.float32), ("features:user_batch",))


@BOTH
async def test_published_features_are_awaited_before_the_turn(path: str) -> None:
    shop, online = Shop(), FakeOnline()
    shop.services.place.put(Shard(shop.state, shop.lists, shop.models, online=cast(Online, online)))
    turns: list[int] = []
    run = shop.services.turns.run

    async def watched(*arguments: Any) -> Any:
        turns.append(len(online.asked))
        return await run(*arguments)

    shop.services.turns.run = watched  # type: ignore[method-assign]
    assert (await shop.ask("POST", path, json=body(path, user_id="u"))).status_code == 200
    ((user_id, left_s),) = online.asked
    assert user_id == "u" and 0.02 < left_s <= 0.05, "half of what the list has, 100 ms"
    assert turns == [1]
    (gathered,) = shop.lists.gathered
    assert gathered.user.tolist() == [4.0] and gathered.degraded == ("features:user_batch",)
