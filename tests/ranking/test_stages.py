"""The stages of the compiled core, one by one: recall under a budget, the light ranker, scores, rows, numbers."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rtp_monolith._native import Ask, Plan, Ranked, SurfacePlan
from rtp_monolith.errors import NativeError
from rtp_monolith.features.cascade import CASCADE, SURFACES
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.ranking.reply import SOURCES
from rtp_monolith.ranking.value import Value

from .conftest import Shop

SOURCES_ASKED = ("popular", "new", "same_category", "covis")


def surface(name: str = "home", *, seen: bool = False) -> SurfacePlan:
    return SurfacePlan(
        name,
        [(source, 60, 1.0) for source in SOURCES_ASKED],
        hide_clicked=seen,
        hide_bought=False,
        diversity=0.0,
        counts_served=False,
    )


def ask_of(shop: Shop, plan: SurfacePlan | None = None, user: str | None = None, **more: Any) -> Ask:
    shop.state.load_request(user, "s")
    shop.state.core.rebuild_lists(shop.clock.now_ms())
    return shop.state.core.ask(plan or surface(), user, "s", shop.clock.now_ms(), **more)


def shown(shop: Shop, ranked: Ranked) -> list[tuple[str, float]]:
    return [(id, score) for id, score, _ in shop.state.core.shown(ranked)]


def names(shop: Shop, ranked: Ranked) -> list[str]:
    return [id for id, _ in shown(shop, ranked)]


def mask(*sources: str) -> int:
    return sum(1 << SOURCES.index(source) for source in sources)


def model(columns: list[tuple[str, float]], **more: Any) -> bytes:
    entries = [{"name": name, "mean": 0.0, "deviation": 1.0, "weight": weight} for name, weight in columns]
    return json.dumps({"bias": 0, "columns": entries, "affinity": 0, "recall": 0, "sources": {}, **more}).encode()


def test_a_source_that_fails_is_named_and_the_others_answer(shop: Shop) -> None:
    shop.did("click", "i1", "i2", "i7")
    core = shop.state.core
    ask = ask_of(shop)
    whole = core.recall(ask)
    assert (whole.skipped, len(whole)) == ([], 60)
    part = core.recall(ask, failing=mask("new", "session_knn"))
    assert part.skipped == ["new"], "a source that the surface does not ask cannot fail it"
    assert {"i1", "i2", "i7"} <= set(names(shop, part))
    assert not any(bits & mask("new") for *_, bits in core.shown(part))
    none = core.recall(ask, failing=mask(*SOURCES_ASKED))
    assert (sorted(none.skipped), len(none)) == (sorted(SOURCES_ASKED), 0)
    core.prerank(ask, none, 200, 5)
    assert len(none) == 5, "the catalogue is the last source"


def test_a_spent_budget_asks_no_further_source(shop: Shop) -> None:
    asked = [("trending", 60, 1.0), *[("popular", 60, 1.0)] * 500, ("new", 60, 1.0)]
    long = SurfacePlan("home", asked, hide_clicked=False, hide_bought=False, diversity=0.0, counts_served=False)
    shop.did("click", "i1")
    core = shop.state.core
    ask = ask_of(shop, long)
    whole = core.recall(ask, budget_us=60_000_000)
    assert (whole.skipped, len(whole)) == ([], 60)
    part = core.recall(ask, budget_us=1)
    assert part.skipped[-2:] == ["popular", "new"], "500 copies of a list take longer than a microsecond"
    assert {bits & mask("new") for *_, bits in core.shown(part)} <= {0}


def test_the_light_ranker_keeps_its_best(shop: Shop) -> None:
    core = shop.state.core
    ask = ask_of(shop)
    core.set_prerank(model([("item_price", 1.0)]), compile_plan())
    ranked = core.recall(ask)
    core.prerank(ask, ranked, 10, 5)
    assert names(shop, ranked) == [f"i{n}" for n in range(59, 49, -1)], "prices rise with the number"
    assert [score for _, score in shown(shop, ranked)] == pytest.approx([np.log1p(n) for n in range(59, 49, -1)])
    core.set_prerank(model([("item_price", -1.0)], bias=2.5, sources={"popular": -9.0}), compile_plan())
    shop.did("click", "i0")
    ask = ask_of(shop)
    ranked = core.recall(ask)
    core.prerank(ask, ranked, 3, 3)
    assert shown(shop, ranked) == [(f"i{n}", pytest.approx(2.5 - np.log1p(n))) for n in (1, 2, 3)], "i0 is popular"
    core.set_prerank(None)
    plain = core.recall(ask)
    core.prerank(ask, plain, 3, 3)
    assert names(shop, plain)[0] == "i0"


def test_without_light_the_order_of_the_sources_stays(shop: Shop) -> None:
    core = shop.state.core
    core.set_prerank(model([("item_price", 1.0)]), compile_plan())
    shop.did("click", "i3", "i4")
    ask = ask_of(shop)
    given = core.recall(ask)
    before = shown(shop, given)
    core.prerank(ask, given, 20, 5, light=False)
    assert shown(shop, given) == before[:20]
    core.prerank(ask, given, 20, 5)
    assert names(shop, given) == sorted(names(shop, given), key=lambda id: -int(id[1:])), "the model is still there"


def test_the_light_ranker_drops_what_may_not_be_shown_and_fills(shop: Shop) -> None:
    core = shop.state.core
    core.set_prerank(model([("item_price", 1.0)]), compile_plan())
    shop.put(Shop.item(58, available=False))
    shop.did("click", "i59")
    ask = ask_of(shop, surface(seen=True), exclude=["i57"], filter=b'{"field":"price","op":"ne","value":55}')
    ranked = core.recall(ask)
    core.prerank(ask, ranked, 4, 4)
    assert names(shop, ranked) == ["i56", "i54", "i53", "i52"]
    none = core.recall(ask, failing=mask(*SOURCES_ASKED))
    core.prerank(ask, none, 4, 4)
    assert len(none) == 4 and not {"i55", "i57", "i58", "i59"} & set(names(shop, none))
    with pytest.raises(NativeError, match="loyalty") as refused:
        core.set_prerank(model([("user_loyalty_tier", 1.0)]), compile_plan())
    assert refused.value.reason == "bad_prerank"
    with pytest.raises(NativeError, match="plan"):
        core.set_prerank(model([]))


def test_affinity_is_the_product_of_session_and_item(shop: Shop) -> None:
    core = shop.state.core
    vectors = np.array([[n, 1.0] for n in range(60)], dtype=np.float32)
    core.set_vectors([f"i{n}" for n in range(60)], vectors)
    core.set_prerank(model([], affinity=-2.0), compile_plan())
    ask = ask_of(shop)
    core.set_session_vector(ask, np.array([0.5, -1.0], dtype=np.float32))
    ranked = core.recall(ask)
    core.prerank(ask, ranked, 3, 3)
    assert shown(shop, ranked) == [("i0", 2.0), ("i1", 1.0), ("i2", 0.0)]
    plan = compile_plan(CASCADE)
    assert core.rows(ask, ranked, plan)[:, 0].tolist() == [-1.0, -0.5, 0.0]
    without = ask_of(shop)
    assert core.rows(without, ranked, plan)[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_columns_of_the_cascade_are_no_features(shop: Shop) -> None:
    assert not {column.name for column in CASCADE} & {feature.name for feature in FEATURES}
    beside = len(CASCADE) - 2 - len(SURFACES)
    assert [column.scope for column in CASCADE] == [*["cross"] * 2, *["context"] * len(SURFACES), *["cross"] * beside]
    plan = compile_plan(CASCADE)
    for name in SURFACES:
        ask = ask_of(shop, surface(name))
        (row,) = shop.state.core.vectors_of(ask, ["i1"], plan)
        assert dict(zip(plan.names, row, strict=True)) == {
            **{column.name: 0.0 for column in CASCADE},
            **{f"cascade_surface_{each}": float(each == name) for each in SURFACES},
        }


def test_scores_order_a_list_and_equal_ones_stay(shop: Shop) -> None:
    core = shop.state.core
    ranked, _ = core.rank_given(ask_of(shop), ["i1", "i2", "i3", "i4"])
    before = names(shop, ranked)
    core.set_scores(ranked, np.array([-1.0, 2.0, -1.0, 2.0], dtype=np.float32))
    assert shown(shop, ranked) == [(before[1], 2.0), (before[3], 2.0), (before[0], -1.0), (before[2], -1.0)]
    kept = shown(shop, ranked)
    for wrong, code in (([1, 2, np.nan, 3], "not_finite"), ([np.inf] * 4, "not_finite"), ([1.0] * 3, "bad_shape")):
        with pytest.raises(NativeError) as refused:
            core.set_scores(ranked, np.array(wrong, dtype=np.float32))
        assert (refused.value.reason, shown(shop, ranked)) == (code, kept)


def test_a_list_is_ordered_by_what_its_items_are_worth(shop: Shop) -> None:
    shop.put(
        {"id": "bare"},
        {"id": "rich", "price": 8, "attributes": {"margin": 0.5, "eco": True, "color": "red"}},
        {"id": "cheap", "price": 1, "attributes": {"margin": 0.5}},
    )
    core = shop.state.core

    def weighed(text: str, chances: list[list[float]], **more: object) -> tuple[list[tuple[str, float]], list[float]]:
        ranked, _ = core.rank_given(ask_of(shop), ["rich", "bare", "cheap"])
        core.set_scores(ranked, np.array([3.0, 2.0, 1.0], dtype=np.float32))
        order = [("rich", "bare", "cheap").index(item) for item in names(shop, ranked)]
        rows = np.array(chances, np.float32)[order]
        alone = core.weigh(ranked, rows, Value(text, "home").worth, **more)  # type: ignore[arg-type]
        return shown(shop, ranked), alone.tolist()

    ones = [[1.0], [1.0], [1.0]]
    assert weighed("click*price", ones)[0] == [("rich", 8.0), ("cheap", 1.0), ("bare", 0.0)]
    assert weighed("click*attributes.margin", ones)[0][2] == ("bare", 0.0)
    assert weighed("click + attributes.eco + attributes.color + attributes.none", ones)[0][0] == ("rich", 2.0)
    both = [[0.1, 0.9], [0.9, 0.1], [0.5, 0.5]]
    assert [item for item, _ in weighed("cart", both, columns=[1])[0]] == ["rich", "cheap", "bare"]
    assert [item for item, _ in weighed("2*cart", both, columns=[0])[0]] == ["bare", "cheap", "rich"]
    blended, alone = weighed("click", [[0.0], [0.5], [1.0]], recall_weight=0.5)
    assert dict(blended) == pytest.approx({"rich": 0.5, "bare": 0.5, "cheap": 0.5})
    assert sorted(alone) == [0.0, 0.5, 1.0], "the worth alone, before the sources have a say"
    for columns in (None, [2], [0, 1]):
        with pytest.raises(NativeError) as refused:
            weighed("click + 0*cart" if columns is None else "click", [[1.0]] * 3, columns=columns)
        assert refused.value.reason == "bad_shape"


def every_row(shop: Shop, user: str, plan: Plan, items: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    ask = ask_of(shop, user=user, context=[("device", "mobile")])
    ranked, unknown = shop.state.core.rank_given(ask, items)
    assert unknown == []
    rows = shop.state.core.rows(ask, ranked, plan)
    np.testing.assert_array_equal(rows, shop.state.core.vectors(ask, ranked, plan))
    # Without a list nothing was found; all else is the same.
    by_id = shop.state.core.vectors_of(ask, names(shop, ranked), plan)
    found = np.array([name.startswith(("cascade_recall", "cascade_source_")) for name in plan.names])
    np.testing.assert_array_equal(rows[:, ~found], by_id[:, ~found])
    assert not by_id[:, found].any() and (rows[:, found].any() or not found.any())
    return rows


def test_rows_are_finite_for_items_without_price_or_categories(shop: Shop) -> None:
    shop.put({"id": "bare"}, {"id": "free", "price": 0})
    shop.did("click", "bare", "i1", "free", user="u")
    plan = compile_plan([*FEATURES, *CASCADE])
    rows = every_row(shop, "u", plan, ["bare", "free", "i1"])
    assert rows.shape == (3, len(FEATURES) + len(CASCADE)) and np.isfinite(rows).all()
    core = shop.state.core
    columns = [(f.name, 0.1) for f in FEATURES if f.scope in ("item", "category", "seller", "cross")]
    core.set_prerank(model(columns), plan)
    ask = ask_of(shop, user="u")
    ranked = core.recall(ask)
    core.prerank(ask, ranked, 100, 10)
    assert {"bare", "free"} <= set(names(shop, ranked))
    assert all(np.isfinite(score) for _, score in shown(shop, ranked))


def test_a_session_of_ten_thousand_clicks_is_ranked(shop: Shop) -> None:
    for batch in range(10):
        events = [
            {
                "event_id": f"long{batch}-{n}",
                "session_id": "s",
                "user_id": "u",
                "event_type": "click",
                "item_id": f"i{(batch * 7 + n) % 60}",
                "ts_ms": shop.clock.now_ms() - 10_000 + batch * 1000 + n,
            }
            for n in range(1000)
        ]
        reply = shop.state.ingest_sync("events", json.dumps(events).encode(), "json", trusted=True)
        assert reply.accepted == 1000
    rows = every_row(shop, "u", shop.state.plan, [f"i{n}" for n in range(60)])
    assert np.isfinite(rows).all()
    column = shop.state.plan.names.index
    assert set(rows[:, column("user_clicks_lifetime")]) == {10_000.0}
    assert set(rows[:, column("session_clicks")]) == {10_000.0}
    assert set(rows[:, column("cross_clicked")]) == {1.0}
    assert shop.home(user_id="u", k=20)["items"] == [], "all 60 are hidden: they were clicked"
    assert len(shop.rank([f"i{n}" for n in range(60)], user_id="u")["items"]) == 60


def test_a_decision_carries_the_rows_that_were_made_of_its_items(shop: Shop) -> None:
    core, plan = shop.state.core, shop.state.plan
    ask = ask_of(shop)
    ranked, _ = core.rank_given(ask, ["i1", "i2", "i3", "i4"])
    of = dict(zip(names(shop, ranked), range(4), strict=True))

    def decide(request_id: str, rows: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        core.decide(
            shop.state.log, ask, ranked, request_id=request_id, config_digest=1, seed=2, bundle="shop:1", context=b"{}",
            degraded=[], plan=plan, rows=rows,
        )  # fmt: skip

    given = np.arange(4 * len(plan), dtype=np.float32).reshape(4, len(plan))
    with pytest.raises(NativeError):
        decide("none were made", given)
    core.rows(ask, ranked, plan)
    # The list is ordered anew, cut, and what explains it is read: the rows stay those of their items.
    core.set_scores(ranked, np.array([1, 3, 2, 4], dtype=np.float32))
    core.vectors(ask, ranked, plan)
    ranked.truncate(3)
    decide("own", given)
    decide("strided", np.asfortranarray(given))
    for wrong in (given[:2], given[:, 1:]):
        with pytest.raises(NativeError) as refused:
            decide("wrong", wrong)
        assert refused.value.reason == "bad_shape"
    logged = {each["request_id"]: each for each in shop.decisions()}
    assert list(logged) == ["own", "strided"]
    for each in logged.values():
        assert each["features"] == [given[of[item["id"]]].tolist() for item in each["items"]]
        assert (each["bundle"], each["explore"]) == ("shop:1", None)
