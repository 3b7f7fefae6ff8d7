"""First stage: the session's items as one vector, from the cache when the session is as it was."""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.run import Run


class Encode:
    """Leaves the vector in the `Ask`. A session without an item that has a vector has none."""

    def __init__(self, core: Core, gate: Gate) -> None:
        self._core = core
        self._gate = gate

    def __call__(self, run: Run) -> None:
        active = run.active
        if active is not None and run.surface.reads_session:
            self._gate.run(run, lambda share: self._encode(run, active))
        run.times.done("encode")

    def _encode(self, run: Run, active: Active) -> None:
        encoder = active.bundle.encoder
        items = self._core.session_items(run.ask, encoder.length)
        if len(items) == 0:
            return
        vector = active.encodings.get(items)
        if vector is None:
            vector = encoder.encode(self._core.gather(items))
            active.encodings.put(items, vector)
        self._core.set_session_vector(run.ask, vector)
