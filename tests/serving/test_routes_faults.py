from __future__ import annotations

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.ranking.faults import FAULTY, Faults
from rtp_monolith.serving.ports import Shard
from tests.serving.fakes import Shop


def drilled() -> tuple[Shop, Faults]:
    """A shard that was started with `--faults`."""
    shop, faults = Shop(), Faults(ManualClock(1))
    shop.services.place.put(Shard(shop.state, shop.lists, shop.models, faults))
    return shop, faults


async def test_without_the_option_there_is_nothing() -> None:
    shop = Shop()
    assert await shop.code("GET", "/v1/faults") == (404, "not_found")
    assert await shop.code("POST", "/v1/faults", json={"stage": "rank"}) == (404, "not_found")


async def test_a_fault_is_switched_on_shown_and_off() -> None:
    shop, faults = drilled()
    assert (await shop.ask("GET", "/v1/faults")).json() == {"active": [], "stages": list(FAULTY)}
    wanted = {"stage": "rank", "mode": "stall", "stall_ms": 5.0, "share": 0.5}
    answer = await shop.ask("POST", "/v1/faults", json=wanted)
    assert (answer.status_code, answer.json()["active"]) == (200, [wanted])
    assert "rank" in faults
    await shop.ask("POST", "/v1/faults", json={"stage": "covis"})
    assert (await shop.ask("POST", "/v1/faults", json={"stage": "rank", "off": True})).json()["active"] == [
        {"stage": "covis"}
    ]
    assert (await shop.ask("POST", "/v1/faults", json={"off": True})).json()["active"] == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"stage": "rnak"}, "out_of_range"),
        ({}, "missing_field"),
        ({"stage": "rank", "mode": "burn"}, "wrong_type"),
        ({"stage": "rank", "share": 0}, "wrong_type"),
        ({"stage": "rank", "for_s": 3}, "unknown_field"),
    ],
)
async def test_what_is_no_fault_is_refused(body: dict[str, object], code: str) -> None:
    shop, faults = drilled()
    assert await shop.code("POST", "/v1/faults", json=body) == (422, code)
    assert not faults
