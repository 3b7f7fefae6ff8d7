from __future__ import annotations

import json

import pytest

from rtp_monolith import errors
from rtp_monolith.errors import CODES, InvalidField, LogFailure, MalformedBody, NativeError, RtpError, from_native


def classes(root: type[RtpError]) -> list[type[RtpError]]:
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


def test_every_code_of_the_contract_has_its_status() -> None:
    contract = {
        "malformed_body": 400,
        "bad_filter": 400,
        "unauthorized": 401,
        "forbidden": 403,
        "not_found": 404,
        "unknown_item": 404,
        "unknown_user": 404,
        "unknown_surface": 404,
        "method_not_allowed": 405,
        "body_too_large": 413,
        "unsupported_media_type": 415,
        "missing_field": 422,
        "out_of_range": 422,
        "rate_limited": 429,
        "overloaded": 503,
        "deadline_exceeded": 504,
    }
    assert {code: CODES[code] for code in contract} == contract


def test_every_event_code_of_the_contract_is_a_field_code() -> None:
    assert {
        "missing_field",
        "wrong_type",
        "too_long",
        "unknown_event_type",
        "item_id_required",
        "bad_ts",
        "ts_in_future",
        "unsupported_schema_version",
        "too_many_props",
        "unknown_field",
        "consent_denied",
    } <= errors.FIELD_CODES


def test_every_class_of_the_tree_has_its_code_in_the_table() -> None:
    assert {each.default_code for each in classes(RtpError)} <= set(CODES)


@pytest.mark.parametrize("code", sorted(CODES))
def test_from_native_gives_each_code_back(code: str) -> None:
    error = from_native(code, "price", "too much")
    assert (error.code, error.status, error.message, error.field) == (code, CODES[code], "too much", "price")


def test_the_body_has_a_field_only_where_there_is_one() -> None:
    assert json.loads(MalformedBody("no").body()) == {"error": {"code": "malformed_body", "message": "no"}}
    assert json.loads(InvalidField("too_long", "long", "user_id").body()) == {
        "error": {"code": "too_long", "message": "long", "field": "user_id"}
    }
    assert from_native("malformed_body", "", "no").field is None


def test_a_full_disk_is_overload_outside_and_keeps_its_reason_inside() -> None:
    error = from_native("disk_full", None, "No space left on device")
    assert isinstance(error, LogFailure)
    assert (error.code, error.status, error.retry_after_s) == ("overloaded", 503, 5)
    assert (error.reason, error.message) == ("disk_full", "disk_full: No space left on device")


def test_a_code_nobody_knows_is_our_fault_not_the_callers() -> None:
    error = from_native("spline_reticulation", "x", "failed")
    assert type(error) is NativeError
    assert (error.code, error.status, error.reason) == ("internal", 500, "spline_reticulation")


def test_shedding_and_rate_limits_say_when_to_come_back() -> None:
    assert errors.Overloaded("full").retry_after_s == 1
    assert errors.RateLimited("slower", retry_after_s=7).retry_after_s == 7
    assert MalformedBody("no").retry_after_s is None
