"""Published features: what a definition gives, what a file may say, and rows made again from a decision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rtp_monolith.config import parse
from rtp_monolith.errors import FeatureError, TableError
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.declared import declared
from rtp_monolith.features.published import External, Restore, RowReader, Told, columns_of

TEXT = """
[features.user.budget]
published = "number"
meaning = "budget of a year"
default = 5.0
ttl = "2d"

[features.user.tier]
published = "text"
words = ["silver", "gold"]
meaning = "loyalty tier"
version = 2
owner = "crm"

[features.item.look]
published = "vector"
length = 3
meaning = "embedding"
"""
KNOWN = declared(parse(TEXT))


def test_a_definition_becomes_features_with_fingerprints_and_columns() -> None:
    assert [(each.name, each.op, each.scope, each.default) for each in KNOWN.custom] == [
        ("item_look_0", "item_published", "item", 0.0),
        ("item_look_1", "item_published", "item", 0.0),
        ("item_look_2", "item_published", "item", 0.0),
        ("user_budget", "user_published", "user", 5.0),
        ("user_tier", "user_published", "user", 0.0),
    ]
    assert len({each.fingerprint() for each in KNOWN.custom}) == 5
    budget, tier = KNOWN.published.user
    assert (budget.name, budget.column, budget.kind, budget.ttl_ms) == ("user_budget", "budget", "number", 172_800_000)
    assert (tier.words, tier.version, KNOWN.by_name()["user_tier"].owner) == (("silver", "gold"), 2, "crm")
    assert compile_plan(KNOWN.features).names[-5:] == [each.name for each in KNOWN.custom]
    assert columns_of(KNOWN.published.user) == {"user_budget": slice(0, 1), "user_tier": slice(1, 2)}
    assert (KNOWN.published.width("user"), KNOWN.published.width("item")) == (2, 3)


@pytest.mark.parametrize(
    ("before", "after", "key_changes"),
    [
        ('words = ["silver", "gold"]', 'words = ["gold", "silver"]', {"user_tier"}),
        ("version = 2", "version = 3", {"user_tier"}),
        ("length = 3", "length = 4", {"item_look"}),
        ("default = 5.0", "default = 6.0", set()),
        ('ttl = "2d"', 'ttl = "1d"', set()),
        ('meaning = "embedding"', 'meaning = "another sentence"', set()),
    ],
)
def test_a_key_changes_with_what_values_mean(before: str, after: str, key_changes: set[str]) -> None:
    def keys(text: str) -> dict[str, str]:
        published = declared(parse(text)).published
        return {each.name: each.key for each in (*published.user, *published.item)}

    was, now = keys(TEXT), keys(TEXT.replace(before, after))
    assert {name for name in was if was[name] != now[name]} == key_changes


@pytest.mark.parametrize(
    ("table", "scope", "message"),
    [
        ('published = "numbr"', "user", "did you mean `number`"),
        ('published = "number"', "session", "nothing is published of the scope `session`"),
        ('published = "number"\nlength = 3', "user", "`length` means nothing to the published `number`"),
        ('published = "vector"', "user", "`length` is missing"),
        ('published = "vector"\nlength = 0', "user", "is 0, a vector has 1 to 1024 numbers"),
        ('published = "vector"\nlength = 1025', "user", "is 1025"),
        ('published = "text"', "user", "`words` is missing"),
        ('published = "number"\nttl = "soon"', "user", "ttl: 'soon' is no time"),
        ('published = "number"\nwindow = "7d"', "user", "`window` means nothing"),
        ('published = "number"\naggregate = "count"', "user", "needs one of .* has aggregate and published"),
    ],
)
def test_a_definition_that_does_not_fit_is_refused(table: str, scope: str, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        declared(parse(f"[features.{scope}.x]\nmeaning = 'm'\n{table}"))


def test_the_name_of_a_vectors_number_is_taken() -> None:
    clash = "[features.item.look_1]\nmeaning = 'm'\npublished = 'number'"
    with pytest.raises(FeatureError, match="`item_look_1` is the name of two features"):
        declared(parse(TEXT + clash))
    wide = "".join(f"[features.item.v{n}]\nmeaning = 'm'\npublished = 'vector'\nlength = 1024\n" for n in range(3))
    with pytest.raises(FeatureError, match="3072 columns of published features, at most 2048"):
        declared(parse(wide))


def read(scope: Any, record: dict[str, Any], *, text: bool = False) -> tuple[str, list[float]]:
    id, row = RowReader(KNOWN.published, scope).read(record, 7, text=text)
    return id, np.frombuffer(row, "<f4").tolist()


def test_records_become_rows() -> None:
    assert read("user", {"id": "ann", "budget": 12, "tier": "gold"}) == ("ann", [12.0, 2.0])
    assert read("user", {"user_id": 7, "budget": True, "tier": "silver"}) == ("7", [1.0, 1.0])
    assert read("item", {"look": [1, 2.5, -3], "item_id": "a"}) == ("a", [1.0, 2.5, -3.0])
    id, row = read("user", {"id": "ann", "budget": None})
    assert id == "ann" and all(math.isnan(each) for each in row)
    assert read("user", {"id": "ann", "budget": "1e3", "tier": "gold"}, text=True) == ("ann", [1000.0, 2.0])
    assert read("item", {"id": "a", "look": "[1, 2, 3]"}, text=True) == ("a", [1.0, 2.0, 3.0])
    assert math.isnan(read("user", {"id": "ann", "budget": ""}, text=True)[1][0])


@pytest.mark.parametrize(
    ("record", "code", "message"),
    [
        ({"id": "a", "budgt": 1}, "unknown_column", "unknown column `budgt`, did you mean `budget`"),
        ({"budget": 1}, "missing_key", "one key, `id` or `user_id`; there is none"),
        ({"id": "a", "user_id": "b", "budget": 1}, "missing_key", "there is id and user_id"),
        ({"id": None, "budget": 1}, "missing_key", "there is id|row 7: the key is nothing"),
        ({"id": "", "budget": 1}, "missing_key", "row 7: the key is a text"),
        ({"id": "x" * 129, "budget": 1}, "bad_value", "row 7: the key"),
        ({"id": 1.5, "budget": 1}, "bad_value", "row 7: the key is a number"),
        ({"id": "a", "budget": math.nan}, "bad_value", "row 7: `budget` is nan, not a finite"),
        ({"id": "a", "budget": 1e39}, "bad_value", "not a finite number of 32 bits"),
        ({"id": "a", "budget": -(10**400)}, "bad_value", "not a finite number of 32 bits"),
        ({"id": "a", "budget": "12"}, "bad_value", "`budget` is a text, not a number"),
        ({"id": "a", "tier": "golden"}, "bad_value", "'golden' is none of its words, did you mean `gold`"),
        ({"id": "a", "tier": 2}, "bad_value", "`tier` is a number, not a text"),
    ],
)
def test_a_user_that_does_not_fit_is_refused(record: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(TableError, match=message) as refused:
        read("user", record)
    assert refused.value.code == code


@pytest.mark.parametrize("look", ["[1,2,3]", [1, 2], [1, 2, 3, 4], [1, 2, None], [1, 2, math.inf], {"a": 1}, 3])
def test_a_vector_that_does_not_fit_is_refused(look: object) -> None:
    with pytest.raises(TableError) as refused:
        read("item", {"id": "a", "look": look})
    assert (refused.value.code, refused.value.field) == ("bad_value", "look")


def test_cells_of_text_that_do_not_fit_are_refused() -> None:
    for record in ({"id": "a", "budget": "many"}, {"id": "a", "budget": "nan"}, {"id": "a", "budget": "inf"}):
        with pytest.raises(TableError) as refused:
            read("user", record, text=True)
        assert refused.value.code == "bad_value"
    with pytest.raises(TableError):
        read("item", {"id": "a", "look": "1;2;3"}, text=True)


def test_a_scope_without_published_features_takes_no_rows() -> None:
    with pytest.raises(TableError) as refused:
        RowReader(declared(parse("")).published, "user")
    assert refused.value.code == "no_published_features"


def test_values_of_a_decision_come_back_under_the_definitions_of_today() -> None:
    budget, tier = KNOWN.published.user
    (look,) = KNOWN.published.item
    told = External(
        user=Told([("user_gone", 2, "00"), (tier.name, 0, "00"), (budget.name, 0, budget.key)], [[1.0, 2.0, 3.0, 4.0]]),
        items=Told([(look.name, 3, look.key)], [[1.0, None, 3.0], [None, None, None]]),
    )
    restore = Restore(KNOWN.published)
    np.testing.assert_array_equal(restore.user(told), np.array([4.0, np.nan], np.float32))
    np.testing.assert_array_equal(restore.items(told), np.array([[1.0, np.nan, 3.0], [np.nan] * 3], np.float32))
    assert np.isnan(restore.user(None)).all() and restore.items(None).shape == (0, 3)
