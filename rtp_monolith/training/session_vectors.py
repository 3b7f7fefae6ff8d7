"""The session encoder of a bundle: a SASRec trained on what sessions of a log wanted, and its vectors for rows.

Invariant: it learns from sessions before a cut in time only, so its affinities on later rows are those it would have
served. Items nobody wanted get their vector from their attributes. It does not know the ranker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.training.export import check_parity, export_encoder, item_vectors
from rtp_monolith.training.loop import History, train
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.settings import Settings
from rtp_monolith.training.survey import Survey

ENCODER = Settings(
    body="sasrec", width=64, layers=2, heads=2, length_max=50, scoring="cosine", temperature=0.1, loss="full",
    dropout=0.2, embedding_dropout=0.2, epochs=12, patience=2, batch_tokens=2048, warmup_steps=100,
)  # fmt: skip
JUDGED_SHARE = 0.1
JUDGED_MAX = 4000
JUDGED_AT = 20


class SessionVectors:
    """A trained model with the numbers of its items. `table` is float32 [items, d], `encode` gives [n, d]."""

    def __init__(self, model: SessionModel, items: dict[str, int]) -> None:
        self.model = model.eval()
        self.items = items
        self.table: NDArray[np.float32] = item_vectors(model)
        self.length = model.settings.length_max

    def encode(self, sessions: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        """Right-padded item numbers [n, length] and lengths [n]; zeros for an empty session."""
        longest = max(1, int(lengths.max(initial=0)))
        cut = sessions[:, :longest]
        vectors = self.table[cut] * (np.arange(longest) < lengths[:, None])[:, :, None]
        with torch.no_grad():
            made: NDArray[np.float32] = self.model.body(
                torch.from_numpy(vectors.astype(np.float32)), torch.from_numpy(lengths)
            ).numpy()
        return made


def train_encoder(
    survey: Survey,
    until_ms: int,
    settings: Settings,
    *,
    seed: int,
    clock: Clock,
    checkpoint: Path | None,
    tell: Callable[[str], None],
) -> tuple[SessionVectors, History]:
    """Learns from the sessions before `until_ms`; the newest of them choose the epoch. Raises DataError
    `nothing_to_learn` when no session has two items."""
    numbers = {item.id: at for at, item in enumerate(survey.catalogue)}
    wanted = survey.sessions_between(0, until_ms)
    sessions = [[numbers[item] for item in session if item in numbers] for session in wanted]
    sessions = [session for session in sessions if len(session) > 1]
    judged = min(JUDGED_MAX, int(len(sessions) * JUDGED_SHARE))
    learned, held = (sessions[:-judged], sessions[-judged:]) if judged else (sessions, [])
    model = build(len(numbers), settings, seed, survey.attribute_numbers())
    judge = (lambda made: hit_rate(made, held)) if held else None
    history = train(model, learned, settings, seed=seed, clock=clock, judge=judge, checkpoint=checkpoint, tell=tell)
    return SessionVectors(model, numbers), history


def hit_rate(model: SessionModel, sessions: list[list[int]]) -> float:
    """Share of the sessions whose last item is among the JUDGED_AT best after what came before."""
    with torch.no_grad():
        table = model.item_vectors()
        scores = (model.sessions(table, [session[:-1] for session in sessions]) @ table.T).cpu()
    targets = torch.tensor([session[-1] for session in sessions])
    own = scores.gather(1, targets[:, None])
    # A tie counts against us.
    rank = (scores >= own).sum(dim=1) - 1
    return float((rank < JUDGED_AT).float().mean())


def encoder_file(vectors: SessionVectors, path: Path, seed: int) -> float:
    """Writes the ONNX graph, checked against torch, without what the exporter notes about its machine. Returns the
    greatest difference."""
    export_encoder(vectors.model, path)
    graph = onnx.load(str(path))
    _forget_origins(graph)
    path.write_bytes(graph.SerializeToString(deterministic=True))
    return check_parity(vectors.model, path, seed)


def _forget_origins(model: onnx.ModelProto) -> None:
    """Stack traces and paths: a bundle says nothing of where it was made, and equal seeds give equal bytes."""
    del model.metadata_props[:]
    model.doc_string = ""
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in (*graph.value_info, *getattr(graph, "input", ())):
            if hasattr(value, "metadata_props"):
                del value.metadata_props[:]
