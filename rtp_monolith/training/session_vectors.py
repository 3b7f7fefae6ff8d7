"""The session encoder of a bundle: the best small model of what sessions of a log wanted, and its vectors for rows.

Invariant: it learns from sessions before a cut in time only, so its affinities on later rows are those it would have
served. Items nobody wanted get their vector from their attributes. It does not know the ranker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
RIVALS = (msgspec.structs.replace(ENCODER, body="core", layers=1),)
"""Other small encoders, which take the place of the first one only where they are shown to be better."""
JUDGED_SHARE = 0.1
JUDGED_MAX = 4000
JUDGED_AT = 20


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


class Judged(NamedTuple):
    """Lists of JUDGED_AT for the last item of each session: the share that has it, NDCG, and that of each session;
    NaN without sessions."""

    hit_rate: float
    ndcg: float
    gains: NDArray[np.float64]


class Tried(NamedTuple):
    """One encoder as it was learned, and how it does on the held sessions."""

    vectors: SessionVectors
    history: History
    judged: Judged

    def said(self) -> dict[str, object]:
        settings, judged = self.vectors.model.settings, self.judged
        return {
            "body": settings.body,
            "marks": settings.marked,
            "epochs": len(self.history.epochs),
            "best_epoch": self.history.best_epoch,
            "hit_rate": judged.hit_rate,
            "ndcg": judged.ndcg,
        }


def train_encoder(
    survey: Survey,
    until_ms: int,
    settings: Sequence[Settings],
    wanted: Wanted = "off",
    *,
    seed: int,
    clock: Clock,
    checkpoint: Path | None,
    tell: Callable[[str], None],
) -> tuple[SessionVectors, dict[str, object]]:
    """Learns from the sessions before `until_ms`, the newest of which choose the epoch, which of the settings serves,
    and with `wanted` auto whether that one reads times and event types. The first stays unless another is better by
    more than the standard error of the difference (Breiman et al., 1984). Gives the report beside it. Raises DataError
    `nothing_to_learn` when no session has two items."""
    numbers = {item.id: at for at, item in enumerate(survey.catalogue)}
    found = survey.sessions_between(0, until_ms)
    marks = Marks(GAP_EDGES_S, vocabulary(session.actions for session in found)) if wanted != "off" and found else None
    sessions = numbered(found, numbers, None if marks is None else Marking(marks))
    judged = min(JUDGED_MAX, int(len(sessions.items) * JUDGED_SHARE))
    cut = len(sessions.items) - judged
    learned, held = sessions.part(0, cut), sessions.part(cut)

    def learn(each: Settings, read: Marks | None) -> Tried:
        own = msgspec.structs.replace(each, gaps=read is not None, actions=0 if read is None else len(read.actions))
        model = build(len(numbers), own, seed, survey.attribute_numbers())
        name = f"{own.body}-marked.pt" if own.marked else f"{own.body}.pt"
        history = train(
            model,
            learned.items,
            own,
            seed=seed,
            clock=clock,
            judge=(lambda made: judge_by(made, held).hit_rate) if judged else None,
            checkpoint=None if checkpoint is None else checkpoint.with_name(f"{checkpoint.stem}-{name}"),
            marks=None if read is None else learned.marks,
            tell=lambda text: tell(f"{own.body}: {text}"),
        )
        return Tried(SessionVectors(model, numbers, read), history, judge_by(model, held))

    first = marks if wanted == "on" else None
    # Without sessions to judge by there is nothing to choose with.
    tried = [learn(each, first) for each in (settings if judged else settings[:1])]
    best = preferred(tried)
    if wanted == "auto" and marks is not None and judged:
        tried.append(learn(best.vectors.model.settings, marks))
        best = preferred([best, tried[-1]])
    for each in tried:
        tell(f"{each.said()['body']}{', times and event types read' * each.vectors.model.settings.marked}: "
             f"NDCG {each.judged.ndcg:.4f}{', this one serves' * (each is best)}")  # fmt: skip
    report = best.said()
    report["marks"] = {
        "asked": wanted,
        "read": best.vectors.marks is not None,
        "actions": [] if best.vectors.marks is None else list(best.vectors.marks.actions),
    }
    report["tried"] = [each.said() for each in tried]
    return best.vectors, report


def preferred(tried: Sequence[Tried]) -> Tried:
    """The first, unless another is better by more than the standard error of the difference."""
    best = tried[0]
    for each in tried[1:]:
        gained = each.judged.gains - best.judged.gains
        if len(gained) > 1 and gained.mean() > gained.std(ddof=1) / len(gained) ** 0.5:
            best = each
    return best


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


def judge_by(model: SessionModel, sessions: Sessions) -> Judged:
    """How the model does on the last item of the sessions after what came before."""
    if not sessions.items:
        return Judged(float("nan"), float("nan"), np.empty(0))
    before = [marks[:-1] for marks in sessions.marks] if model.settings.marked else None
    with torch.no_grad():
        table = model.item_vectors()
        scores = (model.sessions(table, [session[:-1] for session in sessions.items], before) @ table.T).cpu()
    targets = torch.tensor([session[-1] for session in sessions.items])
    own = scores.gather(1, targets[:, None])
    # A tie counts against us.
    rank = ((scores >= own).sum(dim=1) - 1).float()
    hit = rank < JUDGED_AT
    gains = (hit / (rank + 2.0).log2()).double().numpy()
    return Judged(float(hit.float().mean()), float(gains.mean()), gains)


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
