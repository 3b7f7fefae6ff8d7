"""Surfaces as a configuration declares them: sources, value, diversity, rules.

Invariant: a value's own rules are in its type; what depends on other values is checked where the shard starts. It does
not know the rest of the configuration.
"""

from __future__ import annotations

import difflib
import re
from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, field

SourceName = Literal[
    "ann",
    "ann_user",
    "session_knn",
    "covis",
    "bought_together",
    "same_category",
    "same_brand",
    "history",
    "text",
    "trending",
    "trending_context",
    "popular",
    "popular_context",
    "new",
    "catalogue",
]

Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]
Share = Annotated[float, Meta(ge=0, le=1)]
Place = Annotated[int, Meta(ge=0, le=199)]
Where = Annotated[str, Meta(min_length=1, max_length=2000)]
Duration = Annotated[str, Meta(pattern="^[0-9]{1,9}(ms|s|m|h|d)$")]
DURATION = re.compile("[0-9]{1,9}(ms|s|m|h|d)")
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

    slot: Place = 4
    pool: Annotated[int, Meta(ge=1, le=200)] = 20
    impressions_max: Count = 50
    prior_clicks: Positive = 1.0
    prior_impressions: Positive = 20.0


class Boost(Section, frozen=True):
    """Items that pass `where` count `times` as much."""

    where: Where
    times: Annotated[float, Meta(gt=0, le=1000)]


class Pin(Section, frozen=True):
    """One item at one position from 0, while `where` holds, from `since` until `until`."""

    item: Annotated[str, Meta(min_length=1, max_length=128)]
    position: Place
    where: Where | None = None
    since: Annotated[datetime, Meta(tz=True)] | None = None
    until: Annotated[datetime, Meta(tz=True)] | None = None


class Cap(Section, frozen=True):
    """At most `most` items of one value of `by` in the list, or in any `within` places one after the other."""

    by: Annotated[str, Meta(min_length=1)]
    most: Count
    within: Annotated[int, Meta(ge=2, le=200)] | None = None


class Mix(Section, frozen=True):
    """Shares of the places for the items that pass `where`."""

    where: Where
    least: Share = 0.0
    most: Share = 1.0

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"least is {self.least}, most is {self.most}")


class Floor(Section, frozen=True):
    """`share` of the places for sellers that had less than `below` of the impressions of the last seven days."""

    share: Share
    below: Share


class Rules(Section, frozen=True):
    """What lists keep to, each rule by a name of its own; conditions are those of a team's features."""

    filter: dict[str, Where] = field(default_factory=dict)
    boost: dict[str, Boost] = field(default_factory=dict)
    bury: dict[str, Where] = field(default_factory=dict)
    pin: dict[str, Pin] = field(default_factory=dict)
    cap: dict[str, Cap] = field(default_factory=dict)
    mix: dict[str, Mix] = field(default_factory=dict)
    floor: dict[str, Floor] = field(default_factory=dict)


class Stability(Section, frozen=True):
    """Without new evidence a list stays, for `keep`; with some, no item of it moves further than `moves_max` places."""

    moves_max: Annotated[int, Meta(ge=0, le=199)] = 5
    keep: Duration = "30m"


class Negative(Section, frozen=True):
    """What is a refusal, and what it does: the item is listed no more (`hide`, as `seen`), and what is wholly like it
    loses the event's share of its score, half as much after `half_life`. An event of 0 hides its item and says nothing
    of others. A view or click left before `quick_view_ms` is a refusal of `quick_view`."""

    events: Annotated[dict[str, Share], Meta(min_length=1, max_length=16)] = field(
        default_factory=lambda: {"skip": 0.8, "dislike": 1.0}
    )
    quick_view_ms: Annotated[int, Meta(ge=1, le=86_400_000)] | None = None
    quick_view: Share = 0.5
    half_life: Duration = "30m"
    hide: str = "exclude"

    def __post_init__(self) -> None:
        _check_again("hide", self.hide)


class Send(Section, frozen=True):
    """When a list is worth a notification: its first item reaches `threshold`, it is not `quiet` where the user is, and
    neither `most_per_day` in any 24 hours nor one within `gap` is passed. `timezone` is everybody's of whom nothing is
    known, `timezones` those of countries."""

    threshold: Annotated[float, Meta(ge=0)] = 0.05
    quiet: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None
    most_per_day: Annotated[int, Meta(ge=1, le=10)] = 3
    gap: Duration | None = None
    timezone: str = "UTC"
    timezones: dict[str, str] = field(default_factory=dict)


class Surface(Section, frozen=True):
    """A place where lists are shown. `diversity` is the weight of the way in `diversify`, 0 = off.

    `value` is what an item is worth there, over the ranker's heads, `price` and `attributes.NAME`. `recall_weight` is
    the share of the sources' score in the final one: on a search how well the words match. `within` restricts a list
    to the category that the request must then name. `seen` and `bought` are `exclude`, `allow`, or for how long it is
    hidden what was clicked or bought (`7d`). `about` is what the list goes with: with `cart` a request that names no
    items is about what the visitor's cart holds.
    """

    sources: Annotated[dict[SourceName, Source], Meta(min_length=1)]
    seen: str = "exclude"
    bought: str = "exclude"
    diversity: Share = 0.0
    diversify: Literal["mmr", "dpp"] = "mmr"
    rules: Rules = field(default_factory=Rules)
    stability: Stability | None = None
    impressions: Literal["viewed", "served"] = "viewed"
    rank_timeout_ms: Positive | None = None
    k: Annotated[int, Meta(ge=1, le=200)] = 20
    rank: Literal["model", "off"] = "model"
    value: Annotated[str, Meta(min_length=1, max_length=500)] = DEFAULT_VALUE
    recall_weight: Share = 0.0
    explore: Explore | None = None
    within: Literal["category"] | None = None
    about: Literal["request", "cart"] = "request"
    negative: Negative | None = None
    send: Send | None = None

    def __post_init__(self) -> None:
        _check_again("seen", self.seen)
        _check_again("bought", self.bought)


def _check_again(name: str, again: str) -> None:
    if again not in ("exclude", "allow") and DURATION.fullmatch(again) is None:
        near = difflib.get_close_matches(again, ("exclude", "allow"), n=1)
        meant = f", did you mean `{near[0]}`?" if near else "; there are exclude, allow, and times such as 7d"
        raise ValueError(f"{name} is {again!r}{meant}")


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
