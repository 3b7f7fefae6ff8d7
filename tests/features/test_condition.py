"""The filter language: what it takes, what it refuses and where, and what it says of events, against plain Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtp_monolith.config import Config, Events, FeatureTable
from rtp_monolith.features.condition import DEPTH_MAX, TESTS_MAX, ConditionError, Vocabulary, parse
from tests.oracles.condition import Tree, holds, number_of, write

from .scene import NOON, Scene

EVENTS = Events(
    custom=["rated"],
    props={"stars": "number", "page": "text", "gift": "flag"},
    attributes={"margin": "number", "colour": "text", "sizes": "texts", "new": "flag"},
)
WORDS = Vocabulary.of(Config(events=EVENTS))


def test_a_condition_is_a_tree_of_tests() -> None:
    tree = parse("event_type in ['like', 'rated'] and not (props.stars < 4 or item.available)", WORDS)
    test = {"field": {"name": "event_type", "kind": "text"}, "op": {"test": "in", "values": ["like", "rated"]}}
    stars = {"field": {"name": "props.stars", "kind": "number"}, "op": {"test": "lt", "values": [4.0]}}
    there = {"field": {"name": "item.available", "kind": "flag"}, "op": {"test": "in", "values": [True]}}
    assert tree == {"all": [{"test": test}, {"not": {"any": [{"test": stars}, {"test": there}]}}]}


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("event_type == 'lik'", 14, "unknown event type 'lik', did you mean `like`?"),
        ("event_type == 'ratde'", 14, "did you mean `rated`?"),
        ("props.starz >= 4", 0, "unknown field `props.starz`, did you mean `props.stars`?"),
        ("props.zzz >= 4", 0, 'declared as `[events.props] zzz = "number"`'),
        ("item.attributes.color == 'x'", 0, "did you mean `item.attributes.colour`?"),
        ("even_type == 'like'", 0, "did you mean `event_type`?"),
        ("props.stars >= '4'", 15, "`props.stars` is a number, '4' is not"),
        ("props.page == 4", 14, "`props.page` is a text, 4 is not"),
        ("props.gift == 'true'", 14, "`props.gift` is a flag"),
        ("props.page > 'a'", 11, "`>` does not fit `props.page`, which is a text: ==, !=, contains"),
        ("props.stars contains 4", 12, "does not fit"),
        ("item.attributes.sizes == 'L'", 22, "which is a list of texts: contains, in, exists do"),
        ("props.gift > true", 11, "does not fit"),
        ("props.stars", 11, "compared with nothing"),
        ("props.stars = 4", 12, "means nothing here"),
        ("props.page == 'a", 14, "a text that does not end"),
        ("props.stars >= 4 props.gift", 17, "`and` or `or` should stand before `props.gift`"),
        ("(props.gift", 11, "`)` should stand before the end"),
        ("props.stars in [1, 2", 20, "`]` should stand before the end"),
        ("props.stars in []", 16, "a value should stand before `]`"),
        ("props.gift and", 14, "a field should stand before the end"),
        ("", 0, "a field should stand before the end"),
        ("and", 0, "a field should stand before `and`"),
        ("props.stars >= 1e999", 15, "not a finite number"),
        ("props.gift ; true", 11, "means nothing here"),
        ("(" * (DEPTH_MAX + 1) + "props.gift" + ")" * (DEPTH_MAX + 1), DEPTH_MAX, "nested deeper"),
        ("not " * (DEPTH_MAX + 1) + "props.gift", None, "nested deeper"),
        (" or ".join(["props.gift"] * (TESTS_MAX + 1)), None, f"more than {TESTS_MAX} tests"),
        ("props.gift or " * 200 + "props.gift", 0, "characters"),
    ],
)
def test_what_means_nothing_is_refused_at_its_place(text: str, at: int | None, words: str) -> None:
    with pytest.raises(ConditionError) as refused:
        parse(text, WORDS)
    assert words in str(refused.value)
    assert at is None or refused.value.at == at


@given(st.text(max_size=80) | st.text(alphabet="andornot()'[]=<>!., props.stars4", max_size=60))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        tree = parse(text, WORDS)
    except ConditionError as refused:
        assert 0 <= refused.at <= len(text) and str(refused)
    else:
        assert json.loads(json.dumps(tree)) == tree


NUMBERS = st.sampled_from([-3, 0, 2.5, 4, 1e9])
TEXTS = st.sampled_from(["Boots", "boots/winter", "ß", "x"])
SIZES = st.sampled_from(["S", "M", "L"])
BY_KIND: dict[str, tuple[tuple[str, ...], tuple[str, ...], st.SearchStrategy[Any]]] = {
    "number": (
        ("props.stars", "line.price", "line.quantity", "item.attributes.margin", "position"),
        ("==", "!=", "<", "<=", ">", ">="),
        NUMBERS,
    ),
    "text": (("props.page", "item.attributes.colour"), ("==", "!=", "contains", "starts_with"), TEXTS),
    "type": (("event_type",), ("==", "!="), st.sampled_from(["click", "like", "rated", "purchase"])),
    "flag": (("props.gift", "item.attributes.new"), ("==", "!="), st.booleans()),
    "texts": (("item.attributes.sizes",), ("contains",), SIZES),
}


@st.composite
def leaves(draw: st.DrawFn) -> Tree:
    fields, signs, values = BY_KIND[draw(st.sampled_from(sorted(BY_KIND)))]
    field = draw(st.sampled_from(fields))
    shape = draw(st.integers(0, 3))
    if shape == 0:
        return ("exists", field)
    if shape == 1:
        return (draw(st.sampled_from(["in", "not in"])), field, draw(st.lists(values, min_size=1, max_size=3)))
    return (draw(st.sampled_from(signs)), field, draw(values))


TREES = st.recursive(
    leaves(),
    lambda inner: st.one_of(st.tuples(st.sampled_from(["and", "or"]), inner, inner), st.tuples(st.just("not"), inner)),
    max_leaves=6,
)
PROPS = st.fixed_dictionaries(
    {},
    optional={
        "stars": st.sampled_from(["4", " 2.5 ", "1e9", "NaN", "inf", "", "four", "-3", "1_0", "0"]),
        "page": st.sampled_from(["Boots", "BOOTS", "x", "", "a/boots/winter", "ß"]),
        "gift": st.sampled_from(["true", "false", "yes", ""]),
    },
)
ITEMS = st.sampled_from(["plain", "full"])
FULL = {"margin": 2.5, "colour": "Boots", "sizes": ["S", "L"], "new": True}
HAPPENED = st.tuples(st.sampled_from(["click", "like", "rated", "purchase"]), PROPS, ITEMS, st.integers(0, 4))


def seen_by_oracle(event: tuple[str, dict[str, str], str, int]) -> dict[str, Any]:
    kind, props, item, position = event
    seen: dict[str, Any] = {
        "event_type": kind,
        "position": position,
        "line.quantity": 1,
        "props.page": props.get("page"),
    }
    seen["props.stars"] = number_of(props.get("stars"))
    seen["props.gift"] = {"true": True, "false": False}.get(props.get("gift", ""))
    if item == "full":
        seen |= {f"item.attributes.{name}": value for name, value in FULL.items()} | {"line.price": 4}
    return seen


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees=st.lists(TREES, min_size=12, max_size=12, unique_by=write), happened=st.lists(HAPPENED, max_size=15))
def test_the_core_judges_events_as_plain_python_does(
    trees: list[Tree], happened: list[tuple[str, dict[str, str], str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tables = {
        f"n{n}": FeatureTable(meaning="m", aggregate="count", window="lifetime", where=write(tree))
        for n, tree in enumerate(trees)
    }
    folder: Path = tmp_path_factory.mktemp("condition")
    scene = Scene(folder, Config(events=EVENTS, features={"user": tables}))
    scene.put({"id": "plain"}, {"id": "full", "price": 4, "attributes": FULL})
    scene.send(
        [
            {
                "event_type": kind,
                "user_id": "u1",
                "session_id": "s1",
                "item_id": item,
                "position": position,
                "ts_ms": NOON,
                "props": props,
            }
            for kind, props, item, position in happened
        ]
    )
    if happened:
        counted = [scene.value(f"user_n{n}") for n in range(len(trees))]
        assert counted == [sum(holds(tree, seen_by_oracle(each)) for each in happened) for tree in trees]
    scene.shard.close()
