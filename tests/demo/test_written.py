from __future__ import annotations

import orjson

from rtp_monolith.demo.visits import KINDS
from rtp_monolith.demo.written import Pen
from tests.demo.conftest import Log

FIELDS = {
    "event_id", "user_id", "session_id", "event_type", "item_id", "ts_ms", "props", "request_id", "position",
    "schema_version",
}  # fmt: skip
PROPS = {
    "impression": {"surface", "device"}, "click": {"surface", "device"}, "dwell": {"dwell_ms"}, "scroll": {"depth_pct"},
    "add_to_cart": {"price", "quantity"}, "search": {"query", "surface"},
    "purchase": {"order_id", "items", "value", "currency"}, "refund": {"order_id", "value", "currency"},
}  # fmt: skip


def test_a_row_and_its_line_say_the_same(log: Log) -> None:
    market = log.traffic.population.market
    for row, event in zip(log.rows[:5000], log.events, strict=False):
        session = f"s5-{row['session']:05d}"
        assert event.keys() <= FIELDS
        assert (event["event_id"], event["session_id"]) == (f"{session}-{row['number']}", session)
        assert (event["event_type"], event["ts_ms"]) == (KINDS[row["kind"]], row["ts_ms"])
        assert event.get("user_id") == (None if row["user"] < 0 else f"shopper-{row['user']:04d}")
        assert event.get("item_id") == (None if row["item"] < 0 else market.ids[row["item"]])
        if row["position"] >= 0:
            assert (event["request_id"], event["position"]) == (f"{session}-l{row['page']}", row["position"])


def test_props_are_strings_of_the_kind(log: Log) -> None:
    for event in log.events:
        props = event.get("props", {})
        assert props.keys() == PROPS.get(event["event_type"], set())
        assert all(isinstance(value, str) for value in props.values())


def test_a_purchase_lists_and_adds_up_its_cart(log: Log) -> None:
    market = log.traffic.population.market
    orders = {}
    for event in log.events:
        if event["event_type"] == "purchase":
            lines = orjson.loads(event["props"]["items"])
            assert event["props"]["value"] == f"{sum(line['price'] * line['quantity'] for line in lines):.2f}"
            for line in lines:
                assert line["price"] == market.price[market.number[line["item_id"]]]
            orders[event["props"]["order_id"]] = {line["item_id"] for line in lines}
        elif event["event_type"] == "refund":
            assert event["item_id"] in orders[event["props"]["order_id"]]
    assert len(orders) > 100


def test_the_truth_is_not_written(log: Log) -> None:
    anonymous = [line for line, row in zip(log.lines, log.rows, strict=True) if row["user"] < 0]
    assert anonymous and not any(b"shopper" in line or b"intent" in line for line in anonymous)


def test_prefixes_make_strangers_of_the_same_people(log: Log) -> None:
    pen = Pen(log.traffic.population, "arm-", users="arm-shopper-")
    rows = log.rows[log.rows["user"] >= 0][:1]
    event = orjson.loads(pen.lines(rows)[0])
    assert event["user_id"] == f"arm-shopper-{rows['user'][0]:04d}"
    assert event["session_id"] == pen.session_id(int(rows["session"][0])) == f"arm-{rows['session'][0]:05d}"
