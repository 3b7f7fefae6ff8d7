"""Surfaces as the stages need them: declared in the config, compiled once when the shard starts."""

from __future__ import annotations

import msgspec

from rtp_monolith._native import SurfacePlan
from rtp_monolith.config import Config
from rtp_monolith.config_surfaces import Rules, Surface
from rtp_monolith.errors import InvalidField
from rtp_monolith.ranking.send import Sending
from rtp_monolith.ranking.value import Value
from rtp_monolith.records import Context
from rtp_monolith.state.surface import surface_plan
from rtp_monolith.state.surface_rules import cooldown_ms


class CompiledSurface(msgspec.Struct, frozen=True):
    """A surface: its name, what it declares, its plan and its value."""

    name: str
    declared: Surface
    plan: SurfacePlan
    value: Value
    keep_ms: int | None
    """How long a list may stay without new evidence; None where lists are not kept."""
    is_bare: bool
    """No rule has a say in the order of a list."""
    is_plain: bool
    """Nor is there anything else to it but the weight of MMR."""
    sending: Sending | None = None
    """When its lists are notifications."""

    @property
    def chooses(self) -> bool:
        """A list may need other items than the best."""
        rules = self.declared.rules
        return bool(rules.cap or rules.mix or rules.floor)

    @property
    def reads_session(self) -> bool:
        """Something on this surface wants the session's vector, or the user's."""
        return self.declared.rank == "model" or not self.declared.sources.keys().isdisjoint(("ann", "ann_user"))

    def filter_json(self, context: Context, given: bytes | None) -> bytes | None:
        """The request's filter, and on a surface that stays within a category that category too.

        Raises InvalidField `missing_field` when the category is not named.
        """
        if self.declared.within is None:
            return given
        if context.category is None:
            text = f"surface {self.name!r} lists one category: name it"
            raise InvalidField("missing_field", text, "context.category")
        inside = {"field": "categories", "op": "contains", "value": context.category}
        if given is None:
            return msgspec.json.encode(inside)
        return msgspec.json.encode({"and": [msgspec.Raw(given), inside]})


def compile_surfaces(config: Config) -> dict[str, CompiledSurface]:
    """Every declared surface. Raises ConfigError for a value that is no expression, `unknown_source` for a source."""
    return {name: _compiled(config, name, surface) for name, surface in config.surfaces.items()}


def _compiled(config: Config, name: str, surface: Surface) -> CompiledSurface:
    keep = None if surface.stability is None else cooldown_ms(surface.stability.keep, f"surfaces.{name}.stability.keep")
    # Filters are asked when it is decided what may be shown.
    rules = msgspec.structs.replace(surface.rules, filter={})
    bare = rules == Rules() and surface.negative is None
    return CompiledSurface(
        name,
        surface,
        surface_plan(config, name),
        Value(config.value_of(name), f"surfaces.{name}.value"),
        keep,
        bare,
        keep is None and surface.diversify == "mmr" and bare,
        None if surface.send is None else Sending(surface.send, f"surfaces.{name}.send"),
    )
