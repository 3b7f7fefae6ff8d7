"""The records that cross a border in Python: what ingestion answers, what a list is asked with.

Invariant: a request that exists has passed every check that needs no state: types, lengths, ranges, unknown fields.
It does not know surfaces, items or users: whether a name exists is for those who hold the state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from rtp_monolith.errors import InvalidField, MalformedBody

ID_CHARS_MAX = 128
TEXT_CHARS_MAX = 1024
K_MAX = 200
RANK_ITEMS_MAX = 1000
EXPLAIN_MISSING_MAX = 50

Id = Annotated[str, msgspec.Meta(max_length=ID_CHARS_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARS_MAX)]


class Rejected(msgspec.Struct, frozen=True):
    """One record that was refused; `event_id` carries the item's or user's id where the records are items or users."""

    index: int
    event_id: str | None
    code: str
    message: str


class IngestReply(msgspec.Struct, frozen=True):
    """What became of a batch; `position` is the token of the end of what was accepted."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    position: str


class Context(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the list is shown and what is known there."""

    item_id: Id | None = None
    query: Text | None = None
    cart: list[Id] | None = None
    category: Text | None = None
    device: Text | None = None
    country: Text | None = None
    channel: Text | None = None
    app_version: Text | None = None
    campaign: Text | None = None

    def __post_init__(self) -> None:
        _empty_is_missing(
            self, ("item_id", "query", "category", "device", "country", "channel", "app_version", "campaign")
        )


class RecommendRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/recommend`. Without `k` a list is as long as its surface says. `filter` stays the text it came as.
    `after` is the `request_id` of the page before."""

    surface: Id
    session_id: Id
    user_id: Id | None = None
    k: Annotated[int, msgspec.Meta(ge=1, le=K_MAX)] | None = None
    context: Context | None = None
    filter: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    exclude: list[Id] | None = None
    min_position: Text | None = None
    explain: bool = False
    explain_missing: Annotated[list[Id], msgspec.Meta(max_length=EXPLAIN_MISSING_MAX)] | None = None
    request_id: Id | None = None
    after: Id | None = None

    def __post_init__(self) -> None:
        _require(self, ("surface", "session_id"))
        _empty_is_missing(self, ("user_id", "min_position", "request_id", "after"))

    @property
    def filter_json(self) -> bytes | None:
        """The filter's JSON, or None without one."""
        text = bytes(self.filter)
        return None if text in (b"", b"null") else text


class RankRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`POST /v1/rank`: `items` are ids or objects with an `id` and attributes. `k`, `filter`, `exclude` are ignored."""

    surface: Id
    session_id: Id
    items: list[str | dict[str, Any]]
    user_id: Id | None = None
    k: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    context: Context | None = None
    filter: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    exclude: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)
    min_position: Text | None = None
    explain: bool = False
    request_id: Id | None = None

    def __post_init__(self) -> None:
        _require(self, ("surface", "session_id"))
        _empty_is_missing(self, ("user_id", "min_position", "request_id"))
        if len(self.items) > RANK_ITEMS_MAX:
            raise InvalidField("out_of_range", f"items: {len(self.items)} of at most {RANK_ITEMS_MAX}", "items")
        for index, item in enumerate(self.items):
            _check_item_id(index, item if isinstance(item, str) else item.get("id"))

    def ids(self) -> list[str]:
        """The ids in the order given, duplicates kept."""
        return [item if isinstance(item, str) else item["id"] for item in self.items]


def _check_item_id(index: int, item_id: object) -> None:
    if item_id is None or item_id == "":
        raise InvalidField("missing_field", f"items[{index}] has no id", f"items[{index}].id")
    if not isinstance(item_id, str):
        raise InvalidField("wrong_type", f"items[{index}].id is not a string", f"items[{index}].id")
    if len(item_id) > ID_CHARS_MAX:
        raise InvalidField(
            "too_long", f"items[{index}].id has more than {ID_CHARS_MAX} characters", f"items[{index}].id"
        )


def _require(record: msgspec.Struct, names: tuple[str, ...]) -> None:
    for name in names:
        if not getattr(record, name):
            raise InvalidField("missing_field", f"{name} is missing or empty", name)


def _empty_is_missing(record: msgspec.Struct, names: tuple[str, ...]) -> None:
    for name in names:
        if getattr(record, name) == "":
            msgspec.structs.force_setattr(record, name, None)


_RecordT = TypeVar("_RecordT", RecommendRequest, RankRequest)
_QUOTED = re.compile(r"field `([^`]*)`")
_PATH = re.compile(r" - at `\$\.?([^`]*)`$")


def invalid_from_msgspec(error: msgspec.ValidationError) -> InvalidField | MalformedBody:
    """The contract's code for a msgspec refusal. msgspec reports by message only, so its words are read here."""
    message = str(error)
    if message.startswith("Expected `object`") and _PATH.search(message) is None:
        return MalformedBody("the body is not a JSON object")
    at = _PATH.search(message)
    path = at.group(1) if at else ""
    words = message[: at.start()] if at else message
    quoted = _QUOTED.search(words)
    if quoted:
        field = f"{path}.{quoted.group(1)}" if path else quoted.group(1)
        code = "unknown_field" if "unknown" in words else "missing_field"
        what = "is not a field of this request" if code == "unknown_field" else "is missing"
        return InvalidField(code, f"{field} {what}", field)
    if " of length <= " in words:
        code = "too_long"
    elif "Expected `int` >=" in words or "Expected `int` <=" in words or "out of range" in words:
        code = "out_of_range"
    else:
        code = "wrong_type"
    return InvalidField(code, f"{path}: {words}" if path else words, path or None)


def _reader(kind: type[_RecordT]) -> Callable[[bytes], _RecordT]:
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> _RecordT:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            if "got `null`" not in str(error):
                raise refusal(error, body) from None
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(error, body) from None
        # As in events, null says what leaving the field out says; rare enough to read such a body twice.
        try:
            fields = msgspec.json.decode(body)
            if not isinstance(fields, dict):
                raise MalformedBody("the body is not a JSON object")
            return decode(msgspec.json.encode({name: value for name, value in fields.items() if value is not None}))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise refusal(error, body) from None

    return read


def refusal(error: Exception, body: bytes) -> InvalidField | MalformedBody:
    """Why a body could not be decoded. A wrong field in a body that is not JSON further on is not the field's fault."""
    if isinstance(error, msgspec.ValidationError):
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as whole:
            error = whole
        else:
            return invalid_from_msgspec(error)
    if isinstance(error, RecursionError):
        return MalformedBody("the body is nested too deeply")
    return MalformedBody(f"the body is not JSON: {error}")


read_recommend: Callable[[bytes], RecommendRequest] = _reader(RecommendRequest)
"""A body of `/v1/recommend` as a request. Raises MalformedBody or InvalidField."""
read_rank: Callable[[bytes], RankRequest] = _reader(RankRequest)
"""A body of `/v1/rank` as a request. Raises MalformedBody or InvalidField."""
