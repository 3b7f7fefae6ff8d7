"""Surfaces as a configuration declares them: sources, value, diversity, rules.

Invariant: a value's own rules are in its type; what depends on other values is checked where the shard starts. It does
not know the rest of the configuration.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

SourceName = Literal[
    "ann", "session_knn", "covis", "same_category", "text", "trending", "popular", "popular_context", "new", "catalogue"
]

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
DEFAULT_VALUE = "0.2*click + 1.0*cart + 3.0*purchase"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file."""


class Source(Section, frozen=True):
    """How many candidates a source of recall may bring, and the weight of its score in the merge."""

    quota: Count = 100
    weight: Annotated[float, Meta(ge=0)] = 1.0


class Explore(Section, frozen=True):
    """One place of a list given to a new item by Thompson sampling. `slot` is a position from 0.

    The pool is the `pool` newest items that may be shown and were seen less than `impressions_max` times; the prior of
    an item's click rate is `prior_clicks` of `prior_impressions`.
    """

    slot: Annotated[int, Meta(ge=0, le=199)] = 4
    pool: Annotated[int, Meta(ge=1, le=200)] = 20
    impressions_max: Count = 50
    prior_clicks: Positive = 1.0
    prior_impressions: Positive = 20.0


class Surface(Section, frozen=True):
    """A place where lists are shown. `diversity` is the weight of MMR, 0 = off.

    `value` is what an item is worth there, over the ranker's heads, `price` and `attributes.NAME`. `recall_weight` is
    the share of the sources' score in the final one: on a search how well the words match. `within` restricts a list
    to the category that the request must then name.
    """

    sources: Annotated[dict[SourceName, Source], Meta(min_length=1)]
    seen: Literal["exclude", "allow"] = "exclude"
    bought: Literal["exclude", "allow"] = "exclude"
    diversity: Share = 0.0
    impressions: Literal["viewed", "served"] = "viewed"
    rank_timeout_ms: Positive | None = None
    k: Annotated[int, Meta(ge=1, le=200)] = 20
    rank: Literal["model", "off"] = "model"
    value: Annotated[str, Meta(min_length=1, max_length=500)] = DEFAULT_VALUE
    recall_weight: Share = 0.0
    explore: Explore | None = None
    within: Literal["category"] | None = None


def default_surfaces() -> dict[str, Surface]:
    """`home` and `product`, as a shard has them without `--config`."""
    return {
        "home": Surface(
            sources={
                "ann": Source(quota=500, weight=0.8),
                "session_knn": Source(quota=200, weight=1.0),
                "covis": Source(quota=200, weight=0.6),
                "same_category": Source(quota=200, weight=0.5),
                "popular_context": Source(quota=100, weight=0.3),
                "trending": Source(quota=100, weight=0.2),
                "popular": Source(quota=200, weight=0.1),
                "new": Source(quota=50, weight=0.05),
                "catalogue": Source(quota=200, weight=0.01),
            },
            diversity=0.2,
            explore=Explore(),
        ),
        "product": Surface(
            sources={
                "ann": Source(quota=300, weight=0.5),
                "session_knn": Source(quota=200, weight=0.8),
                "covis": Source(quota=300, weight=1.0),
                "same_category": Source(quota=200, weight=0.5),
                "popular_context": Source(quota=100, weight=0.3),
                "popular": Source(quota=100, weight=0.1),
                "catalogue": Source(quota=200, weight=0.01),
            },
            diversity=0.1,
        ),
    }
