"""The OpenAPI 3.1 document of every route a shard answers.

Invariant: a route is here if and only if the application has it; a test compares the two.
It does not know how a route works: it says what callers may rely on.
"""

from __future__ import annotations

from typing import Any

from rtp_monolith.serving.openapi_schemas import SCHEMAS

Json = dict[str, Any]

VERSION = "1"
JSON_TYPE = "application/json"
ERRORS: dict[int, str] = {
    400: "`malformed_body` or `bad_filter`",
    401: "`unauthorized`: no key, or one that is not known",
    403: "`forbidden`: the key does not have the scope",
    404: "`not_found`, `unknown_item`, `unknown_user`, `unknown_surface`, `unknown_dead_letter`, "
    "`unknown_draft` or `bundle_missing`",
    409: "`bundle_…`: why the bundle does not fit; what was served still is. `no_published_features`",
    413: "`body_too_large`: more than 1 MiB after decompression, or more than 1,000 records",
    415: "`unsupported_media_type`",
    422: "`missing_field`, `wrong_type`, `too_long`, `unknown_field`, `out_of_range`, or why a table is not published",
    429: "`rate_limited`, with Retry-After",
    503: "`overloaded`, with Retry-After, or `table_unavailable`",
    504: "`deadline_exceeded`",
}
GUARDED = (401, 403, 429)
BATCH_ERRORS = (400, *GUARDED, 413, 415, 503, 504)


def document() -> Json:
    """The whole document as plain JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "rtp",
            "version": VERSION,
            "summary": "A click goes in, the very next list is ranked with it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}, {}],
        "paths": _events()
        | _lists()
        | _items()
        | _users()
        | _dead_letters()
        | _models()
        | _features()
        | _faults()
        | _operations(),
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _content(schema: Json, *types: str) -> Json:
    return {each: {"schema": schema} for each in types or (JSON_TYPE,)}


def _operation(name: str, summary: str, ok: Json, errors: tuple[int, ...], **more: Any) -> Json:
    answers: Json = dict(ok)
    for status in sorted(errors):
        answers[str(status)] = {"description": ERRORS[status], "content": _content(_ref("Error"))}
        if status in (429, 503):
            seconds = {"schema": {"type": "integer"}, "description": "seconds"}
            answers[str(status)]["headers"] = {"Retry-After": seconds}
    return {"operationId": name, "summary": summary, "responses": answers} | more


def _ok(text: str, schema: Json) -> Json:
    return {"200": {"description": text, "content": _content(schema)}}


def _body(schema: Json, *types: str) -> Json:
    return {"required": True, "content": _content(schema, *types)}


def _in_path(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": text}


def _in_query(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "schema": schema, "description": text}


ITEM_ID = _in_path("id", {"type": "string", "minLength": 1, "maxLength": 128}, "URL-encoded, slashes too")
USER_KEY = _in_path("id", {"type": "string", "minLength": 1, "maxLength": 128}, "a user id or an anonymous session id")
LETTER_ID = _in_path("id", {"type": "integer", "minimum": 1}, "the letter's id")
ENCODING = {
    "name": "Content-Encoding",
    "in": "header",
    "schema": {"enum": ["gzip", "zstd", "identity"]},
    "description": "how the body is compressed",
}


def _events() -> Json:
    types = (JSON_TYPE, "application/x-ndjson", "text/plain", "application/msgpack")
    batch = {"oneOf": [_ref("Event"), {"type": "array", "items": _ref("Event"), "maxItems": 1000}, _ref("EventBatch")]}
    return {
        "/v1/events": {
            "post": _operation(
                "postEvents",
                "Send events; answered when the accepted ones are on disk and visible. Scope `events`.",
                _ok("What became of each event", _ref("IngestReply")),
                BATCH_ERRORS,
                requestBody=_body(batch, *types),
                parameters=[ENCODING],
            )
        }
    }


def _lists() -> Json:
    errors = (400, *GUARDED, 404, 413, 415, 422, 503, 504)
    return {
        "/v1/recommend": {
            "post": _operation(
                "recommend",
                "k items for a user. Scope `lists`.",
                _ok("The list", _ref("ListReply")),
                errors,
                requestBody=_body(_ref("RecommendRequest")),
                parameters=[ENCODING],
            )
        },
        "/v1/rank": {
            "post": _operation(
                "rank",
                "The given items, ordered for a user. Scope `lists`.",
                _ok("The list", _ref("ListReply")),
                errors,
                requestBody=_body(_ref("RankRequest")),
                parameters=[ENCODING],
            )
        },
    }


def _items() -> Json:
    batch = {
        "oneOf": [
            {"type": "array", "items": _ref("Item")},
            {
                "type": "object",
                "required": ["items"],
                "properties": {"items": {"type": "array", "items": _ref("Item")}},
            },
        ]
    }
    reply = _ok("What became of each item", _ref("IngestReply"))
    return {
        "/v1/items": {
            "put": _operation(
                "putItems",
                "Replace items. Scope `items`.",
                reply,
                BATCH_ERRORS,
                requestBody=_body(batch, JSON_TYPE, "application/x-ndjson"),
                parameters=[ENCODING, _in_query("only", {"enum": ["new", "changed"]}, "what else is a duplicate")],
            )
        },
        "/v1/items/{id}": {
            "parameters": [ITEM_ID],
            "get": _operation(
                "getItem", "One item. Scope `items`.", _ok("The item", _ref("Item")), (*GUARDED, 404, 503)
            ),
            "patch": _operation(
                "patchItem",
                "Merge fields into an item. Scope `items`.",
                reply,
                (*BATCH_ERRORS, 404, 422),
                requestBody=_body({"type": "object"}, JSON_TYPE, "application/merge-patch+json"),
            ),
            "delete": _operation(
                "deleteItem",
                "Remove an item. Scope `items`.",
                {"204": {"description": "Gone, also when it was not there"}},
                (*GUARDED, 503, 504),
            ),
        },
    }


def _users() -> Json:
    one = _ref("User")
    batch = {
        "oneOf": [
            one,
            {"type": "array", "items": one},
            {"type": "object", "required": ["users"], "properties": {"users": {"type": "array", "items": one}}},
        ]
    }
    return {
        "/v1/users": {
            "put": _operation(
                "putUsers",
                "Attributes and features of users. Scope `users`.",
                _ok("What became of each user", _ref("IngestReply")),
                BATCH_ERRORS,
                requestBody=_body(batch, JSON_TYPE, "application/x-ndjson"),
                parameters=[ENCODING, _in_query("only", {"enum": ["changed"]}, "parts are taken whole, others stay")],
            )
        },
        "/v1/users/{id}/state": {
            "parameters": [USER_KEY],
            "get": _operation(
                "userState",
                "A user as the shard sees it at this moment. Scope `users`.",
                _ok("The state", _ref("UserState")),
                (*GUARDED, 404, 503),
            ),
        },
    }


def _dead_letters() -> Json:
    letters = {"type": "object", "properties": {"dead_letters": {"type": "array", "items": _ref("DeadLetter")}}}
    return {
        "/v1/deadletters": {
            "get": _operation(
                "listDeadLetters",
                "Refused events, oldest first. Scope `admin`.",
                _ok("A page", letters),
                (*GUARDED, 422, 503),
                parameters=[
                    _in_query("after", {"type": "integer", "minimum": 0, "default": 0}, "only ids above this one"),
                    _in_query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}, "at most"),
                    _in_query("code", {"type": "string"}, "only those refused with this code"),
                ],
            )
        },
        "/v1/deadletters/{id}": {
            "parameters": [LETTER_ID],
            "get": _operation(
                "getDeadLetter",
                "One refused event. Scope `admin`.",
                _ok("The letter", _ref("DeadLetter")),
                (*GUARDED, 404, 503),
            ),
        },
        "/v1/deadletters/replay": {
            "post": _operation(
                "replayDeadLetters",
                "Send refused events again. Scope `admin`.",
                _ok("What became of them", _ref("ReplayReply")),
                (400, *GUARDED, 404, 413, 415, 422, 503),
                requestBody=_body(_ref("ReplayRequest")),
            )
        },
    }


def _models() -> Json:
    status = _ok("What is served, and what a rollback would serve", _ref("ModelStatus"))
    tried = _ok("What is tried, and why the last trial ended", _ref("TrialReport"))
    refusals = (*GUARDED, 404, 409, 503)
    return {
        "/v1/models": {
            "get": _operation(
                "listModels",
                "The bundles of the folder, the newest last. Scope `admin`.",
                _ok("The bundles", _ref("ModelListing")),
                (*GUARDED, 503),
            )
        },
        "/v1/models/{name}/{version}": {
            "parameters": [
                _in_path("name", {"type": "string"}, "name"),
                _in_path("version", {"type": "string"}, "version"),
            ],
            "get": _operation(
                "getModel",
                "The manifest of a bundle. Scope `admin`.",
                _ok("The bundle", _ref("ModelDescription")),
                refusals,
            ),
        },
        "/v1/models/activate": {
            "post": _operation(
                "activateModel",
                "Serve a bundle from the next list on; answered when that is on disk and in force. Scope `admin`.",
                status,
                (400, 413, 415, 422, *refusals),
                requestBody=_body(_ref("ModelVersion")),
            )
        },
        "/v1/models/rollback": {
            "post": _operation(
                "rollbackModel", "Serve the bundle that was served before this one. Scope `admin`.", status, refusals
            )
        },
        "/v1/models/trial": {
            "get": _operation(
                "getTrial",
                "What is tried beside the bundle in use, and how it does. Scope `admin`.",
                tried,
                (*GUARDED, 503),
            ),
            "post": _operation(
                "tryModel",
                "Show a bundle to a share of the people, or make a share of the lists again with it. Scope `admin`.",
                tried,
                (400, 413, 415, 422, *refusals),
                requestBody=_body(_ref("ModelTrial")),
            ),
            "delete": _operation(
                "endTrial", "Everybody sees the bundle in use again. Scope `admin`.", tried, (*GUARDED, 409, 503)
            ),
        },
    }


def _features() -> Json:
    return {
        "/v1/features": {
            "get": _operation(
                "listFeatures",
                "What the shard computes, a team's own features too. Scope `admin`.",
                _ok("The features, and every version of a team's that was ever known", _ref("FeatureListing")),
                (*GUARDED, 503),
            )
        }
    } | _tables()


def _tables() -> Json:
    scope = _in_path("scope", {"enum": ["user", "item"]}, "whom the rows are of")
    draft = _in_path("draft", {"type": "integer", "minimum": 1}, "its number")
    rows = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}
    begun = {"type": "object", "properties": {"draft": {"type": "integer"}}, "required": ["draft"]}
    refusals = (400, *GUARDED, 404, 409, 413, 415, 422, 503)
    return {
        "/v1/features/tables": {
            "get": _operation(
                "listTables",
                "The versions of published features that lists read. Scope `admin`.",
                _ok("The versions", _ref("TableListing")),
                (*GUARDED, 409, 503),
            )
        },
        "/v1/features/tables/{scope}": {
            "parameters": [scope],
            "post": _operation(
                "beginTable",
                "Begin to publish a table. Scope `admin`.",
                {"201": {"description": "A draft", "content": _content(begun)}},
                (*GUARDED, 404, 409, 503),
            ),
        },
        "/v1/features/tables/{scope}/{draft}": {
            "parameters": [scope, draft],
            "post": _operation(
                "addRows",
                "Add rows to a draft; one that does not fit gives the draft up. Scope `admin`.",
                _ok("Rows so far", rows),
                (*refusals, 504),
                requestBody=_body({"type": "array", "items": {"type": "object"}}, JSON_TYPE, "application/x-ndjson"),
                parameters=[
                    ENCODING,
                    _in_query(
                        "from", {"type": "integer", "minimum": 0}, "rows so far: a body sent twice is taken once"
                    ),
                    _in_query("cells", {"enum": ["text"]}, "numbers may be texts, as cells of CSV are"),
                ],
            ),
            "put": _operation(
                "publishTable",
                "Publish a draft: the next list reads it. Scope `admin`.",
                _ok("What was published", _ref("Published")),
                refusals,
                requestBody=_body(_ref("Publication")),
            ),
            "delete": _operation(
                "abortTable",
                "Give a draft up. Scope `admin`.",
                {"204": {"description": "It is gone"}},
                (*GUARDED, 404, 409, 503),
            ),
        },
    }


def _faults() -> Json:
    answer = _ok("What is switched on, and what can be", _ref("FaultReply"))
    only = "On a shard started with `--faults`. Scope `admin`."
    return {
        "/v1/faults": {
            "get": _operation("listFaults", f"The faults that are on. {only}", answer, (*GUARDED, 404, 503)),
            "post": _operation(
                "switchFault",
                f"Make a stage of a list fail or stall, or end that. {only}",
                answer,
                (400, *GUARDED, 404, 413, 415, 422, 503),
                requestBody=_body(_ref("Fault")),
            ),
        }
    }


def _operations() -> Json:
    status = {"type": "object", "properties": {"status": {"type": "string"}}}
    text = {"schema": {"type": "string"}}
    free: Json = {"security": [{}]}

    def page(name: str, summary: str, media: str) -> Json:
        return _operation(name, summary, {"200": {"description": "OK", "content": {media: text}}}, (), **free)

    metrics_ok = {"200": {"description": "Prometheus text", "content": {"text/plain": text}}}
    return {
        "/livez": {"get": _operation("livez", "The process runs.", _ok("Alive", status), (), **free)},
        "/readyz": {"get": _operation("readyz", "State is recovered.", _ok("Ready", status), (503,), **free)},
        "/metrics": {"get": _operation("metrics", "Counters and times. Scope `admin`.", metrics_ok, GUARDED)},
        "/openapi.json": {"get": page("openapi", "This document.", JSON_TYPE)},
        "/docs": {"get": page("docs", "This document, for people.", "text/html")},
    }
