"""The shapes of what goes in and comes out, as JSON Schema.

Invariant: every name that the OpenAPI document refers to is a key of `SCHEMAS`. It does not know routes.
"""

from __future__ import annotations

from typing import Any

from rtp_monolith.errors import CODES

Json = dict[str, Any]


def _object(required: tuple[str, ...], properties: Json, *, closed: bool = True, text: str | None = None) -> Json:
    out: Json = {"type": "object", "required": list(required), "properties": properties}
    if closed:
        out["additionalProperties"] = False
    if text is not None:
        out["description"] = text
    return out


def _array(items: Json, **more: Any) -> Json:
    return {"type": "array", "items": items} | more


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


ID: Json = {"type": "string", "minLength": 1, "maxLength": 128}
ID_OR_NULL: Json = {"type": ["string", "null"], "minLength": 1, "maxLength": 128}
STRING: Json = {"type": "string"}
INTEGER: Json = {"type": "integer"}
COUNT: Json = {"type": "integer", "minimum": 0}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
TIME_MS: Json = {"type": "integer", "description": "ms since 1970"}

_EVENT = _object(
    ("event_id", "session_id", "event_type", "ts_ms"),
    {
        "event_id": ID | {"description": "the client's idempotency key"},
        "user_id": ID_OR_NULL,
        "session_id": ID,
        "event_type": STRING
        | {
            "description": "impression, click, scroll, dwell, add_to_cart, remove_from_cart, purchase, refund, search, "
            "view, skip, like, dislike, identify, or one declared in the config"
        },
        "item_id": ID_OR_NULL,
        "ts_ms": TIME_MS | {"exclusiveMinimum": 0},
        "props": {
            "type": "object",
            "maxProperties": 64,
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        },
        "request_id": STRING | {"description": "the decision that showed the item"},
        "position": COUNT,
        "schema_version": {"enum": [1, 2], "default": 1},
    },
)
_ITEM = _object(
    ("id",),
    {
        "id": ID,
        "title": STRING,
        "description": STRING,
        "categories": _array(STRING, description="paths written `a > b`, the most important first"),
        "brand": STRING,
        "seller": STRING,
        "price": NUMBER,
        "currency": STRING,
        "available": BOOLEAN | {"default": True},
        "created_at": {"oneOf": [TIME_MS, {"type": "string", "format": "date-time"}]},
        "attributes": {
            "type": "object",
            "additionalProperties": {"oneOf": [STRING, NUMBER, BOOLEAN, _array(STRING)]},
        },
        "image_url": STRING,
        "embedding": _array(NUMBER),
    },
)
_CONTEXT = _object(
    (),
    {
        name: STRING
        for name in ("item_id", "query", "category", "device", "country", "channel", "app_version", "campaign")
    }
    | {"cart": _array(ID)},
)
_ASKED: Json = {
    "surface": STRING,
    "user_id": ID_OR_NULL,
    "session_id": ID,
    "context": _ref("Context"),
    "min_position": STRING | {"description": "`position` of an earlier answer: the list has seen at least that"},
    "explain": BOOLEAN | {"default": False},
    "request_id": ID,
}
_FILTER: Json = {
    "description": "and, or, not, or a comparison of a field of the item",
    "oneOf": [
        _object(("and",), {"and": _array(_ref("Filter"))}),
        _object(("or",), {"or": _array(_ref("Filter"))}),
        _object(("not",), {"not": _ref("Filter")}),
        _object(
            ("field", "op"),
            {
                "field": STRING,
                "op": {"enum": ["eq", "ne", "in", "not_in", "lt", "lte", "gt", "gte", "contains", "exists"]},
                "value": {},
            },
        ),
    ],
}
_LIST_ITEM = _object(
    ("id", "score", "position", "source"),
    {
        "id": STRING,
        "score": NUMBER,
        "position": COUNT,
        "source": _array(STRING),
        "slot": STRING,
        "propensity": NUMBER,
        "explain": {"type": "object"},
    },
    closed=False,
)
_LIST_REPLY = _object(
    ("request_id", "items", "surface", "model", "degraded", "state_version", "as_of_ms", "took_ms", "stages"),
    {
        "request_id": STRING,
        "items": _array(_LIST_ITEM),
        "surface": STRING,
        "model": {"type": ["object", "null"], "properties": {"name": STRING, "version": STRING}},
        "experiments": {"type": "object", "additionalProperties": STRING},
        "degraded": _array(STRING, description="codes of what the list had to do without"),
        "state_version": COUNT | {"description": "events of this user that the list has seen"},
        "as_of_ms": TIME_MS,
        "took_ms": NUMBER,
        "stages": {"type": "object", "additionalProperties": NUMBER, "description": "ms of each stage"},
        "missing": _array(
            _object(("id", "reason"), {"id": STRING, "reason": STRING}, closed=False),
            description="an answer for each id of explain_missing",
        ),
        "send": _object(
            ("send", "score", "reason"),
            {"send": BOOLEAN, "score": NUMBER, "next_ms": TIME_MS}
            | {"reason": {"type": "string", "examples": ["ok", "below_threshold", "quiet_time", "too_many"]}},
            text="on a surface that sends: whether to send the first item",
        ),
    },
    closed=False,
)
_MODEL_VERSION = _object(("name", "version"), {"name": ID, "version": ID})
_MODEL_OR_NONE: Json = {"oneOf": [_ref("ModelVersion"), {"type": "null"}]}
_TRIAL: Json = {
    "role": {"enum": ["canary", "shadow"]},
    "name": ID,
    "version": ID,
    "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
}
_UNDER_WAY = _object(("role", "name", "version", "share", "since_ms"), _TRIAL | {"since_ms": TIME_MS})
_SIDE = _object(
    ("lists", "failed", "shown", "clicks", "p95_ms"),
    {
        "lists": COUNT,
        "failed": COUNT | {"description": "lists that had to do without a stage of the bundle"},
        "shown": COUNT | {"description": "items in lists"},
        "clicks": COUNT | {"description": "clicks of the people on this side"},
        "p95_ms": NUMBER,
    },
)
_OVERLAP = _object(
    ("lists", "failed", "overlap", "first_same", "p95_ms", "moved", "skipped"),
    {
        "lists": COUNT | {"description": "made again"},
        "failed": COUNT,
        "overlap": NUMBER | {"description": "mean share of the first ten items that both show"},
        "first_same": NUMBER,
        "p95_ms": NUMBER,
        "moved": COUNT | {"description": "not compared: the user did something meanwhile"},
        "skipped": COUNT | {"description": "not made: too many waited"},
    },
)


def _or_none(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


_STATUS: Json = {"active": _MODEL_OR_NONE, "previous": _MODEL_OR_NONE}
_FAULT = _object(
    (),
    {
        "stage": STRING
        | {"description": "encode, ann, recall, prerank, rank, rerank, explore, log, or a source of recall"},
        "mode": {"enum": ["fail", "stall"], "default": "fail"},
        "stall_ms": NUMBER | {"default": 1000, "description": "cut to what the stage may take"},
        "share": NUMBER | {"default": 1, "exclusiveMinimum": 0, "maximum": 1, "description": "of the requests"},
        "off": BOOLEAN | {"default": False, "description": "end it; without a stage, end all"},
    },
)
_SEEN = _object(
    ("item_id", "event_type", "ts_ms"),
    {"item_id": STRING, "event_type": STRING, "ts_ms": TIME_MS, "dwell_ms": INTEGER},
    closed=False,
)
_SESSION = _object(
    ("session_id", "started_ms", "last_ms", "items", "cart"),
    {"session_id": STRING, "started_ms": TIME_MS, "last_ms": TIME_MS, "items": _array(_SEEN), "cart": _array(STRING)},
    closed=False,
)
_REJECTED = _object(
    ("index", "event_id", "code", "message"),
    {"index": COUNT, "event_id": {"type": ["string", "null"]}, "code": STRING, "message": STRING},
)
_REFUSED_AGAIN = _object(("id", "code", "message"), {"id": INTEGER, "code": STRING, "message": STRING})

SCHEMAS: Json = {
    "Event": _EVENT,
    "EventBatch": _object(
        ("events",),
        {"events": _array(_ref("Event"), maxItems=1000), "sent_at": TIME_MS | {"description": "corrects ts_ms"}},
    ),
    "IngestReply": _object(
        ("accepted", "duplicates", "rejected", "position"),
        {"accepted": COUNT, "duplicates": COUNT, "rejected": _array(_REJECTED), "position": STRING},
    ),
    "Item": _ITEM,
    "User": _object(
        ("id",),
        {
            "id": ID,
            "attributes": {"type": "object"},
            "features": {"type": "object"},
            "as_of": {"oneOf": [TIME_MS, {"type": "string", "format": "date-time"}]},
        },
    ),
    "UserState": _object(
        ("user_id", "state_version", "sessions", "counts", "features"),
        {
            "user_id": {"type": ["string", "null"]},
            "state_version": COUNT,
            "sessions": _array(_SESSION, description="oldest first"),
            "counts": {"type": "object", "additionalProperties": COUNT, "description": "lifetime, by event type"},
            "features": {"type": "object"},
        },
        closed=False,
    ),
    "Context": _CONTEXT,
    "Filter": _FILTER,
    "RecommendRequest": _object(
        ("surface", "session_id"),
        _ASKED
        | {
            "k": {"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
            "filter": _ref("Filter"),
            "exclude": _array(ID),
            "after": ID | {"description": "`request_id` of the page before: the list goes on behind what it showed"},
            "explain_missing": _array(ID, maxItems=50, description="say of these why they are not in the list"),
        },
    ),
    "RankRequest": _object(
        ("surface", "session_id", "items"),
        _ASKED
        | {
            "items": _array({"oneOf": [ID, _object(("id",), {"id": ID}, closed=False)]}, maxItems=1000),
            "k": {"description": "ignored"},
            "filter": {"description": "ignored"},
            "exclude": {"description": "ignored"},
        },
    ),
    "ListReply": _LIST_REPLY,
    "DeadLetter": _object(
        ("id", "received_ms", "code", "message", "payload"),
        {
            "id": INTEGER,
            "received_ms": TIME_MS,
            "code": STRING,
            "message": STRING,
            "payload": STRING | {"description": "the event as it was received"},
            "cut": BOOLEAN | {"description": "the payload was too long to be kept whole"},
            "replayed": BOOLEAN,
        },
    ),
    "ReplayRequest": _object((), {"ids": _array(INTEGER, maxItems=1000), "code": STRING}, text="either ids or code"),
    "ReplayReply": _object(
        ("tried", "accepted", "duplicates", "rejected"),
        {"tried": COUNT, "accepted": COUNT, "duplicates": COUNT, "rejected": _array(_REFUSED_AGAIN)},
    ),
    "ModelVersion": _MODEL_VERSION,
    "ModelStatus": _object(("active", "previous"), _STATUS),
    "ModelTrial": _object(("role", "name", "version", "share"), _TRIAL),
    "TrialReport": _object(
        ("trial", "stays", "tried", "overlap", "ended"),
        {
            "trial": _or_none(_UNDER_WAY),
            "stays": _or_none(_SIDE),
            "tried": _or_none(_SIDE),
            "overlap": _or_none(_OVERLAP),
            "ended": _or_none(
                _object(("trial", "reason", "at_ms"), {"trial": _UNDER_WAY, "reason": STRING, "at_ms": INTEGER})
            ),
        },
    ),
    "ModelListing": _object(
        ("active", "previous", "bundles"),
        _STATUS
        | {
            "bundles": _array(
                _object(
                    ("name", "version", "active", "metrics"),
                    {"name": STRING, "version": STRING, "active": BOOLEAN, "metrics": {"type": "object"}},
                )
            )
        },
    ),
    "ModelDescription": _object(("active", "manifest"), {"active": BOOLEAN, "manifest": {"type": "object"}}),
    "FeatureListing": _object(
        ("features", "known"),
        {
            "features": _array(
                _object(
                    ("name", "scope", "version", "owner", "meaning", "fingerprint", "own"),
                    dict.fromkeys(("name", "scope", "owner", "meaning", "fingerprint"), STRING)
                    | {"version": INTEGER, "own": BOOLEAN},
                )
            ),
            "known": {
                "type": "object",
                "additionalProperties": {"type": "object", "additionalProperties": STRING},
                "description": "By name and version: the fingerprint.",
            },
        },
    ),
    "TableListing": _object(
        ("tables",),
        {
            "tables": _array(
                _object(
                    ("scope", "version", "rows", "features", "as_of_ms", "age_s", "ttl_ms", "published_ms"),
                    {"scope": STRING, "version": STRING, "rows": COUNT, "features": _array(STRING), "age_s": NUMBER}
                    | {"as_of_ms": TIME_MS, "published_ms": TIME_MS}
                    | {"ttl_ms": COUNT | {"description": "0 for none"}},
                )
            )
        },
    ),
    "Publication": _object(
        ("version",),
        {
            "version": ID | {"description": "a name for people"},
            "ttl_ms": {"type": ["integer", "null"], "minimum": 1},
            "as_of_ms": {"type": ["integer", "null"], "description": "when the values were true; else the shard's now"},
        },
    ),
    "Published": _object(
        ("version", "rows", "features"), {"version": STRING, "rows": COUNT, "features": _array(STRING)}
    ),
    "Fault": _FAULT,
    "FaultReply": _object(("active", "stages"), {"active": _array(_ref("Fault")), "stages": _array(STRING)}),
    "Error": _object(
        ("error",),
        {
            "error": _object(
                ("code", "message"),
                {"code": {"type": "string", "examples": sorted(CODES)}, "message": STRING, "field": STRING},
            )
        },
    ),
}
