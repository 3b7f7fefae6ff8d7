"""Surfaces as the stages need them: declared in the config, compiled once when the shard starts."""

from __future__ import annotations

from collections.abc import Mapping

from rtp_monolith._native import SurfacePlan
from rtp_monolith.config import Config


def compile_surfaces(config: Config) -> Mapping[str, SurfacePlan]:
    """One plan per declared surface. Raises RtpError `unknown_source` for a source nobody has."""
    knn = config.recall
    return {
        name: SurfacePlan(
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
        )
        for name, surface in config.surfaces.items()
    }
