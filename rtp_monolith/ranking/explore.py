"""Last stage: one declared place for a new item, drawn by Thompson sampling with a propensity that the log proves.

The draw follows from the request's id, so it can be made again; without it the list stays as it is.
"""

from __future__ import annotations

import hashlib

from rtp_monolith._native import Core
from rtp_monolith.config_surfaces import Explore as Declared
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.run import Run


class Explore:
    """Explores where the surface declares a slot that the list reaches, and a bundle is served."""

    def __init__(self, core: Core, gate: Gate, started_ms: int) -> None:
        self._core = core
        self._gate = gate
        self._salt = f"{started_ms:x}:"

    def __call__(self, run: Run) -> None:
        declared = run.surface.declared.explore
        if run.stays:
            # The item was drawn for this list when it was made; the log has that draw again.
            run.propensity = run.ranked.propensity
            declared = None
        wanted = declared is not None and run.active is not None and not run.is_last_list
        if declared is not None and wanted and declared.slot < len(run.ranked):
            self._gate.run(run, lambda share: self._explore(run, declared))
        run.times.done("explore")

    def _explore(self, run: Run, declared: Declared) -> None:
        run.propensity = self._core.explore(
            run.ask,
            run.ranked,
            k=run.k,
            slot=declared.slot,
            pool_max=declared.pool,
            impressions_max=declared.impressions_max,
            prior_clicks=declared.prior_clicks,
            prior_impressions=declared.prior_impressions,
            seed=self._seed(run.request_id),
        )

    def _seed(self, request_id: str) -> int:
        digest = hashlib.blake2b((self._salt + request_id).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big")
