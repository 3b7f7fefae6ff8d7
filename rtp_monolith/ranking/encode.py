"""First stage: the session's items as one vector, from the cache when the session is as it was, the past of a known
user and the context put together with it, and what is near either.

Up to a large catalogue what is near is found by recall's own scan; beyond, by a graph that is asked here.
"""

from __future__ import annotations

from rtp_monolith._native import Core
from rtp_monolith.features.context import said_in
from rtp_monolith.features.taste import Statics
from rtp_monolith.ranking.active import Active
from rtp_monolith.ranking.budget import Gate
from rtp_monolith.ranking.nearest import Nearest
from rtp_monolith.ranking.run import Run
from rtp_monolith.state.session import session_of


class Encode:
    """Leaves the vectors in the `Ask`. A session without an item that has a vector has none; nor has a user of whose
    past nothing is published, who is a stranger, unless the bundle makes something of the context."""

    def __init__(self, core: Core, gate: Gate, ann_gate: Gate, nearest: Nearest, statics: Statics) -> None:
        self._core = core
        self._gate = gate
        self._ann_gate = ann_gate
        self._nearest = nearest
        self._statics = statics

    def __call__(self, run: Run) -> None:
        active = run.active
        if active is not None and run.surface.reads_session:
            self._gate.run(run, lambda share: self._encode(run, active))
            if self._nearest.graph is not None:
                self._ann_gate.run(run, lambda share: self._ask_graph(run))
        run.times.done("encode")

    def _encode(self, run: Run, active: Active) -> None:
        clicks = self._read_session(run, active)
        bundle = active.bundle
        if (fusion := bundle.fusion) is None:
            return
        row = None if run.gathered is None else run.gathered.user
        static = self._statics.of(row, bundle.space, fusion.dimension)
        context = None
        if fusion.words is not None:
            context = fusion.context_of(said_in(run.request.context), run.made_ms)
        fused = fusion.fuse(static, run.vector, clicks, context)
        # Of a stranger whose session answers alone there is nothing more to say than the session does.
        if fused is not None and (static is not None or fused is not run.vector):
            self._core.set_user_vector(run.ask, fused)
            run.user_vector = fused

    def _read_session(self, run: Run, active: Active) -> int:
        """How many items of the session count."""
        encoder = active.bundle.encoder
        session = session_of(self._core, run.ask, encoder.length, encoder.marking)
        if len(session.items) == 0:
            return 0
        key = session.key()
        vector = active.encodings.get(key)
        if vector is None:
            vector = encoder.encode(self._core.gather(session.items), session.marks)
            active.encodings.put(key, vector)
        self._core.set_session_vector(run.ask, vector)
        run.vector = vector
        return len(session.items)

    def _ask_graph(self, run: Run) -> None:
        sources, filtered = run.surface.declared.sources, run.is_filtered
        if "ann" in sources and run.vector is not None:
            self._nearest.attach(run.ask, run.vector, sources["ann"].quota, filtered=filtered)
        if "ann_user" in sources and run.user_vector is not None:
            self._nearest.attach(run.ask, run.user_vector, sources["ann_user"].quota, filtered=filtered, user=True)
