"""Surfaces as the stages need them: declared in the config, compiled once when the shard starts."""

from __future__ import annotations

import msgspec

from rtp_monolith._native import SurfacePlan
from rtp_monolith.config import Config, Surface
from rtp_monolith.errors import InvalidField
from rtp_monolith.ranking.value import Value
from rtp_monolith.records import Context


class CompiledSurface(msgspec.Struct, frozen=True):
    """A surface: its name, what it declares, its plan and its value."""

    name: str
    declared: Surface
    plan: SurfacePlan
    value: Value

    @property
    def reads_session(self) -> bool:
        """Something on this surface wants the session's vector."""
        return self.declared.rank == "model" or "ann" in self.declared.sources

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
    knn = config.recall
    return {
        name: CompiledSurface(
            name,
            surface,
            SurfacePlan(
                name,
                [(source, wanted.quota, wanted.weight) for source, wanted in surface.sources.items()],
                hide_clicked=surface.seen == "exclude",
                hide_bought=surface.bought == "exclude",
                diversity=surface.diversity,
                counts_served=surface.impressions == "served",
                m_most_recent_sessions=knn.m_most_recent_sessions,
                neighborhood_size_k=knn.neighborhood_size_k,
                max_items_in_session=knn.max_items_in_session,
                idf_weighting=knn.idf_weighting,
            ),
            Value(surface.value, f"surfaces.{name}.value"),
        )
        for name, surface in config.surfaces.items()
    }
