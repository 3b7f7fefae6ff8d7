"""The content model of a bundle: learned from what the survey saw before a cut, exported, with its probe and report.

Invariant: it learns from the same sessions as the encoder, and from nothing later. It does not know the other models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rtp_monolith.features.content import Described, bags
from rtp_monolith.features.marks import Marking
from rtp_monolith.training.content import ContentSettings, next_items, train_content, vectors_of
from rtp_monolith.training.export_content import content_graph, content_parity
from rtp_monolith.training.session_vectors import SessionVectors, numbered
from rtp_monolith.training.survey import CatalogueItem, Survey

WISHES_MIN = 300
"""Below this many next items there is nothing to learn that a category's mean does not say."""
PROBED_ITEMS = 8


class ContentPart(NamedTuple):
    """The graph, the rows of its table, and what a bundle keeps beside it."""

    graph: bytes
    rows: int
    probe: dict[str, NDArray[np.generic]]
    report: dict[str, object]


def content_part(
    seen: Survey,
    until_ms: int,
    vectors: SessionVectors,
    settings: ContentSettings,
    *,
    seed: int,
    tell: Callable[[str], None],
) -> ContentPart | None:
    """None when sessions before `until_ms` have too little to learn from. Raises DataError `parity`."""
    marking = None if vectors.marks is None else Marking(vectors.marks)
    sessions = numbered(seen.sessions_between(0, until_ms), vectors.items, marking)
    if not sessions.items:
        return None
    wishes = next_items(vectors.model, sessions.items, None if marking is None else sessions.marks)
    if len(wishes.targets) < WISHES_MIN:
        return None
    items = [described(item) for item in seen.catalogue]
    made = train_content(items, vectors.table, wishes, settings, seed=seed, tell=tell)
    graph = content_graph(made.model)
    probed = bags([*items[: PROBED_ITEMS - 1], Described()], made.rows)
    difference = content_parity(graph, made.model, probed)
    probe: dict[str, NDArray[np.generic]] = {
        "content_tokens": probed.tokens,
        "content_weights": probed.weights,
        "content_vectors": vectors_of(made.model, probed),
    }
    report: dict[str, object] = {
        "rows": made.rows,
        "epochs": made.epochs,
        "held_ndcg": made.gain,
        "held_ndcg_by_chance": made.chance,
        "parity": difference,
    }
    return ContentPart(graph, made.rows, probe, report)


def described(item: CatalogueItem) -> Described:
    """What a content model reads of an item."""
    return Described(item.title, item.description, item.categories, item.brand, item.price, item.attributes)
