"""A declared surface as the native core takes it: its sources with their quotas and weights, and its rules.

Invariant: a shard and a replay of its log ask the same sources, because both take their plans from here. It does not
know the value of an item, nor who ranks.
"""

from __future__ import annotations

from rtp_monolith._native import SurfacePlan
from rtp_monolith.config import Config
from rtp_monolith.config_surfaces import SourceName
from rtp_monolith.state.surface_rules import compiled_rules, cooldown_ms


def surface_plan(config: Config, name: str, alone: SourceName | None = None) -> SurfacePlan:
    """The plan of a surface of the config, or with `alone` of one of its sources at weight 1, to hear what that one
    says. Raises KeyError, ConfigError for a rule, and `unknown_source` for a source."""
    surface, knn = config.surfaces[name], config.recall
    return SurfacePlan(
        name,
        [
            (source, wanted.quota, wanted.weight if alone is None else 1.0)
            for source, wanted in surface.sources.items()
            if alone in (None, source)
        ],
        hide_clicked=surface.seen != "allow",
        hide_bought=surface.bought != "allow",
        clicked_cooldown_ms=cooldown_ms(surface.seen, f"surfaces.{name}.seen"),
        bought_cooldown_ms=cooldown_ms(surface.bought, f"surfaces.{name}.bought"),
        diversity=surface.diversity,
        dpp=surface.diversify == "dpp",
        rules=compiled_rules(config, name),
        about_cart=surface.about == "cart",
        counts_served=surface.impressions == "served",
        m_most_recent_sessions=knn.m_most_recent_sessions,
        neighborhood_size_k=knn.neighborhood_size_k,
        max_items_in_session=knn.max_items_in_session,
        idf_weighting=knn.idf_weighting,
    )
