"""A list of the log asked for again, as the shard asked or would have asked: session vector, sources, rows.

Invariant: a row is what the shard would give the ranker for that item at that moment under the same surfaces and the
same encoder, to the bit: the vector comes out of the exported graph, one session at a time on one thread, and the
state, the lists of the popular and the table of vectors are those of the moment. An item that no source finds gets what
`rank` says of it. It does not know which model will read the rows.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Plan, Ranked, SurfacePlan
from rtp_monolith.config import Config
from rtp_monolith.features.marks import Marking, Marks
from rtp_monolith.records import Context
from rtp_monolith.state.session import session_of
from rtp_monolith.state.surface import surface_plan
from rtp_monolith.training.export import session_options
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.past import Past

ENCODINGS_MAX = 100_000
USUAL_SURFACE = "home"


class Encoded(msgspec.Struct, frozen=True):
    """An encoder as it is served: the bytes of its graph, the items that have vectors, float32 [items, d], how many
    items of a session it reads, and what beside them."""

    graph: bytes
    items: list[str]
    vectors: NDArray[np.float32]
    length: int
    marks: Marks | None = None


class Asking:
    """Asks a `Past` as a shard with this encoder would be asked. The state must stand at the list's offset."""

    def __init__(self, past: Past, config: Config, encoded: Encoded) -> None:
        self._past = past
        self._length = encoded.length
        self._marking = None if encoded.marks is None else Marking(encoded.marks)
        self._surfaces = {name: surface_plan(config, name) for name in config.surfaces}
        self._usual = self._surfaces.get(USUAL_SURFACE) or next(iter(self._surfaces.values()))
        self._encoder = onnxruntime.InferenceSession(
            encoded.graph, session_options(), providers=["CPUExecutionProvider"]
        )
        self._encodings: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        past.core.set_vectors(encoded.items, encoded.vectors)

    def ask(self, seen: SeenList) -> Ask:
        """The request of a list: what its decision says of it, else what its impressions say."""
        core, past = self._past.core, self._past
        while not core.refresh_lists(seen.as_of_ms):
            pass
        said = seen.served.context if seen.served is not None else Context()
        seeds = [*(said.cart or ()), *([] if said.item_id is None else [said.item_id])]
        ask = past.ask(
            seen.user_id,
            seen.session_id,
            seen.as_of_ms,
            seen.context,
            self._surface(seen),
            seeds=seeds,
            category=said.category,
            query=said.query,
        )
        self._encode(ask)
        return ask

    def rows(self, seen: SeenList, plan: Plan) -> NDArray[np.float32]:
        """float32 [items of the list, plan] in their order; an item that has left the catalogue was found by nobody."""
        core, ask = self._past.core, self.ask(seen)
        ranked, gone = core.rank_given(ask, seen.items)
        rows = np.empty((len(seen.items), len(plan)), np.float32)
        if len(ranked):
            order = [seen.where[shown[0]] for shown in core.shown(ranked)]
            rows[order] = core.rows(ask, ranked, plan)
        if gone:
            rows[[seen.where[item] for item in gone]] = core.vectors_of(ask, gone, plan)
        return rows

    def pool(self, seen: SeenList, plan: Plan) -> NDArray[np.float32]:
        """What the sources find for the list's moment: rows float32 [candidates, plan], best first."""
        core, ask = self._past.core, self.ask(seen)
        ranked: Ranked = core.recall(ask)
        return core.rows(ask, ranked, plan)

    def _surface(self, seen: SeenList) -> SurfacePlan:
        """A list of a surface that is not declared is asked for like the home page's."""
        return self._surfaces.get(seen.surface, self._usual)

    def _encode(self, ask: Ask) -> None:
        core = self._past.core
        session = session_of(core, ask, self._length, self._marking)
        if len(session.items) == 0:
            return
        key = session.key()
        vector = self._encodings.get(key)
        if vector is None:
            given = {"vectors": core.gather(session.items)[None], "lengths": np.array([len(session.items)], np.int64)}
            if session.marks is not None:
                given["marks"] = session.marks[None]
            vector = self._encoder.run(["session"], given)[0][0]
            self._encodings[key] = vector
            if len(self._encodings) > ENCODINGS_MAX:
                self._encodings.popitem(last=False)
        core.set_session_vector(ask, vector)
