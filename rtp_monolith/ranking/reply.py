"""The reply of a list (CONTRACT section 3), as structs that msgspec writes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

SOURCES = (
    "session_knn",
    "covis",
    "trending",
    "popular",
    "popular_context",
    "new",
    "catalogue",
    "same_category",
    "given",
    "ann",
    "text",
    "explore",
    "ann_user",
    "bought_together",
    "same_brand",
    "trending_context",
    "history",
)
"""In the order of the bits of the native side."""
EXPLORED = "explore"
EXPLORED_BIT = 1 << SOURCES.index(EXPLORED)


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    id: str
    score: float
    position: int
    source: Sequence[str]
    slot: str | None = None
    propensity: float | None = None
    explain: dict[str, Any] | None = None


class Send(msgspec.Struct, frozen=True):
    """Whether to send the list's first item as a notification, `score` against the threshold, the first reason against
    it or `ok`, and where waiting helps the moment from which on it would be sent."""

    send: bool
    score: float
    reason: str
    next_ms: int | msgspec.UnsetType = msgspec.UNSET


class Model(msgspec.Struct, frozen=True):
    name: str
    version: str


NO_MODEL = Model("none", "0")


class Reply(msgspec.Struct, frozen=True):
    """Without a bundle `model` is `NO_MODEL`; times are ms. `missing` answers `explain_missing`;
    `send` is there on surfaces of notifications."""

    request_id: str
    items: list[Item]
    surface: str
    model: Model
    experiments: dict[str, str]
    degraded: list[str]
    state_version: int
    as_of_ms: int
    took_ms: float
    stages: dict[str, float]
    missing: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET
    send: Send | msgspec.UnsetType = msgspec.UNSET


@lru_cache(maxsize=1024)
def source_names(mask: int) -> tuple[str, ...]:
    """The sources that a candidate's bits stand for; few of the combinations ever occur."""
    return tuple(name for bit, name in enumerate(SOURCES) if mask >> bit & 1)


encode_reply = msgspec.json.Encoder().encode
