"""Send or not: the threshold, the user's night, what was sent before, and that it is not forgotten."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from rtp_monolith.config import Config, parse
from rtp_monolith.errors import ConfigError
from rtp_monolith.ranking.send import Quiet, Sending
from rtp_monolith.ranking.surfaces import compile_surfaces

from .conftest import NOON, OpenShop, Shop, ids

HOUR = 3_600_000
PUSH = """
[surfaces.home]
k = 3
seen = "allow"
value = "click"
[surfaces.home.sources]
popular = {{}}
catalogue = {{}}
[surfaces.home.send]
{send}
"""


def config(send: str) -> str:
    return PUSH.format(send=send)


def answer(shop: Shop, **request: Any) -> dict[str, Any]:
    told: dict[str, Any] = shop.home(**request)["send"]
    return told


def reason(shop: Shop, **request: Any) -> str:
    return str(answer(shop, **request)["reason"])


def test_without_a_model_the_score_is_the_click_rate_of_the_first_item(open_shop: OpenShop) -> None:
    shop = open_shop(config("threshold = 0.06\nmost_per_day = 10"), bundle=False)
    shop.did("impression", *["i3"] * 5, session="others")
    assert answer(shop) == {"send": False, "score": pytest.approx(0.05, abs=0.01), "reason": "below_threshold"}
    shop.did("click", *["i3"] * 3, session="others")
    reply = shop.home()
    assert ids(reply)[0] == "i3"
    assert reply["send"] == {"send": True, "score": pytest.approx((3 + 0.05 * 50) / 55, abs=1e-3), "reason": "ok"}


def test_with_a_model_the_score_is_its_value_and_the_sources_do_not_change_it(open_shop: OpenShop) -> None:
    scores = []
    for weight in (0.0, 0.5):
        shop = open_shop(config("threshold = 0").replace("k = 3", f"k = 3\nrecall_weight = {weight}"))
        reply = shop.home(explain=True)
        first = reply["items"][0]["explain"]
        assert reply["send"]["score"] == pytest.approx(
            first["scores"]["value"] if weight == 0 else first["heads"]["click"]
        )
        assert 0 < reply["send"]["score"] < 1
        scores.append(reply["send"]["send"])
    assert scores == [True, True]
    shop = open_shop(config("threshold = 0.99"))
    reply = shop.home()
    assert (reply["send"]["reason"], len(reply["items"])) == ("below_threshold", 3), "listed all the same"


def test_what_was_sent_counts_at_once_and_by_the_day(open_shop: OpenShop) -> None:
    shop = open_shop(config("threshold = 0\ngap = '4h'\nmost_per_day = 2"), bundle=False)
    began = shop.clock.now_ms()
    assert reason(shop) == "ok"
    assert answer(shop) == {
        "send": False,
        "score": pytest.approx(0.05),
        "reason": "too_soon",
        "next_ms": began + 4 * HOUR,
    }
    assert reason(shop, session_id="somebody else") == "ok"
    shop.clock.advance(4 * HOUR)
    assert reason(shop) == "ok"
    shop.clock.advance(5 * HOUR)
    assert answer(shop) == {
        "send": False,
        "score": pytest.approx(0.05),
        "reason": "too_many",
        "next_ms": began + 24 * HOUR,
    }
    shop.clock.advance(15 * HOUR)
    assert reason(shop) == "ok"


def test_a_night_is_where_the_user_is(open_shop: OpenShop) -> None:
    zones = 'quiet = "22:00-08:00"\ntimezone = "UTC"\ntimezones = { JP = "Asia/Tokyo", us = "America/New_York" }'
    shop = open_shop(config(f"threshold = 0\nmost_per_day = 10\n{zones}"), bundle=False)
    shop.clock.advance(NOON + 30_000 - shop.clock.now_ms())
    assert reason(shop) == "ok", "noon in London"
    assert reason(shop, context={"country": "jp"}) == "ok", "nine in the evening in Tokyo"
    shop.clock.advance(HOUR)
    told = answer(shop, context={"country": "jp"})
    assert (told["reason"], told["next_ms"]) == ("quiet_time", NOON + 11 * HOUR), "eight in the morning there"
    assert reason(shop, context={"country": "us"}) == "ok"
    shop.did("click", "i1", session="s2", props={"country": "jp"})
    assert reason(shop, session_id="s2") == "quiet_time", "the last country that events named"
    body = (
        b'[{"id": "ada", "attributes": {"timezone": "Asia/Tokyo"}}, {"id": "bob", "attributes": {"timezone": "Mars"}}]'
    )
    assert shop.state.ingest_sync("users", body, "json", trusted=True).accepted == 2
    assert reason(shop, user_id="ada", context={"country": "us"}) == "quiet_time", "the user's own zone is nearest"
    assert reason(shop, user_id="bob", context={"country": "us"}) == "ok", "a zone that does not exist is none"


def test_what_was_sent_outlives_a_restart_and_a_sign_in(tmp_path: Path) -> None:
    declared = parse(config("threshold = 0\ngap = '2d'\nmost_per_day = 1"))
    shop = Shop(tmp_path, declared)
    assert (reason(shop, user_id="ada"), reason(shop, session_id="s9")) == ("ok", "ok")
    shop.state.core.submit_decisions(shop.state.log)
    shop.did("click", "i1", session="s9")
    shop.state.close()
    again = Shop(tmp_path, declared, stocked=False)
    try:
        again.clock.advance(HOUR)
        assert reason(again, user_id="ada") == "too_many"
        assert reason(again, user_id="bob") == "ok"
        again.did("click", "i2", session="s9", user="eve")
        assert reason(again, user_id="eve") == "too_many", "what the session was sent is its user's"
    finally:
        again.state.close()


def test_a_gap_may_be_longer_than_a_day(open_shop: OpenShop) -> None:
    shop = open_shop(config("threshold = 0\ngap = '2d'"), bundle=False)
    began = shop.clock.now_ms()
    assert reason(shop) == "ok"
    shop.clock.advance(30 * HOUR)
    told = answer(shop)
    assert (told["reason"], told["next_ms"]) == ("too_soon", began + 48 * HOUR)
    shop.clock.advance(18 * HOUR)
    assert reason(shop) == "ok"


def test_what_is_remembered_of_what_was_sent_is_bounded(tmp_path: Path) -> None:
    """The last 32 of a user, on its way to the disk or in the record, and after a restart the same."""
    declared = parse(config("threshold = 0\nmost_per_day = 2"))
    shop = Shop(tmp_path, declared)
    at = []
    for _ in range(20):
        for _ in range(2):
            at.append(shop.clock.now_ms())
            assert reason(shop, user_id="ada") == "ok"
            shop.clock.advance(HOUR)
        assert reason(shop, user_id="ada") == "too_many"
        shop.decisions()
        shop.clock.advance(22 * HOUR)

    def remembered(shop: Shop) -> list[int]:
        core, plan = shop.state.core, shop.models.surfaces["home"].plan
        shop.state.load_request("ada", "s")
        return core.addressee(core.ask(plan, "ada", "s", shop.clock.now_ms()))[0]

    assert remembered(shop) == at[-32:]
    shop.state.close()
    again = Shop(tmp_path, declared, stocked=False)
    try:
        assert remembered(again) == at[-32:]
    finally:
        again.state.close()


def test_only_the_first_page_is_a_notification(open_shop: OpenShop) -> None:
    shop = open_shop(config("threshold = 0\nmost_per_day = 10"), bundle=False)
    first = shop.home()
    assert "send" not in shop.home(after=first["request_id"])
    assert shop.rank(["i1", "i2"])["send"]["send"] is True
    assert shop.rank(["nobody"])["send"] == {"send": False, "score": 0.0, "reason": "no_items"}


def test_surfaces_that_do_not_send_say_nothing_of_it(shop: Shop) -> None:
    assert "send" not in shop.home()


@pytest.mark.parametrize(
    ("quiet", "at", "ends"),
    [
        ("22:00-08:00", "2024-10-04T21:59", None),
        ("22:00-08:00", "2024-10-04T22:00", "2024-10-05T08:00"),
        ("22:00-08:00", "2024-10-05T07:59", "2024-10-05T08:00"),
        ("22:00-08:00", "2024-10-05T08:00", None),
        ("13:00-15:30", "2024-10-04T15:29", "2024-10-04T15:30"),
        ("13:00-15:30", "2024-10-04T12:59", None),
        ("22:00-08:00", "2024-10-26T23:00", "2024-10-27T08:00"),
    ],
)
def test_quiet_hours(quiet: str, at: str, ends: str | None) -> None:
    berlin = ZoneInfo("Europe/Berlin")

    def ms(text: str) -> int:
        return int(datetime.fromisoformat(text).replace(tzinfo=berlin).timestamp() * 1000)

    assert Quiet(quiet).ends_ms(ms(at), berlin) == (None if ends is None else ms(ends))


def test_what_means_nothing_is_refused() -> None:
    for send, word in (
        ("quiet = '22-08'", "quiet"),
        ("quiet = '24:00-08:00'", "quiet"),
        ("most_per_day = 11", "most_per_day"),
        ("threshold = -1", "threshold"),
        ("tresh = 1", "did you mean `threshold`"),
    ):
        with pytest.raises(ConfigError, match=word):
            parse(config(send))
    for send in ("timezone = 'Berlin'", "timezones = { de = 'Europa/Berlin' }"):
        with pytest.raises(ConfigError, match=r"send\.timezone.*IANA"):
            compile_surfaces(parse(config(send)))
    plain = Config().surfaces["home"]
    assert plain.send is None
    declared = parse(config("")).surfaces["home"].send
    assert declared is not None
    assert Sending(declared, "here")
