"""CONTRACT section 3: what a list holds, what it says of itself, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.conftest import Talk, event, fresh, now_ms

N = 240
STAGES = {"state", "recall", "prerank", "rank", "rerank", "explore"}


def item(n: int) -> dict[str, Any]:
    return {
        "id": f"i{n}",
        "title": f"Thing number {n}",
        "categories": [f"c{n % 6} > s{n % 12}"],
        "brand": f"b{n % 4}",
        "price": n,
        "currency": "EUR",
        "available": n != 7,
        "created_at": 1_700_000_000_000 + n,
        "attributes": {"color": "red" if n % 2 else "blue", "size": n % 5, "new": n % 3 == 0, "tags": [f"t{n % 3}"]},
    }


@pytest.fixture(scope="module")
def shop(talk: Talk) -> Iterator[Talk]:
    """240 items; `i7` is not available."""
    assert talk.put_items(*(item(n) for n in range(N)))["accepted"] == N
    yield talk


def test_a_shard_without_items(talk: Talk) -> None:
    reply = talk.recommend("s")
    assert (reply["items"], reply["degraded"], reply["state_version"]) == ([], ["no_items"], 0)
    reply = talk.rank("s", ["a", "b"])
    assert [each["id"] for each in reply["items"]] == ["a", "b"]
    assert "unknown_items" in reply["degraded"]


def test_the_reply_has_the_fields_of_the_contract(shop: Talk) -> None:
    before = now_ms()
    reply = shop.recommend("s", request_id="mine")
    assert set(reply) == {
        *("request_id", "items", "surface", "model", "experiments", "degraded", "state_version", "as_of_ms"),
        *("took_ms", "stages"),
    }
    assert (reply["request_id"], reply["surface"], reply["degraded"]) == ("mine", "home", ["no_model"])
    assert set(reply["model"]) == {"name", "version"} and reply["experiments"] == {}
    assert before <= reply["as_of_ms"] <= now_ms()
    assert set(reply["stages"]) == STAGES
    assert all(ms >= 0 for ms in reply["stages"].values()) and reply["took_ms"] > 0
    assert [each["position"] for each in reply["items"]] == list(range(20))
    known = {"session_knn", "covis", "same_category", "trending", "popular", "popular_context", "new", "catalogue"}
    for each in reply["items"]:
        assert {"id", "score", "position", "source"} <= set(each)
        assert set(each) <= {"id", "score", "position", "source", "slot", "propensity", "explain"}
        assert isinstance(each["score"], float) and each["source"] and set(each["source"]) <= known
    assert len({each["id"] for each in reply["items"]}) == 20


def test_request_ids_are_made_and_never_twice(shop: Talk) -> None:
    made = [shop.recommend("s", k=1)["request_id"] for _ in range(20)]
    assert len(set(made)) == 20 and all(made)


@pytest.mark.parametrize("k", [1, 2, 20, 199, 200])
def test_a_list_has_k_items(shop: Talk, k: int) -> None:
    for surface in ("home", "product"):
        ids = shop.ids("s", k=k, surface=surface)
        assert len(ids) == k == len(set(ids))


def test_every_eligible_item_is_found(shop: Talk) -> None:
    keep = [f"i{n}" for n in (3, 77, 151, 239)]
    wanted = {"field": "id", "op": "in", "value": [*keep, "i7", "none"]}
    assert sorted(shop.ids("s", k=200, filter=wanted)) == sorted(keep)
    assert sorted(shop.ids("s", k=4, filter=wanted)) == sorted(keep)
    assert sorted(shop.ids("s", k=200, filter=wanted, exclude=["i3"])) == sorted(keep[1:])


@pytest.mark.parametrize("surface", ["home", "product"])
def test_clicked_bought_excluded_and_unavailable_items_are_not_in_it(shop: Talk, surface: str) -> None:
    session = fresh()
    shop.send(
        *(event(session_id=session, item_id=f"i{n}") for n in range(100, 130)),
        event("purchase", session_id=session, item_id="i50"),
        event("purchase", session_id=session, props={"items": '[{"item_id": "i51", "quantity": 1, "price": 2}]'}),
        event("view", session_id=session, item_id="i60"),
    )
    gone = {f"i{n}" for n in range(100, 130)} | {"i50", "i51", "i7", "i1", "i2"}
    ids = shop.ids(session, k=200, surface=surface, exclude=["i1", "i2", "none"])
    assert len(ids) == 200 and not gone & set(ids)
    rest = {f"i{n}" for n in range(N)} - gone
    some = sorted(rest)[:150]
    assert sorted(shop.ids(session, k=200, surface=surface, filter={"field": "id", "op": "in", "value": some})) == some


def test_state_version_is_exact(shop: Talk) -> None:
    session, user, other = fresh(), fresh("u"), fresh()
    twice = event(session_id=session, item_id="i1")
    shop.send(twice, twice, event(session_id=session, item_id="i2"), event("teleport", session_id=session))
    assert shop.recommend(session)["state_version"] == 2
    shop.expect(200, "PUT", "/v1/users", [{"id": user, "attributes": {"a": 1}}])
    shop.recommend(session)
    assert shop.recommend("x", user_id=user)["state_version"] == 0
    shop.send(event("identify", session_id=session, user_id=user))
    assert shop.recommend(session)["state_version"] == 3
    shop.send(event(session_id=other, user_id=user, item_id="i3"), event("scroll", session_id=session))
    for asked in ({"session_id": session}, {"session_id": other}, {"session_id": "x", "user_id": user}):
        assert shop.recommend(**asked)["state_version"] == 5
        assert shop.rank(items=["i1"], **asked)["state_version"] == 5


def eq(field: str, value: object) -> dict[str, Any]:
    return {"field": field, "op": "eq", "value": value}


def has(field: str, op: str, value: object = None) -> dict[str, Any]:
    return {"field": field, "op": op} if value is None else {"field": field, "op": op, "value": value}


FILTERS: list[tuple[dict[str, Any], Any]] = [
    (eq("brand", "b1"), lambda n: n % 4 == 1),
    (eq("price", 30), lambda n: n == 30),
    (eq("attributes.color", "red"), lambda n: n % 2 == 1),
    (eq("attributes.size", 3), lambda n: n % 5 == 3),
    (eq("attributes.new", True), lambda n: n % 3 == 0),
    (eq("attributes.tags", "t2"), lambda n: n % 3 == 2),
    (eq("categories", "c2"), lambda n: n % 6 == 2),
    (eq("categories", "c2 > s8"), lambda n: n % 12 == 8),
    (has("brand", "ne", "b1"), lambda n: n % 4 != 1),
    (has("id", "in", ["i5", "i6", "i7"]), lambda n: n in (5, 6)),
    (has("brand", "not_in", ["b0", "b1", "b2"]), lambda n: n % 4 == 3),
    (has("price", "lt", 5), lambda n: n < 5),
    (has("price", "lte", 5), lambda n: n <= 5),
    (has("price", "gt", 235), lambda n: n > 235),
    (has("price", "gte", 235), lambda n: n >= 235),
    (has("created_at", "gte", 1_700_000_000_230), lambda n: n >= 230),
    (has("title", "contains", "number 23"), lambda n: str(n).startswith("23")),
    (has("attributes.tags", "contains", "t1"), lambda n: n % 3 == 1),
    (has("categories", "contains", "c3"), lambda n: n % 6 == 3),
    (has("attributes.color", "exists", True), lambda n: True),
    (has("attributes.nope", "exists", False), lambda n: True),
    (has("seller", "exists", True), lambda n: False),
    ({"and": [eq("brand", "b1"), has("price", "lt", 20)]}, lambda n: n % 4 == 1 and n < 20),
    ({"or": [eq("price", 3), eq("price", 4)]}, lambda n: n in (3, 4)),
    ({"not": eq("attributes.color", "red")}, lambda n: n % 2 == 0),
    ({"and": [{"or": [eq("price", 3), eq("price", 4)]}, {"not": eq("price", 3)}]}, lambda n: n == 4),
]


@pytest.mark.parametrize(("wanted", "holds"), FILTERS, ids=[str(f)[:70] for f, _ in FILTERS])
def test_every_op_of_a_filter(shop: Talk, wanted: dict[str, Any], holds: Any) -> None:
    want = {f"i{n}" for n in range(N) if n != 7 and holds(n)}
    ids = shop.ids("s", k=200, filter=wanted)
    assert len(ids) == min(200, len(want)) and set(ids) <= want


BAD_FILTERS: list[object] = [
    *(5, "x", [], {}, True),
    *({"and": {}}, {"or": "x"}, {"not": []}, {"and": [5]}, {"xor": []}, {"and": [], "or": []}),
    *({"field": "price"}, {"op": "eq"}, {"value": 1}, {"field": "price", "op": "eq"}, {"op": "eq", "value": 1}),
    *(has("colour", "eq", 1), has("price", "like", 1), has("price", "EQ", 1), has("attributes.", "eq", 1)),
    *({"field": 5, "op": "eq", "value": 1}, {"field": "price", "op": 1, "value": 1}),
    *(has("price", "in", 5), has("price", "not_in", "x"), has("price", "lt", [1]), has("price", "gt", True)),
    *(has("price", "exists", "yes"), has("title", "contains", 5), has("price", "eq", {"a": 1})),
    *({"field": "price", "op": "eq", "value": None}, {"field": "price", "op": "eq", "value": 1, "boost": 2}),
    *({"not": {"not": {"field": "nope", "op": "eq", "value": 1}}}, has("created_at", "gt", "yesterday")),
]


@pytest.mark.parametrize("bad", BAD_FILTERS, ids=str)
def test_a_filter_that_means_nothing(shop: Talk, bad: object) -> None:
    body = {"surface": "home", "session_id": "s", "filter": bad}
    shop.refused(400, "bad_filter", "POST", "/v1/recommend", body)


def test_a_filter_of_any_depth_never_breaks_the_shard(shop: Talk) -> None:
    deep: dict[str, Any] = eq("price", 1)
    for _ in range(400):
        deep = {"not": deep}
    body = {"surface": "home", "session_id": "s", "filter": deep}
    shop.refused(400, "bad_filter", "POST", "/v1/recommend", body)
    assert shop.expect(200, "GET", "/livez")


REFUSED: list[tuple[int, str, dict[str, Any]]] = [
    (404, "unknown_surface", {"surface": "attic"}),
    *((422, "missing_field", {name: value}) for name in ("surface", "session_id") for value in ("", None)),
    *((422, "out_of_range", {"k": k}) for k in (0, -1, 201, 10**6)),
    *((422, "wrong_type", {"k": k}) for k in (1.5, "5", [5])),
    (422, "wrong_type", {"session_id": 5}),
    (422, "wrong_type", {"user_id": 5}),
    (422, "wrong_type", {"exclude": "i1"}),
    (422, "wrong_type", {"explain": "yes"}),
    (422, "wrong_type", {"context": []}),
    (422, "too_long", {"session_id": "x" * 129}),
    (422, "unknown_field", {"limit": 5}),
]


@pytest.mark.parametrize(("status", "code", "fields"), REFUSED, ids=[f"{c} {f}"[:60] for _, c, f in REFUSED])
def test_a_request_that_is_refused(shop: Talk, status: int, code: str, fields: dict[str, Any]) -> None:
    body = {"surface": "home", "session_id": "s", **fields}
    words = shop.refused(status, code, "POST", "/v1/recommend", body)
    assert words["field"] == next(iter(fields))
    if "k" not in fields and "exclude" not in fields:
        shop.refused(status, code, "POST", "/v1/rank", {**body, "items": ["i1"]})


def test_a_field_may_be_left_out(shop: Talk) -> None:
    for path in ("/v1/recommend", "/v1/rank"):
        more = {"items": ["i1"]} if path == "/v1/rank" else {}
        for name in ("surface", "session_id"):
            body = {key: "home" for key in ("surface", "session_id") if key != name} | more
            shop.refused(422, "missing_field", "POST", path, body)
        shop.refused(400, "malformed_body", "POST", path, b"[1, 2")
        shop.refused(400, "malformed_body", "POST", path, [])
        shop.refused(415, "unsupported_media_type", "POST", path, b"x", **{"Content-Type": "text/html"})
    shop.refused(422, "missing_field", "POST", "/v1/rank", {"surface": "home", "session_id": "s"})
    nothing = dict.fromkeys(("user_id", "k", "context", "filter", "exclude", "min_position", "explain", "request_id"))
    assert len(shop.ids("s", **nothing)) == 20


def test_every_part_of_a_context_is_taken(shop: Talk) -> None:
    context = {"item_id": "i3", "query": "thing", "cart": ["i4"], "category": "c1", "device": "mobile", "country": "DE"}
    context |= {"channel": "web", "app_version": "1.2", "campaign": "spring"}
    assert len(shop.ids("s", surface="product", context=context, k=50)) == 50
    body = {"surface": "home", "session_id": "s", "context": {"mood": "good"}}
    shop.refused(422, "unknown_field", "POST", "/v1/recommend", body)


def test_what_is_on_show_is_followed_by_its_like(shop: Talk) -> None:
    ids = shop.ids(fresh(), surface="product", context={"item_id": "i12"}, k=10)
    near = [each for each in ids if int(each[1:]) % 6 == 0]
    assert len(near) >= 6


def test_rank_returns_exactly_what_was_given(shop: Talk) -> None:
    session = fresh()
    shop.send(event(session_id=session, item_id="i5"))
    given = ["i5", "ghost", "i7", "i9", "spirit", "i11"]
    reply = shop.rank(session, given, k=0, filter={"bad": 1}, exclude=["i9"])
    ids = [each["id"] for each in reply["items"]]
    assert sorted(ids) == sorted(given) and ids[-2:] == ["ghost", "spirit"]
    assert "unknown_items" in reply["degraded"]
    assert [each["position"] for each in reply["items"]] == list(range(6))
    assert set(reply["stages"]) == STAGES
    assert "unknown_items" not in shop.rank(session, ["i1", "i2"])["degraded"]
    objects = shop.rank(session, [{"id": "i1", "price": 3, "title": "x"}, {"id": "i2"}, {"id": "ghost", "brand": "b"}])
    assert sorted(each["id"] for each in objects["items"]) == ["ghost", "i1", "i2"]


def test_rank_takes_a_thousand_items(shop: Talk) -> None:
    given = [f"i{n}" for n in range(N)] + [f"ghost{n}" for n in range(1000 - N)]
    ids = [each["id"] for each in shop.rank("s", given)["items"]]
    assert len(ids) == 1000 and set(ids) == set(given) and ids[N:] == given[N:]
    body = {"surface": "home", "session_id": "s", "items": [*given, "one more"]}
    shop.refused(422, "out_of_range", "POST", "/v1/rank", body)
    assert shop.rank("s", [])["items"] == []


@pytest.mark.parametrize(("code", "bad"), [("missing_field", ""), ("wrong_type", 5), ("too_long", "x" * 129)])
def test_rank_refuses_an_item_without_a_good_id(shop: Talk, code: str, bad: object) -> None:
    for given in (bad, {"id": bad}):
        shop.refused(422, code, "POST", "/v1/rank", {"surface": "home", "session_id": "s", "items": ["i1", given]})


def test_explain_gives_the_reasons(shop: Talk) -> None:
    for each in shop.recommend("s", k=3, explain=True)["items"] + shop.rank("s", ["i1"], explain=True)["items"]:
        assert each["explain"]["features"] and each["explain"]["sources"] == each["source"]
    assert all("explain" not in each for each in shop.recommend("s", k=3)["items"])


def test_a_position_is_waited_for(shop: Talk) -> None:
    session = fresh()
    position = shop.send(event(session_id=session, item_id="i1"))["position"]
    reply = shop.recommend(session, min_position=position)
    assert (reply["state_version"], reply["degraded"]) == (1, ["no_model"])
    body = {"surface": "home", "session_id": session, "min_position": "not a position"}
    status, answer = shop.call("POST", "/v1/recommend", body)
    assert status in (400, 422) and answer["error"]["field"] == "min_position"


def test_an_impression_with_its_decision(shop: Talk) -> None:
    session = fresh()
    reply = shop.recommend(session, k=2)
    seen = [
        event("impression", session_id=session, item_id=each["id"], request_id=reply["request_id"], position=n)
        for n, each in enumerate(reply["items"])
    ]
    assert shop.send(*seen)["accepted"] == 2
    assert shop.state(session)["counts"] == {"impression": 2}
    assert set(shop.ids(session, k=200)) >= {each["id"] for each in reply["items"]}, "seen is not clicked"
