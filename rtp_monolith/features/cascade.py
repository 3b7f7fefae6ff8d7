"""Columns of a row that belong to the cascade and not to the catalogue: they depend on the model that is served, or on
what the sources of the surface found for the request.

Invariant: no name of these is a feature's; they have no fingerprint of use, and the audit leaves them out, because a
replay without the bundle has no session vector and asks no source. It does not know which of them a ranker reads.
"""

from __future__ import annotations

from rtp_monolith.features.spec import Feature

SURFACES = ("home", "category", "search", "product", "cart")
FOUND_BY = ("session_knn", "covis", "same_category", "ann", "trending", "popular", "ann_user")
"""Sources of which a row says whether they found its item."""
NEAR = {
    "mean": "cosine with the mean of the session's last five wishes",
    "max": "cosine with the nearest of the session's last five wishes",
    "last": "cosine with the session's last wish",
    "before": "cosine with the mean of what was wanted in earlier sessions",
}

CASCADE: tuple[Feature, ...] = (
    Feature(name="cascade_affinity", op="affinity", meaning="session vector times item vector, 0 without either"),
    Feature(name="cascade_affinity_user", op="affinity_user", meaning="the same with the user's past in the vector"),
    *[
        Feature(name=f"cascade_surface_{name}", op="surface_is", value=name, meaning=f"1 on the surface `{name}`")
        for name in SURFACES
    ],
    Feature(name="cascade_recall", op="found_score", meaning="merged score of the sources, before any model"),
    *[
        Feature(name=f"cascade_source_{name}", op="found_by", value=name, meaning=f"1 when `{name}` found the item")
        for name in FOUND_BY
    ],
    *[Feature(name=f"cascade_near_{how}", op="near", value=how, meaning=text) for how, text in NEAR.items()],
)
