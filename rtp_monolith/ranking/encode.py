"""First stage: the session's items as one vector, from the cache when the session is as it was, and what is near it.

Up to a large catalogue what is near is found by recall's own scan; beyond, by a graph that is asked here. The graph is
of the bundle in use, so a bundle that is tried beside it has recall's scan at any size.
"""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.nearest import Nearest
from rtp_monolith.ranking.run import Run
from rtp_monolith.state.session import session_of


class Encode:
    """Leaves the vector in the `Ask`. A session without an item that has a vector has none."""

    def __init__(self, core: Core, gate: Gate, ann_gate: Gate, nearest: Nearest) -> None:
        self._core = core
        self._gate = gate
        self._ann_gate = ann_gate
        self._nearest = nearest

    def __call__(self, run: Run) -> None:
        active = run.active
        if active is not None and run.surface.reads_session:
            self._gate.run(run, lambda share: self._encode(run, active))
            wanted = run.surface.declared.sources.get("ann")
            if wanted is not None and run.vector is not None and self._nearest.graph is not None and not run.is_tried:
                self._ann_gate.run(run, lambda share: self._ask_graph(run, wanted.quota))
        run.times.done("encode")

    def _encode(self, run: Run, active: Active) -> None:
        encoder = active.bundle.encoder
        session = session_of(self._core, run.ask, encoder.length, encoder.marking)
        if len(session.items) == 0:
            return
        key = session.key()
        vector = active.encodings.get(key)
        if vector is None:
            vector = encoder.encode(self._core.gather(session.items), session.marks)
            active.encodings.put(key, vector)
        self._core.set_session_vector(run.ask, vector)
        run.vector = vector

    def _ask_graph(self, run: Run, quota: int) -> None:
        assert run.vector is not None
        self._nearest.attach(run.ask, run.vector, quota, filtered=run.is_filtered)
