"""The bundle that is served, as the stages read it: one value that is swapped whole between two requests.

Invariant: whatever a list takes from an `Active` is of one bundle. It does not know files or the log.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from rtp_monolith.ranking.bundle import Bundle
from rtp_monolith.ranking.encoder import Encodings
from rtp_monolith.ranking.reply import Model
from rtp_monolith.ranking.surfaces import CompiledSurface


class Active(msgspec.Struct, frozen=True):
    """`columns` says, by surface, which of the ranker's heads its value reads; None is all in their order."""

    bundle: Bundle
    encodings: Encodings
    columns: Mapping[str, list[int] | None]
    model: Model

    @property
    def label(self) -> str:
        """Name and version as decisions carry them."""
        return f"{self.model.name}/{self.model.version}"


def fit(bundle: Bundle, surfaces: Mapping[str, CompiledSurface], encodings_max: int) -> Active:
    """The bundle on these surfaces. Raises BundleError `bundle_head_missing` when a value names a head it lacks."""
    heads = bundle.ranker.heads
    columns: dict[str, list[int] | None] = {}
    for name, surface in surfaces.items():
        if surface.declared.rank == "model":
            surface.value.check(heads)
            wanted = surface.value.columns(heads)
            columns[name] = None if wanted == list(range(len(heads))) else wanted
    return Active(bundle, Encodings(encodings_max), columns, Model(bundle.name, bundle.version))
