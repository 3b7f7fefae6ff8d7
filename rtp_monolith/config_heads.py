"""The objectives of the ranker as a configuration declares them: a head each.

Invariant: a head that exists can be labelled: it counts events of some kinds, or how long an item was looked at. It
does not know the model.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, field

from rtp_monolith.config_surfaces import Duration, Section

EventName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,63}$")]
HeadName = Annotated[str, Meta(pattern="^[a-z][a-z0-9_]{0,31}$")]


class Head(Section, frozen=True):
    """`[heads.NAME]`: the chance that one of `events` follows `within` this time of a list, or that the item is looked
    at for `dwell` in all. `worth` is the weight in the value that the pre-rank is taught with, and in the value of a
    surface that names none."""

    events: list[EventName] = field(default_factory=list)
    dwell: Duration | None = None
    within: Duration = "30m"
    worth: Annotated[float, Meta(ge=0, le=1e6)] = 1.0

    def __post_init__(self) -> None:
        if bool(self.events) == (self.dwell is not None):
            raise ValueError("a head has either events or dwell")
