from __future__ import annotations

import msgspec
import pytest

from rtp_monolith.config import parse
from rtp_monolith.errors import BundleError
from tests.serving.fakes import Shop

KEY = "lists-key-0123456789"


async def test_each_route_asks_the_models() -> None:
    shop = Shop()
    for method, path, body in (
        ("GET", "/v1/models", None),
        ("GET", "/v1/models/demo/1.2", None),
        ("POST", "/v1/models/activate", {"name": "demo", "version": "1.2"}),
        ("POST", "/v1/models/rollback", None),
        ("GET", "/v1/models/trial", None),
        ("POST", "/v1/models/trial", {"role": "canary", "name": "demo", "version": "1.2", "share": 0.1}),
        ("DELETE", "/v1/models/trial", None),
    ):
        answer = await shop.ask(method, path, json=body)
        assert (answer.status_code, answer.json()) == (200, {"active": None, "previous": None})
    assert shop.models.asked == [
        ("listing",),
        ("described", "demo", "1.2"),
        ("activate", "demo", "1.2"),
        ("rollback",),
        ("trial",),
        ("try_out", "canary", "demo", "1.2", "0.1"),
        ("end_trial",),
    ]


async def test_a_refusal_has_its_code_and_status() -> None:
    shop = Shop()
    shop.models.refuse = BundleError("bundle_checksum", "no", field="files")
    wanted = {"name": "demo", "version": "1"}
    assert await shop.code("POST", "/v1/models/activate", json=wanted) == (409, "bundle_checksum")
    shop.models.refuse = BundleError("bundle_missing", "no")
    assert await shop.code("GET", "/v1/models/demo/2") == (404, "bundle_missing")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", (400, "malformed_body")),
        (b"[]", (400, "malformed_body")),
        (b"{}", (422, "missing_field")),
        (b'{"name": "a"}', (422, "missing_field")),
        (b'{"name": 1, "version": "1"}', (422, "wrong_type")),
        (b'{"name": "a", "version": "1", "folder": "x"}', (422, "unknown_field")),
        (msgspec.json.encode({"name": "a" * 129, "version": "1"}), (422, "too_long")),
    ],
)
async def test_a_body_that_is_no_version_is_refused(body: bytes, code: tuple[int, str]) -> None:
    shop = Shop()
    headers = {"content-type": "application/json"}
    assert await shop.code("POST", "/v1/models/activate", content=body, headers=headers) == code
    assert shop.models.asked == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"role": "hero"}, "wrong_type"),
        ({"share": "half"}, "wrong_type"),
        ({"share": None}, "wrong_type"),
        ({"who": "me"}, "unknown_field"),
    ],
)
async def test_a_body_that_is_no_trial_is_refused(change: dict[str, object], code: str) -> None:
    shop = Shop()
    body = {"role": "canary", "name": "a", "version": "1", "share": 0.1} | change
    assert await shop.code("POST", "/v1/models/trial", json=body) == (422, code)
    assert shop.models.asked == []


async def test_the_scope_is_admin() -> None:
    shop = Shop(parse(f"[[keys]]\nkey = '{KEY}'\nscopes = ['lists']"))
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/models/rollback"), ("GET", "/v1/faults")):
        assert (await shop.code(method, path))[0] == 401
        headers = {"authorization": f"Bearer {KEY}"}
        assert await shop.code(method, path, headers=headers) == (403, "forbidden")
    assert shop.models.asked == []
