"""Columns that the cascade adds to the catalogue's features: what only exists while a list is made.

Invariant: they are computed beside the features and by the same plan, and are no features: no fingerprint is compared
and no audit replays them. It does not know which model reads them.
"""

from __future__ import annotations

from rtp_monolith.features.spec import Feature

SURFACES = ("home", "category", "search", "product", "cart")

CASCADE: tuple[Feature, ...] = (
    Feature(
        name="cascade_affinity",
        op="affinity",
        meaning="dot product of the session's vector and the item's; 0 without either",
    ),
    *[
        Feature(name=f"cascade_surface_{name}", op="surface_is", value=name, meaning=f"1 on the surface {name}")
        for name in SURFACES
    ],
)
