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
import numpy as np
import torch

from rtp_monolith.clock import Clock
from rtp_monolith.errors import DataError
from rtp_monolith.features.marks import Marks
from rtp_monolith.training.evaluate import Request, Trained, learn
from rtp_monolith.training.export import check_parity, export_encoder, export_step, item_vectors
from rtp_monolith.training.export_int8 import Quantized, quantize
from rtp_monolith.training.learner import Learner
from rtp_monolith.training.learners import CHECKPOINTS, Encoder, Mixture
from rtp_monolith.training.loop import write_whole
from rtp_monolith.training.metrics import Metrics
from rtp_monolith.training.models.build import build
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.protocols import Cases, split_for_training
from rtp_monolith.training.sessions import read, read_attributes
from rtp_monolith.training.settings import Settings
from rtp_monolith.training.stamps import found_marks
from rtp_monolith.training.teach import Taught

FORMAT = 1


class Weights(msgspec.Struct, frozen=True):
    """A neural part: its name, settings, epochs, and the file beside `model.json`."""

    name: str
    settings: Settings
    epochs: float
    file: str


class Document(msgspec.Struct, frozen=True):
    """What `model.json` says. `items` are the ids by number, `attributes` the attribute numbers of each or null,
    `marks` what the file says of clicks, for the weights whose settings read it."""

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
    marks: Marks | None = None


def train_only(
    request: Request,
    folder: Path,
    clock: Clock,
    tell: Callable[[str], None],
    serve: bool = False,
    int8_loss_max: float | None = None,
) -> tuple[Document, Served | None]:
    """`rtp train`: learns as `rtp evaluate --protocol prefixes` does and writes the model instead of testing it; with
    `serve` its serving form as well."""
    recorded = read(request.train)
    described = read_attributes(request.attributes) if request.attributes is not None else {}
    marks = found_marks(recorded, recorded, request.marks, tell)
    parts = split_for_training(recorded, described, marks)
    made = learn(request, parts, described, clock, tell, checkpoints=folder)
    document = save(folder, made, parts.vocabulary.ids(), request, marks)
    for file in CHECKPOINTS:
        (folder / file).unlink(missing_ok=True)
    if not serve:
        return document, None
    return document, serving_form(folder, made, parts.validation(made.data.known), request.seed, int8_loss_max, tell)


def save(folder: Path, made: Trained, items: list[str], request: Request, marks: Marks | None = None) -> Document:
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
        marks,
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


class Served(msgspec.Struct, frozen=True):
    """What was written for serving: the greatest difference to torch, and the cost of int8 if that was asked for."""

    files: list[str]
    parity: float
    int8: Quantized | None


def serving_form(
    folder: Path, made: Trained, validation: Cases, seed: int, int8_loss_max: float | None, tell: Callable[[str], None]
) -> Served:
    """Writes `encoder.onnx` and `items.npy`, for a GRU4Rec `step.onnx`, and with a bound `encoder.int8.onnx`.

    Raises DataError: `not_an_encoder` for a blend and for a model without session vectors, `parity`,
    `int8_loses_too_much`, `disk_refused`.
    """
    encoders = _encoders(made.learner)
    if len(encoders) != 1 or isinstance(made.learner, Mixture) or encoders[0].model is None:
        raise DataError(f"{made.learner.name} is not one encoder: teach one with --teacher", code="not_an_encoder")
    model, path = encoders[0].model, folder / "encoder.onnx"
    files, quantized = ["encoder.onnx", "items.npy"], None
    try:
        export_encoder(model, path)
        np.save(folder / "items.npy", item_vectors(model))
        parity = check_parity(model, path, seed)
        tell(f"encoder.onnx says what torch says, within {parity:.1e}")
        if model.settings.body == "gru4rec":
            export_step(model, folder / "step.onnx")
            files.append("step.onnx")
        if int8_loss_max is not None:
            quantized = quantize(model, path, folder / "encoder.int8.onnx", validation, made.data, int8_loss_max)
            files.append("encoder.int8.onnx")
            tell(f"int8: NDCG {quantized.ndcg_int8:.4f} of {quantized.ndcg:.4f}, {quantized.loss:.2%} lost")
    except OSError as error:
        raise DataError(f"the serving form cannot be written: {error}", code="disk_refused") from error
    return Served(files, parity, quantized)


def _encoders(learner: Learner) -> list[Encoder]:
    if isinstance(learner, Taught):
        return [learner.student]
    if isinstance(learner, Mixture):
        return learner.encoders
    return [learner] if isinstance(learner, Encoder) else []


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
