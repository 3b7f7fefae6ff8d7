"""The one tree of errors: every refusal that a caller can see, with its stable code and HTTP status.

Invariant: a code of the contract belongs to exactly one class here, and `CODES` lists all of them.
It does not know how an error travels (HTTP body, exit code, dead letter): `body` gives the words, the caller the wire.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class ErrorWords(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a caller reads: `{"code", "message", "field"?}`."""

    code: str
    message: str
    field: str | None = None


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every HTTP answer that is not a success: `{"error": {...}}`."""

    error: ErrorWords


_encoder = msgspec.json.Encoder()


class RtpError(Exception):
    """Anything rtp refuses or fails at. `code` is stable, `message` is for people, `field` names the part at fault."""

    default_code: ClassVar[str] = "internal"
    default_status: ClassVar[int] = 500
    default_retry_after_s: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        status: int | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.field = field or None
        self.status = self.default_status if status is None else status
        self.retry_after_s = self.default_retry_after_s if retry_after_s is None else retry_after_s

    def body(self) -> bytes:
        """The JSON body of the contract."""
        return _encoder.encode(ErrorBody(ErrorWords(self.code, self.message, self.field)))


class RequestError(RtpError):
    """The whole request is refused."""


class MalformedBody(RequestError):
    default_code = "malformed_body"
    default_status = 400


class BadFilter(RequestError):
    default_code = "bad_filter"
    default_status = 400


class Unauthorized(RequestError):
    default_code = "unauthorized"
    default_status = 401


class Forbidden(RequestError):
    default_code = "forbidden"
    default_status = 403


class NotFound(RequestError):
    default_code = "not_found"
    default_status = 404


class UnknownItem(NotFound):
    default_code = "unknown_item"


class UnknownUser(NotFound):
    default_code = "unknown_user"


class UnknownSurface(NotFound):
    default_code = "unknown_surface"


class UnknownDeadLetter(NotFound):
    default_code = "unknown_dead_letter"


class MethodNotAllowed(RequestError):
    default_code = "method_not_allowed"
    default_status = 405


class BodyTooLarge(RequestError):
    default_code = "body_too_large"
    default_status = 413


class UnsupportedMediaType(RequestError):
    default_code = "unsupported_media_type"
    default_status = 415


class RateLimited(RequestError):
    default_code = "rate_limited"
    default_status = 429
    default_retry_after_s = 1


class InvalidField(RtpError):
    """A readable value that is refused; `code` is one of `FIELD_CODES`. Status 422 when it refuses a whole request."""

    default_status = 422

    def __init__(self, code: str, message: str, field: str | None = None) -> None:
        super().__init__(message, code=code, field=field)


class Overloaded(RtpError):
    """The shard sheds load, is not recovered yet, or its log takes nothing: come back later."""

    default_code = "overloaded"
    default_status = 503
    default_retry_after_s = 1


class DeadlineExceeded(RtpError):
    default_code = "deadline_exceeded"
    default_status = 504


class ConfigError(RtpError):
    """The configuration or the command line cannot be used."""

    default_code = "bad_config"


class FeatureError(RtpError):
    """A team's feature: `bad_definition`, `feature_changed` (another meaning under the same version) or
    `feature_removed` (a bundle reads it). `field` is where it stands in the file, `features.user.likes.where`."""

    default_code = "bad_definition"


class DataError(RtpError):
    """The data directory: `data_locked`, `data_missing`, `data_layout`, `data_unreadable`, `views_layout`,
    `log_truncated`."""

    default_code = "data_unreadable"


class LakeError(RtpError):
    """The offline store: `lake_missing`, `lake_locked`, `lake_layout`, `lake_unreadable`, `lake_other_log`,
    `lake_unavailable`, `bad_query`, `query_forbidden`, `bad_catalog`."""

    default_code = "lake_unreadable"


class TableError(RtpError):
    """A table of published features; `code` is one of `TABLE_CODES`. What lists read stays as it was."""

    default_code = "table_unavailable"

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message, code=code, field=field, status=TABLE_CODES[code])


class BundleError(RtpError):
    """A model bundle that cannot be served; `code` is one of `BUNDLE_CODES`. What is served stays as it was."""

    default_code = "bundle_missing"

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message, code=code, field=field, status=BUNDLE_CODES[code])


class NativeError(RtpError):
    """A failure of the compiled core that is not the caller's fault; `reason` is the core's own code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class LogFailure(NativeError):
    """The disk or the log refused (`LOG_REASONS`). The contract has one word for it outside: `overloaded`."""

    default_code = "overloaded"
    default_status = 503
    default_retry_after_s = 5


FIELD_CODES: frozenset[str] = frozenset(
    {
        "missing_field",
        "wrong_type",
        "too_long",
        "unknown_field",
        "out_of_range",
        "unknown_event_type",
        "item_id_required",
        "bad_ts",
        "ts_in_future",
        "unsupported_schema_version",
        "too_many_props",
        "consent_denied",
    }
)
BUNDLE_CODES: dict[str, int] = {
    "bundle_missing": 404,
    "bundle_truncated": 409,
    "bundle_checksum": 409,
    "bundle_format": 409,
    "bundle_feature_missing": 409,
    "bundle_feature_differs": 409,
    "bundle_head_missing": 409,
    "bundle_not_finite": 409,
    "bundle_probe": 409,
    "bundle_shape": 409,
    "bundle_no_previous": 409,
    "bundle_in_use": 409,
    "bundle_not_tried": 409,
}
"""Why a bundle is refused, and the HTTP status of that."""
TABLE_CODES: dict[str, int] = {
    "no_published_features": 409,
    "unknown_column": 422,
    "missing_key": 422,
    "bad_value": 422,
    "duplicate_key": 422,
    "empty_table": 422,
    "table_too_large": 422,
    "unknown_draft": 404,
    "table_unavailable": 503,
}
"""Why a table is not published, and the HTTP status of that."""
FEATURE_CODES: frozenset[str] = frozenset({"bad_definition", "feature_changed", "feature_removed"})
LOG_REASONS: frozenset[str] = frozenset({"disk_full", "disk_read_only", "disk_error", "log_corrupt"})

_WHOLE: tuple[type[RtpError], ...] = (
    RtpError,
    MalformedBody,
    BadFilter,
    Unauthorized,
    Forbidden,
    NotFound,
    UnknownItem,
    UnknownUser,
    UnknownSurface,
    UnknownDeadLetter,
    MethodNotAllowed,
    BodyTooLarge,
    UnsupportedMediaType,
    RateLimited,
    Overloaded,
    DeadlineExceeded,
    ConfigError,
    FeatureError,
    DataError,
    LakeError,
)
_BY_CODE: dict[str, type[RtpError]] = {each.default_code: each for each in _WHOLE}
CODES: dict[str, int] = (
    {each.default_code: each.default_status for each in _WHOLE}
    | dict.fromkeys(FIELD_CODES, 422)
    | dict.fromkeys(FEATURE_CODES, FeatureError.default_status)
    | BUNDLE_CODES
    | TABLE_CODES
)
"""Every code and the HTTP status of a request refused with it."""


def from_native(code: str, field: str | None, message: str) -> RtpError:
    """The exception for an error of the compiled core. Never raises; a code nobody knows becomes a `NativeError`."""
    if code in FIELD_CODES:
        return InvalidField(code, message, field)
    if code in BUNDLE_CODES:
        return BundleError(code, message, field=field)
    if code in TABLE_CODES:
        return TableError(code, message, field=field)
    if code in FEATURE_CODES:
        return FeatureError(message, code=code, field=field)
    if code in LOG_REASONS:
        return LogFailure(code, message)
    kind = _BY_CODE.get(code)
    return NativeError(code, message) if kind is None else kind(message, field=field)
