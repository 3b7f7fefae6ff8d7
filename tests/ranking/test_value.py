from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtp_monolith.config_surfaces import DEFAULT_VALUE
from rtp_monolith.errors import BundleError, ConfigError, NativeError
from rtp_monolith.ranking.value import Value

NO_FIELDS = np.empty((3, 0), np.float32)


def worth(text: str, **columns: list[float]) -> list[float]:
    """The values of an expression, its names given as columns (`price` and `attributes__x` are fields)."""
    value = Value(text, "home")
    named = {name.replace("__", "."): column for name, column in columns.items()}
    n = len(next(iter(named.values()), [0.0]))
    heads = np.array([named[name] for name in value.heads], np.float32).reshape(len(value.heads), n).T
    fields = np.array([named[name] for name in value.fields], np.float32).reshape(len(value.fields), n).T
    return value.worth.of(heads, fields).tolist()


def test_the_expression_of_the_documentation() -> None:
    made = worth(
        "0.2*click + 1.0*cart + 3.0*purchase*price", click=[0.5, 0], cart=[0.25, 0], purchase=[0.5, 1], price=[4, 9]
    )
    assert made == pytest.approx([0.1 + 0.25 + 6, 27])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("click", [0.5, 0.25]),
        ("-click", [-0.5, -0.25]),
        ("+click - 1", [-0.5, -0.75]),
        ("2 ** 3 * click", [4, 2]),
        ("click / 0.5", [1, 0.5]),
        ("min(click, 0.3)", [0.3, 0.25]),
        ("max(click, 0.3, 0.4)", [0.5, 0.4]),
        ("log(exp(click))", [0.5, 0.25]),
        ("log1p(click)", [np.log1p(0.5), np.log1p(0.25)]),
        ("sqrt(click) * sqrt(click)", [0.5, 0.25]),
        ("price * click", [5, 5]),
        ("attributes.margin + attributes['profit-rate']", [3, 7]),
        ("1", [1, 1]),
    ],
)
def test_every_word_means_what_it_says(text: str, expected: list[float]) -> None:
    columns = {"click": [0.5, 0.25], "price": [10, 20], "attributes.margin": [1, 3], "attributes.profit-rate": [2, 4]}
    value = Value(text, "home")
    heads = np.array([columns[name] for name in value.heads], np.float32).reshape(-1, 2).T
    fields = np.array([columns[name] for name in value.fields], np.float32).reshape(-1, 2).T
    assert value.worth.of(heads, fields).tolist() == pytest.approx(expected)


def test_it_names_what_it_needs_once_and_in_order() -> None:
    value = Value("purchase*price + click + purchase*attributes.margin", "home")
    assert (value.heads, value.fields) == (["purchase", "click"], ["price", "attributes.margin"])
    assert value.columns(["click", "cart", "purchase"]) == [2, 0]


def test_an_absent_field_counts_as_zero() -> None:
    assert worth("purchase*price + click", purchase=[1, 1], click=[0.5, 0.5], price=[2, float("nan")]) == [2.5, 0.5]


def test_what_is_no_number_is_level_with_the_lowest() -> None:
    assert worth("log(click)", click=[1.0, 0.0, -1.0, 0.5])[1:3] == [pytest.approx(np.log(0.5))] * 2
    assert worth("click / price", click=[1, 2, 3], price=[0, 1, 2]) == [1.5, 2, 1.5]
    assert worth("click / 0", click=[1, 2]) == [0, 0]
    assert worth("exp(1000*click)", click=[1, 0]) == [1, 1]
    assert worth("click", click=[float("nan"), 0.5]) == [0.5, 0.5]


def test_a_tower_of_powers_ends_at_once() -> None:
    assert worth("click + 9**9**9**9**9", click=[1.0]) == [0.0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not an expression"),
        ("click +", "is not an expression"),
        ("click; cart", "is not an expression"),
        ("click = 1", "is not an expression"),
        ("__import__('os')", "calls '__import__', which is not a function"),
        ("click.real", "is not allowed"),
        ("attributes.a.b", "is not allowed"),
        ("attributes[click]", "is not allowed"),
        ("click[0]", "is not allowed"),
        ("'text'", "is not allowed"),
        ("True", "is not allowed"),
        ("1j", "is not allowed"),
        ("click if cart else 0", "is not allowed"),
        ("click and cart", "is not allowed"),
        ("click < cart", "is not allowed"),
        ("click % 2", "is not allowed"),
        ("click // 2", "is not allowed"),
        ("~click", "is not allowed"),
        ("[click]", "is not allowed"),
        ("lambda: 1", "is not allowed"),
        ("sqt(click)", "'sqt', which is not a function, did you mean `sqrt`?"),
        ("sqrt(click, 2)", "has 2 arguments; sqrt takes 1"),
        ("sqrt()", "has 0 arguments"),
        ("max(click)", "takes 2 or more"),
        ("max(*click)", "is not allowed"),
        ("sqrt(x=click)", "is not allowed"),
        ("sqrt + click", "'sqrt' stands alone"),
        ("attributes", "'attributes' stands alone"),
        ("1" + "0" * 400 + "*click", "is too large"),
        ("-" * 60 + "click", "nested too deeply"),
    ],
)
def test_anything_else_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Value(text, "surfaces.home.value")
    assert refused.value.message.startswith("surfaces.home.value: ")
    assert said in refused.value.message


def test_a_name_that_is_no_head_is_refused_with_the_nearest_word() -> None:
    heads = ["click", "cart", "purchase"]
    for text, said in (
        ("purchse", "did you mean `purchase`?"),
        ("2*prise", "did you mean `price`?"),
        ("zzz", "there are click"),
    ):
        with pytest.raises(BundleError, match="home: ") as refused:
            Value(text, "home").check(heads)
        assert (refused.value.code, refused.value.status) == ("bundle_head_missing", 409)
        assert said in refused.value.message
    Value(DEFAULT_VALUE, "home").check(heads)


@given(st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), min_size=1, max_size=8))
def test_the_value_of_anything_is_a_finite_number(rows: list[tuple[float, float]]) -> None:
    value = Value("click/price + log(click) - exp(price) ** click", "home")
    given_rows = np.array(rows, np.float32)
    made = value.worth.of(given_rows[:, :1], given_rows[:, 1:])
    assert made.dtype == np.float32 and made.shape == (len(rows),)
    assert np.isfinite(made).all()


def test_columns_that_do_not_fit_are_refused() -> None:
    worth = Value("click + price", "home").worth
    for heads, fields in (((2, 2), (2, 1)), ((2, 1), (2, 0)), ((2, 1), (3, 1))):
        with pytest.raises(NativeError) as refused:
            worth.of(np.zeros(heads, np.float32), np.zeros(fields, np.float32))
        assert refused.value.reason == "bad_shape"
