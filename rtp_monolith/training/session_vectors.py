"""The session encoder of a bundle: a SASRec trained on what sessions of a log wanted, and its vectors for rows.

Invariant: it learns from sessions before a cut in time only, so its affinities on later rows are those it would have
served. Items nobody wanted get their vector from their attributes. It does not know the ranker.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.features.marks import GAP_EDGES_S, Marking, Marks, vocabulary
from rtp_monolith.training.export import any_marks, check_parity, export_encoder, item_vectors
from rtp_monolith.training.loop import History, train
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.settings import Settings
from rtp_monolith.training.stamps import Wanted
from rtp_monolith.training.survey import Session, Survey

ENCODER = Settings(
    body="sasrec", width=64, layers=2, heads=2, length_max=50, scoring="cosine", temperature=0.1, loss="full",
    dropout=0.2, embedding_dropout=0.2, epochs=12, patience=2, batch_tokens=2048, warmup_steps=100,
)  # fmt: skip
JUDGED_SHARE = 0.1
JUDGED_MAX = 4000
JUDGED_AT = 20
MARKS_GAIN_MIN = 1.002
"""An encoder that reads marks must be this much better on validation, or the simpler one stays."""


class SessionVectors:
    """A trained model with the numbers of its items and what it reads beside them. `table` is float32 [items, d]."""

    def __init__(self, model: SessionModel, items: dict[str, int], marks: Marks | None = None) -> None:
        self.model = model.eval()
        self.items = items
        self.marks = marks
        self.table: NDArray[np.float32] = item_vectors(model)
        self.length = model.settings.length_max

    def probe_marks(self, shape: tuple[int, ...], seed: int) -> NDArray[np.int64] | None:
        """Marks [*shape, 2] to try the graph with, None for a model that reads none."""
        settings = self.model.settings
        return any_marks(settings, np.random.default_rng(seed), shape) if settings.marked else None


class Sessions(NamedTuple):
    """Item numbers and marks [clicks, 2] of sessions, side by side."""

    items: list[list[int]]
    marks: list[NDArray[np.int64]]

    def part(self, start: int, stop: int | None = None) -> Sessions:
        return Sessions(self.items[start:stop], self.marks[start:stop])


def train_encoder(
    survey: Survey,
    until_ms: int,
    settings: Settings,
    wanted: Wanted = "off",
    *,
    seed: int,
    clock: Clock,
    checkpoint: Path | None,
    tell: Callable[[str], None],
) -> tuple[SessionVectors, dict[str, object]]:
    """Learns from the sessions before `until_ms`, the newest of which choose the epoch, and with `wanted` auto also
    whether times and event types are read. Gives the report beside it. Raises DataError `nothing_to_learn` when no
    session has two items."""
    numbers = {item.id: at for at, item in enumerate(survey.catalogue)}
    found = survey.sessions_between(0, until_ms)
    marks = Marks(GAP_EDGES_S, vocabulary(session.actions for session in found)) if wanted != "off" and found else None
    sessions = numbered(found, numbers, None if marks is None else Marking(marks))
    judged = min(JUDGED_MAX, int(len(sessions.items) * JUDGED_SHARE))
    cut = len(sessions.items) - judged
    learned, held = sessions.part(0, cut), sessions.part(cut)
    tried: list[tuple[SessionVectors, History, Judged]] = []
    for read in [marks] if wanted == "on" else [None] if marks is None else [marks, None]:
        own = msgspec.structs.replace(settings, gaps=read is not None, actions=0 if read is None else len(read.actions))
        model = build(len(numbers), own, seed, survey.attribute_numbers())
        judge = (lambda made: judge_by(made, held).hit_rate) if judged else None
        history = train(
            model,
            learned.items,
            own,
            seed=seed,
            clock=clock,
            judge=judge,
            checkpoint=checkpoint if read is None or checkpoint is None else checkpoint.with_suffix(".marked.pt"),
            marks=None if read is None else learned.marks,
            tell=tell,
        )
        tried.append((SessionVectors(model, numbers, read), history, judge_by(model, held)))
    ndcgs = [each.ndcg for _, _, each in tried]
    vectors, history, made = tried[0] if len(tried) == 1 or ndcgs[0] > ndcgs[1] * MARKS_GAIN_MIN else tried[1]
    if len(tried) > 1:
        said = "are read" if vectors.marks is not None else "are left out"
        tell(f"NDCG {ndcgs[0]:.4f} with times and event types, {ndcgs[1]:.4f} without: they {said}")
    report: dict[str, object] = {
        "epochs": len(history.epochs),
        "best_epoch": history.best_epoch,
        "hit_rate": made.hit_rate,
        "ndcg": made.ndcg,
        "marks": {
            "asked": wanted,
            "read": vectors.marks is not None,
            "actions": [] if vectors.marks is None else list(vectors.marks.actions),
            **({"ndcg": ndcgs[0], "ndcg_without": ndcgs[1]} if len(tried) > 1 else {}),
        },
    }
    return vectors, report


def numbered(found: list[Session], numbers: dict[str, int], marking: Marking | None) -> Sessions:
    """Sessions of at least two items of the catalogue."""
    items: list[list[int]] = []
    marks: list[NDArray[np.int64]] = []
    for session in found:
        own = session.of([place for place, item in enumerate(session.items) if item in numbers])
        if len(own.items) > 1:
            items.append([numbers[item] for item in own.items])
            if marking is not None:
                marks.append(marking.of(np.array(own.times, np.int64), marking.numbers(own.actions)))
    return Sessions(items, marks)


class Judged(NamedTuple):
    """Lists of JUDGED_AT for the last item of each session: the share that has it, and NDCG; NaN without sessions."""

    hit_rate: float
    ndcg: float


def judge_by(model: SessionModel, sessions: Sessions) -> Judged:
    """How the model does on the last item of the sessions after what came before."""
    if not sessions.items:
        return Judged(float("nan"), float("nan"))
    before = [marks[:-1] for marks in sessions.marks] if model.settings.marked else None
    with torch.no_grad():
        table = model.item_vectors()
        scores = (model.sessions(table, [session[:-1] for session in sessions.items], before) @ table.T).cpu()
    targets = torch.tensor([session[-1] for session in sessions.items])
    own = scores.gather(1, targets[:, None])
    # A tie counts against us.
    rank = ((scores >= own).sum(dim=1) - 1).float()
    hit = rank < JUDGED_AT
    return Judged(float(hit.float().mean()), float((hit / (rank + 2.0).log2()).mean()))


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
