"""Columns mapped to fields, with their report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rtp_monolith.ingest.columns import FIELDS, ColumnReport, Columns, Kind
from rtp_monolith.ingest.files import FileError, RowRefused


def record(kind: Kind, row: dict[str, Any], **options: Any) -> dict[str, object] | RowRefused:
    return Columns(kind, **{"typed": False, **options}).record(1, row)


def test_an_event_by_its_own_names_is_left_as_it_is() -> None:
    event = {
        "event_id": "e",
        "user_id": "u",
        "session_id": "s",
        "event_type": "click",
        "item_id": "i",
        "ts_ms": 5,
        "props": {"device": "phone", "price": 2.5},
        "schema_version": 2,
        "request_id": "r",
        "position": 0,
    }
    assert record("events", event, typed=True) == event


def test_an_event_by_common_other_names() -> None:
    row = {
        "userId": "7",
        "user_session": "s1",
        "Event": "click",
        "product-id": "42",
        "event_time": "2020-06-30 17:04:47 UTC",
        "Price": "9.90",
        "colour": "red",
        "note": "",
    }
    made = record("events", row)
    assert isinstance(made, dict)
    assert made.pop("event_id") == "1-de8f73ad7a0fd358"
    assert made == {
        "user_id": "7",
        "session_id": "s1",
        "event_type": "click",
        "item_id": "42",
        "ts_ms": 1_593_536_687_000,
        "props": {"price": "9.90", "colour": "red"},
    }


def test_made_event_ids_depend_on_the_row_and_its_place() -> None:
    row = {"session_id": "s", "event_type": "view", "item_id": "i", "ts_ms": "5"}
    columns = Columns("events", typed=False)
    first, second = columns.record(1, row), columns.record(2, row)
    again = Columns("events", typed=False).record(1, row)
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first == again
    assert first["event_id"] != second["event_id"]
    assert columns.made == {"event_id": 2}


def test_without_sessions_a_session_is_a_user_and_a_day() -> None:
    def session_of(user: str, ts: str) -> object:
        made = record("events", {"user_id": user, "event_type": "search", "ts_ms": ts})
        assert isinstance(made, dict)
        return made["session_id"]

    assert session_of("u", "1") == session_of("u", "86399999")
    assert session_of("u", "1") != session_of("u", "86400000")
    assert session_of("u", "1") != session_of("v", "1")


def test_an_item_by_common_other_names() -> None:
    row = {
        "SKU": "00042",
        "name": "A lamp",
        "category": "home > lamps|light",
        "vendor": "Shop",
        "price": "19.90",
        "stock": "3",
        "created": "2020-06-30T17:04:47Z",
        "image_link": "/a.svg",
        "watt": "60",
        "dimmable": "true",
        "code": "007",
        "attributes.size": "L",
    }
    assert record("items", row) == {
        "id": "00042",
        "title": "A lamp",
        "categories": ["home > lamps", "light"],
        "seller": "Shop",
        "price": 19.9,
        "available": True,
        "created_at": 1_593_536_687_000,
        "image_url": "/a.svg",
        "attributes": {"watt": 60, "dimmable": True, "code": "007", "size": "L"},
    }


def test_typed_text_stays_text() -> None:
    made = record("items", {"id": 5, "size": "42", "attributes": {"watt": "60", "n": 1}}, typed=True)
    assert made == {"id": "5", "attributes": {"watt": "60", "n": 1, "size": "42"}}


def test_users_keep_features_apart() -> None:
    row = {"customer_id": "u", "features.age": "31", "country": "NL", "updated_at": "10"}
    made = {"id": "u", "features": {"age": 31}, "attributes": {"country": "NL"}, "as_of": 10_000}
    assert record("users", row) == made


def test_of_two_columns_for_a_field_the_fields_own_name_wins_and_the_other_is_kept() -> None:
    made = record("items", {"product_id": "p", "id": "i", "sku": "s"})
    assert made == {"id": "i", "attributes": {"product_id": "p", "sku": "s"}}


def test_the_asked_mapping_wins_over_names() -> None:
    options = {"mapping": {"sku": "id", "id": "attributes.legacy", "secret": ""}}
    assert record("items", {"id": "1", "sku": "s", "secret": "x"}, **options) == {
        "id": "s",
        "attributes": {"legacy": 1},
    }


def test_constants_fill_in_and_event_types_are_translated() -> None:
    constants = {"event_type": "click", "props.channel": "web"}
    columns = Columns("events", typed=False, constants=constants, event_types={"cart": "add_to_cart"})
    base = {"event_id": "e", "session_id": "s", "item_id": "i", "ts_ms": "5"}
    one = columns.record(1, {**base, "event": ""})
    two = columns.record(2, {**base, "event": "cart", "channel": "app"})
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert (one["event_type"], one["props"]) == ("click", {"channel": "web"})
    assert (two["event_type"], two["props"]) == ("add_to_cart", {"channel": "app"})


def test_the_report_says_what_became_of_each_column() -> None:
    columns = Columns("items", typed=False, mapping={"internal": ""}, empty=["n/a"])
    assert columns.record(1, {"id": "a", "price": "1.5", "internal": "x"}) == {"id": "a", "price": 1.5}
    assert columns.record(2, {"id": "b", "price": "n/a", "internal": ""}) == {"id": "b"}
    refused = RowRefused("wrong_type", "price: not a number: 'dear'")
    assert columns.record(3, {"id": "c", "price": "dear", "internal": "x"}) == refused
    assert columns.reports() == [
        ColumnReport("id", "id", ["text"], 3, 0, {}, None),
        ColumnReport("price", "price", ["number"], 1, 1, {"wrong_type": 1}, "row 3: not a number: 'dear'"),
        ColumnReport("internal", "", [], 2, 1, {}, None),
    ]


def test_rows_of_different_shapes_are_mapped_each_by_its_own() -> None:
    columns = Columns("items", typed=True)
    assert columns.record(1, {"sku": "a"}) == {"id": "a"}
    assert columns.record(2, {"id": "b", "sku": "c"}) == {"id": "b", "attributes": {"sku": "c"}}


def test_the_report_is_bounded_whatever_the_file_says() -> None:
    columns = Columns("items", typed=True)
    for n in range(3_000):
        columns.record(n, {f"column {n}": 1})
    assert len(columns.reports()) == 1_001
    assert columns.reports()[-1].column == "(further columns)"
    assert columns.reports()[-1].taken == 2_000


@pytest.mark.parametrize("target", ["titel", "attribute.x", "title.x"])
def test_a_mapping_to_no_field_is_refused(target: str) -> None:
    with pytest.raises(FileError) as caught:
        Columns("items", typed=False, mapping={"a": target})
    assert caught.value.code == "unknown_field"


@pytest.mark.parametrize("kind", ["events", "items", "users"])
def test_no_name_means_two_fields(kind: Kind) -> None:
    names = [name for field, spec in FIELDS[kind].items() for name in (field, *spec.aliases)]
    assert len(names) == len(set(names))


def test_every_alias_is_in_the_docs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "columns.md").read_text(encoding="utf-8")
    missing = [
        f"{kind}.{field}: {alias}"
        for kind, fields in FIELDS.items()
        for field, spec in fields.items()
        for alias in (field, *spec.aliases)
        if f"`{alias}`" not in text
    ]
    assert missing == []
