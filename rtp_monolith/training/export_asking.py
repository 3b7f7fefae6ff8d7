"""A list of the log asked for again, as the shard asked or would have asked: session vector, sources, rows.

Invariant: a row is what the shard would give the ranker for that item at that moment under the same surfaces and the
same encoder, to the bit: the vector comes out of the exported graph, one session at a time on one thread, and the
state, the lists of the popular and the table of vectors are those of the moment. An item that no source finds gets what
`rank` says of it. It does not know which model will read the rows.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from rtp_monolith._native import Ask, Plan, Ranked, SurfacePlan
from rtp_monolith.config import Config
from rtp_monolith.features.context_words import FIELDS
from rtp_monolith.features.fusion import Fusion
from rtp_monolith.features.marks import Marking, Marks
from rtp_monolith.records import Context
from rtp_monolith.state.session import session_of
from rtp_monolith.state.surface import surface_plan
from rtp_monolith.training.export import session_options
from rtp_monolith.training.lists import SeenList
from rtp_monolith.training.past import Past

ENCODINGS_MAX = 100_000
USUAL_SURFACE = "home"


class StaticVectors(Protocol):
    """What a nightly job would have published of users."""

    def of(self, user: str | None, as_of_ms: int) -> NDArray[np.float32] | None: ...


class UserVectors(msgspec.Struct, frozen=True):
    """Pasts of users, and how they are put together with sessions."""

    pasts: StaticVectors
    fusion: Fusion


class Encoded(msgspec.Struct, frozen=True):
    """An encoder as it is served: the bytes of its graph, the items that have vectors, float32 [items, d], how many
    items of a session it reads, and what beside them."""

    graph: bytes
    items: list[str]
    vectors: NDArray[np.float32]
    length: int
    marks: Marks | None = None
    users: UserVectors | None = None


def opened(encoded: Encoded) -> onnxruntime.InferenceSession:
    """The graph on one thread."""
    return onnxruntime.InferenceSession(encoded.graph, session_options(), providers=["CPUExecutionProvider"])


class Asking:
    """Asks a `Past` as a shard with this encoder would be asked. The state must stand at the list's offset. The lists
    of the popular are up to `stale_ms` old, as they are in a shard between two of its ticks."""

    def __init__(self, past: Past, config: Config, encoded: Encoded, stale_ms: int = 0) -> None:
        self._past = past
        self._stale_ms = stale_ms
        self._refreshed_ms = -(1 << 62)
        self._length = encoded.length
        self._declared = config.surfaces
        self._usual = USUAL_SURFACE if USUAL_SURFACE in config.surfaces else next(iter(config.surfaces))
        self._marking = None if encoded.marks is None else Marking(encoded.marks)
        self._surfaces = {name: surface_plan(config, name) for name in config.surfaces}
        self._alone: dict[str, dict[str, SurfacePlan]] = {
            name: {source: surface_plan(config, name, source) for source in surface.sources}
            for name, surface in config.surfaces.items()
        }
        self._encoder = opened(encoded)
        self._users = encoded.users
        self._encodings: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        past.core.set_vectors(encoded.items, encoded.vectors)

    def ask(self, seen: SeenList, surface: SurfacePlan | None = None) -> Ask:
        """The request of a list, on its own surface unless another is given: what its decision says of it, else what
        its impressions say."""
        core, past = self._past.core, self._past
        if not 0 <= seen.as_of_ms - self._refreshed_ms < self._stale_ms:
            self._refreshed_ms = seen.as_of_ms
            while not core.refresh_lists(seen.as_of_ms):
                pass
        said = _context(seen)
        seeds = [*(said.cart or ()), *([] if said.item_id is None else [said.item_id])]
        ask = past.ask(
            seen.user_id,
            seen.session_id,
            seen.as_of_ms,
            seen.context,
            surface or self._surfaces[self._surface(seen)],
            seeds=seeds,
            category=said.category,
            query=said.query,
            external=seen.external,
            shown=seen.shown,
            made_with=seen.made_with,
        )
        vector, clicks = self._encode(ask)
        if self._users is not None:
            self._put_together(ask, seen, self._users, vector, clicks)
        return ask

    def _put_together(
        self, ask: Ask, seen: SeenList, users: UserVectors, vector: NDArray[np.float32] | None, clicks: int
    ) -> None:
        user = seen.user_id or self._past.core.linked_user(seen.session_id)
        static = users.pasts.of(user, seen.as_of_ms)
        pairs = dict(seen.context)
        said = [pairs.get(field) for field in FIELDS[:3]]
        fused = users.fusion.fuse(static, vector, clicks, users.fusion.context_of(said, seen.as_of_ms))
        if fused is not None and (static is not None or fused is not vector):
            self._past.core.set_user_vector(ask, fused)

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

    def pool(self, seen: SeenList) -> tuple[Ask, Ranked, list[str]]:
        """What the sources find for the list's moment and may be shown, best first, with its ids."""
        core, ask = self._past.core, self.ask(seen)
        ranked: Ranked = core.recall(ask)
        core.prerank(ask, ranked, max(1, len(ranked)), 1, light=False)
        return ask, ranked, [item for item, _, _ in core.shown(ranked)]

    def said(self, seen: SeenList, ids: list[str], sources: list[str]) -> NDArray[np.float32]:
        """float32 [ids, sources]: what each source alone says of an item, as a share of the best that it says; 0 for
        what it does not find, and for a source that the list's surface does not ask."""
        core, alone = self._past.core, self._alone[self._surface(seen)]
        place = {item: at for at, item in enumerate(ids)}
        made = np.zeros((len(ids), len(sources)), np.float32)
        for column, source in enumerate(sources):
            if source not in alone:
                continue
            for item, score, _ in core.shown(core.recall(self.ask(seen, alone[source]))):
                if item in place:
                    made[place[item], column] = score
        return made

    def knows_request(self, seen: SeenList) -> bool:
        """Whether the log says all that the list's surface asks a request for: the words that are searched for, the
        category that is browsed."""
        surface, said = self._declared[self._surface(seen)], _context(seen)
        return (said.query is not None or "text" not in surface.sources) and (
            said.category is not None or surface.within is None
        )

    def _surface(self, seen: SeenList) -> str:
        """A list of a surface that is not declared is asked for like the home page's."""
        return seen.surface if seen.surface in self._surfaces else self._usual

    def _encode(self, ask: Ask) -> tuple[NDArray[np.float32] | None, int]:
        """The session's vector, which the request then has, and of how many items it is."""
        core = self._past.core
        session = session_of(core, ask, self._length, self._marking)
        if len(session.items) == 0:
            return None, 0
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
        return vector, len(session.items)


def _context(seen: SeenList) -> Context:
    return seen.served.context if seen.served is not None else Context()
