"""One small shop and its two logs, made once."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import orjson
import pytest

from rtp_monolith.demo.shop import Item, generate_items
from rtp_monolith.demo.shoppers import Setting
from rtp_monolith.demo.traffic import Traffic, traffic_of


class Log(msgspec.Struct):
    """A log played to its end: `rows` with the truth behind them, `events` as they are written."""

    traffic: Traffic
    rows: Any
    lines: list[bytes]
    events: list[dict[str, Any]]


def played(traffic: Traffic) -> Log:
    rows = np.concatenate(list(traffic.parts()))
    lines = traffic.pen.lines(rows)
    return Log(traffic, rows, lines, [orjson.loads(line) for line in lines])


@pytest.fixture(scope="package")
def items() -> list[Item]:
    return generate_items(600)


@pytest.fixture(scope="package", params=["intent", "markov"])
def log(request: pytest.FixtureRequest, items: list[Item]) -> Log:
    """Both settings: what holds for a log holds for either."""
    setting: Setting = request.param
    return played(traffic_of(items, 60_000, seed=5, setting=setting))
