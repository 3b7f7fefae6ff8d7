"""The rules of a surface as the native core takes them: conditions parsed, names checked, durations and dates in ms.

Invariant: what `compiled_rules` returns the core can run; whatever of it means nothing is refused with its place in the
configuration and the nearest word. It does not know lists.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from rtp_monolith.config import Config
from rtp_monolith.config_surfaces import Pin, Rules, Surface
from rtp_monolith.errors import ConfigError
from rtp_monolith.features.condition import FIELDS, ConditionError, Kind, Tree, Vocabulary, hint, parse
from rtp_monolith.features.declared import duration_ms

ASKED = ("device", "country", "channel", "app_version", "campaign", "query")
"""What a condition may read of the request, as `context.NAME`."""
RELATIONS: dict[str, Kind] = {
    "same_category": "flag",
    "same_top_category": "flag",
    "same_brand": "flag",
    "same_seller": "flag",
    "price_ratio": "number",
}
"""And `context.NAME`, what an item has to do with the items that the request is about."""
KEYS = ("seller", "brand", "category", "top_category")
"""What a cap counts by, besides an attribute."""
REFUSALS = ("skip", "dislike", "remove_from_cart")
"""Types of events that may be refusals, besides a team's own."""


class RuleVocabulary(Vocabulary, frozen=True):
    """The words of a surface's rules: an item, what its request says, and when."""

    @classmethod
    def of(cls, config: Config) -> RuleVocabulary:
        fields: dict[str, Kind] = {
            name: kind for name, kind in FIELDS.items() if name.startswith("item") or name in ("hour", "weekday")
        }
        fields["item.age_hours"] = "number"
        fields |= {f"item.attributes.{name}": kind for name, kind in config.events.attributes.items()}
        fields |= {f"context.{name}": "text" for name in ASKED}
        fields |= {f"context.{name}": kind for name, kind in RELATIONS.items()}
        return cls((), fields)

    def field(self, name: str, at: int = 0) -> Tree:
        """A field as the native core reads it, which has the request's context as props."""
        known = super().field(name, at)
        if not name.startswith("context."):
            return known
        said = name.removeprefix("context.")
        return known | {"name": f"about.{said}" if said in RELATIONS else f"props.{said}"}


def compiled_rules(config: Config, surface: str) -> bytes | None:
    """JSON of the rules of a surface of the config; None without any. Raises ConfigError."""
    rules = config.surfaces[surface].rules
    negative = _negative(config, surface)
    if rules == Rules() and negative is None:
        return None
    words = RuleVocabulary.of(config)
    at = f"surfaces.{surface}.rules"

    def when(text: str, place: str) -> Tree:
        try:
            return parse(text, words)
        except ConditionError as error:
            raise ConfigError(f"{at}.{place}: {error} (at character {error.at} of {text!r})") from None

    def pin(name: str, declared: Pin) -> dict[str, object]:
        since, until = _ms(declared.since), _ms(declared.until)
        if since is not None and until is not None and since >= until:
            raise ConfigError(f"{at}.pin.{name}: it ends before it begins")
        return {
            "name": name,
            "item": declared.item,
            "position": declared.position,
            "when": None if declared.where is None else when(declared.where, f"pin.{name}.where"),
            "from_ms": since,
            "until_ms": until,
        }

    def by(name: str, key: str) -> str:
        attributes = [f"attributes.{each}" for each, kind in config.events.attributes.items() if kind != "texts"]
        if key not in (*KEYS, *attributes):
            raise ConfigError(f"{at}.cap.{name}.by: {key!r} is nothing to count by{hint(key, (*KEYS, *attributes))}")
        return key

    return msgspec.json.encode(
        {
            "filter": [{"name": n, "when": when(text, f"filter.{n}")} for n, text in rules.filter.items()],
            "boost": [
                {"name": n, "when": when(one.where, f"boost.{n}.where"), "times": one.times}
                for n, one in rules.boost.items()
            ],
            "bury": [{"name": n, "when": when(text, f"bury.{n}")} for n, text in rules.bury.items()],
            "pin": [pin(name, one) for name, one in rules.pin.items()],
            "cap": [
                {"name": n, "by": by(n, one.by), "most": one.most, "within": one.within} for n, one in rules.cap.items()
            ],
            "mix": [
                {"name": n, "when": when(one.where, f"mix.{n}.where"), "least": one.least, "most": one.most}
                for n, one in rules.mix.items()
            ],
            "floor": [{"name": n, "share": one.share, "below": one.below} for n, one in rules.floor.items()],
            "negative": negative,
        }
    )


def _negative(config: Config, name: str) -> dict[str, object] | None:
    """What a surface declares of refusals. Raises ConfigError."""
    surface: Surface = config.surfaces[name]
    declared, at = surface.negative, f"surfaces.{name}.negative"
    if declared is None:
        return None
    known = (*REFUSALS, *config.events.custom)
    for event in declared.events:
        if event not in known:
            raise ConfigError(f"{at}.events: {event!r} is no refusal{hint(event, known)}")
    return {
        "events": list(declared.events.items()),
        "quick": None if declared.quick_view_ms is None else (declared.quick_view_ms, declared.quick_view),
        "half_life_ms": cooldown_ms(declared.half_life, f"{at}.half_life"),
        "hide": declared.hide != "allow",
        "hide_ms": cooldown_ms(declared.hide, f"{at}.hide"),
    }


def cooldown_ms(again: str, place: str) -> int | None:
    """How long what was had is hidden; None for ever. Raises ConfigError."""
    if again in ("exclude", "allow"):
        return None
    try:
        return duration_ms(again)
    except ValueError as error:
        raise ConfigError(f"{place}: {error}") from None


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
