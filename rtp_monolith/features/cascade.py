"""Columns of a row that belong to the cascade and not to the catalogue: they depend on the model that is served.

Invariant: no name of these is a feature's; they have no fingerprint of use, and the audit leaves them out, because a
replay without the bundle has no session vector. It does not know which of them a ranker reads.
"""

from __future__ import annotations

from rtp_monolith.features.spec import Feature

SURFACES = ("home", "category", "search", "product", "cart")

CASCADE: tuple[Feature, ...] = (
    Feature(name="cascade_affinity", op="affinity", meaning="session vector times item vector, 0 without either"),
    *[
        Feature(name=f"cascade_surface_{name}", op="surface_is", value=name, meaning=f"1 on the surface `{name}`")
        for name in SURFACES
    ],
)
