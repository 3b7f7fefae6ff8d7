"""A trained model on disk: `model.json` (settings, metrics, vocabulary, what it was trained on) and a weights file per
neural part.

Counting models have no weights: they are the sessions, whose file is named with its digest. Invariant: the same file,
settings and seed give the same weights again; `model.json` is written last, so a folder with one is whole. It does not
know bundles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.training.evaluate import Request, Trained, learn
from rtp_monolith.training.learner import Learner
from rtp_monolith.training.learners import Encoder, Mixture
from rtp_monolith.training.loop import write_whole
from rtp_monolith.training.metrics import Metrics
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.protocols import split_for_training
from rtp_monolith.training.sessions import read, read_attributes
from rtp_monolith.training.settings import Settings

FORMAT = 1


class Weights(msgspec.Struct, frozen=True):
    """A neural part: its name, settings, epochs, and the file beside `model.json`."""

    name: str
    settings: Settings
    epochs: float
    file: str


class Document(msgspec.Struct, frozen=True):
    """What `model.json` says. `items` are the ids by number, `attributes` the attribute numbers of each or null."""

    format: int
    model: str
    chosen: dict[str, Any]
    seed: int
    k: int
    refit: bool
    sessions_file: str
    sessions_sha256: str
    sessions: int
    validation: Metrics
    train_s: float
    weights: list[Weights]
    items: list[str]
    attributes: list[list[int]] | None


def train_only(request: Request, folder: Path, clock: Clock, tell: Callable[[str], None]) -> Document:
    """`rtp train`: learns as `rtp evaluate --protocol prefixes` does and writes the model instead of testing it."""
    recorded = read(request.train)
    described = read_attributes(request.attributes) if request.attributes is not None else {}
    parts = split_for_training(recorded, described)
    made = learn(request, parts, described, clock, tell, checkpoints=folder)
    document = save(folder, made, parts.vocabulary.ids(), request)
    for each in _encoders(made.learner):
        for first in (True, False):
            if (path := each.checkpoint(first)) is not None:
                path.unlink(missing_ok=True)
    return document


def save(folder: Path, made: Trained, items: list[str], request: Request) -> Document:
    """Writes the folder. Raises DataError `disk_refused`."""
    weights = []
    for place, encoder in enumerate(_encoders(made.learner)):
        assert encoder.model is not None
        file = f"{place}-{encoder.name}.pt"
        write_whole(encoder.model.state_dict(), folder / file)
        weights.append(Weights(encoder.name, encoder.settings, encoder.epochs, file))
    document = Document(
        FORMAT,
        made.learner.name,
        made.learner.document(),
        request.seed,
        request.k,
        request.refit,
        request.train.name,
        _digest(request.train),
        len(made.data.sessions),
        made.validation,
        round(made.train_s, 3),
        weights,
        items,
        made.data.attributes,
    )
    beside = folder / "model.json.part"
    try:
        beside.write_bytes(msgspec.json.format(msgspec.json.encode(document), indent=1))
        beside.replace(folder / "model.json")
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise DataError(f"model.json cannot be written: {error}", code="disk_refused") from error
    return document


def load(folder: Path) -> tuple[Document, list[SessionModel]]:
    """The document and its neural parts, ready to score. Raises DataError `model_unreadable`."""
    try:
        document = msgspec.json.decode((folder / "model.json").read_bytes(), type=Document)
        models = []
        for each in document.weights:
            model = build(len(document.items), each.settings, document.seed, document.attributes)
            model.load_state_dict(torch.load(folder / each.file, weights_only=True))
            models.append(model.eval())
    except Exception as error:
        raise DataError(f"{folder.name} holds no model that can be read: {error}", code="model_unreadable") from error
    return document, models


def _encoders(learner: Learner) -> list[Encoder]:
    if isinstance(learner, Mixture):
        return learner.encoders
    return [learner] if isinstance(learner, Encoder) else []


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
