"""Trained encoder → ONNX, with the proof that both say the same.

The exported graph takes `vectors` float32 [batch, length, d] (item vectors of the session, oldest first, right-padded
with zeros) and `lengths` int64 [batch], and gives `session` float32 [batch, d]: zeros for an empty session. Scores are
its dot products with `item_vectors`. A model that reads marks takes them as `marks` int64 [batch, length, 2], the gap
bucket and the action (`features/marks.py`). Invariant: `length` is at most the model's `length_max`; a caller cuts the
oldest items away. It does not know what a bundle is.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from rtp_monolith.errors import DataError
from rtp_monolith.training.export_sasrec import sasrec_graph
from rtp_monolith.training.models.encoder import GAPS, Body, SessionModel, TargetedBody
from rtp_monolith.training.models.gru4rec import Gru4Rec
from rtp_monolith.training.models.sasrec import SasRec
from rtp_monolith.training.onnx_graph import OPSET
from rtp_monolith.training.settings import Settings

TOLERANCE = 1e-5


def item_vectors(model: SessionModel) -> NDArray[np.float32]:
    """What sessions are scored against, [items, d]: under cosine normalized and divided by the temperature."""
    with torch.no_grad():
        return np.ascontiguousarray(model.item_vectors().numpy(), dtype=np.float32)


def export_encoder(model: SessionModel, path: Path) -> None:
    """Writes the encoder of `model` with dynamic batch and length. Leaves the model in evaluation mode. Raises
    DataError `not_an_encoder` for a model without session vectors."""
    if isinstance(model.body, TargetedBody):
        raise DataError(
            f"{model.settings.body} reads every candidate: there is no vector of a session", code="not_an_encoder"
        )
    model.eval()
    if isinstance(model.body, SasRec):
        path.write_bytes(sasrec_graph(model.body))
        return
    settings = model.settings
    # Two of each: a size of one is taken for a constant.
    longest = min(3, settings.length_max)
    example: tuple[Tensor, ...] = (torch.zeros(2, longest, settings.width), torch.tensor([2, 1]))
    shapes: tuple[dict[int, Any], ...] = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    names = ["vectors", "lengths"]
    if settings.marked:
        example, shapes, names = (*example, _no_marks(2, longest)), (*shapes, shapes[0]), [*names, "marks"]
    _traced(model.body, example, names, ["session"], shapes, path)


def _no_marks(*sizes: int) -> Tensor:
    return torch.zeros(*sizes, 2, dtype=torch.long)


def _traced(
    module: nn.Module,
    example: tuple[Tensor, ...],
    inputs: list[str],
    outputs: list[str],
    shapes: tuple[dict[int, Any], ...],
    path: Path,
) -> None:
    """The module as torch traces it, in one file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)


class _Step(nn.Module):
    """One click of a GRU4Rec, as a graph."""

    def __init__(self, body: Gru4Rec) -> None:
        super().__init__()
        self.body = body

    def forward(self, vectors: Tensor, state: Tensor, marks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.body.step(vectors, state, marks)


def export_step(model: SessionModel, path: Path) -> None:
    """Writes the incremental form: `vectors` float32 [batch, d] of the clicked items and `state` float32 [layers,
    batch, d], zeros for a new session, and for a model that reads them the clicks' `marks` int64 [batch, 2] → `session`
    [batch, d] and `state_after`. Raises DataError `no_incremental_form` for a model that has none."""
    model.eval()
    body, settings = model.body, model.settings
    if not isinstance(body, Gru4Rec):
        raise DataError(f"{settings.body} reads the whole session at every click", code="no_incremental_form")
    example: tuple[Tensor, ...] = (torch.zeros(2, settings.width), body.fresh(2))
    shapes: tuple[dict[int, Any], ...] = ({0: Dim.DYNAMIC}, {1: Dim.DYNAMIC})
    names = ["vectors", "state"]
    if settings.marked:
        example, shapes, names = (*example, _no_marks(2)), (*shapes, shapes[0]), [*names, "marks"]
    _traced(_Step(body), example, names, ["session", "state_after"], shapes, path)


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return options


def check_parity(model: SessionModel, path: Path, seed: int = 0) -> float:
    """The largest difference between ONNX Runtime and torch on padded, unpadded, empty and longest sessions.

    Raises DataError `parity` when it is above 1e-5 of the vectors' scale, or when anything is not finite.
    """
    model.eval()
    runtime = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for vectors, lengths, marks in _probes(model, seed):
        told = None if marks is None else torch.from_numpy(marks)
        with torch.no_grad():
            want = model.body(torch.from_numpy(vectors), torch.from_numpy(lengths), told).numpy()
            every = model.body.states(torch.from_numpy(vectors), torch.from_numpy(lengths), told).numpy()
        given = {"vectors": vectors, "lengths": lengths} | ({} if marks is None else {"marks": marks})
        got = runtime.run(["session"], given)[0]
        alone = _each_alone(model.body, vectors, lengths, told)
        trained = np.where(lengths[:, None] > 0, every[np.arange(len(lengths)), np.maximum(lengths - 1, 0)], 0.0)
        for other in (got, alone, trained):
            difference = float(np.abs(other - want).max() / max(1.0, np.abs(want).max()))
            if not difference <= TOLERANCE:
                raise DataError(f"{path.name} differs from the model by {difference:.1e}", code="parity")
            worst = max(worst, difference)
    return worst


Probe = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64] | None]


def _probes(model: SessionModel, seed: int) -> list[Probe]:
    """Batches of (vectors, lengths, marks): padded with an empty one, unpadded, one empty alone, the longest, one
    item."""
    rng, table, length_max = np.random.default_rng(seed), item_vectors(model), model.settings.length_max
    made = []
    for lengths in ([3, 0, length_max, 1, 7 % length_max + 1], [4 % length_max + 1] * 3, [0], [length_max] * 2, [1]):
        counts = np.array(lengths, dtype=np.int64)
        vectors = table[rng.integers(len(table), size=(len(lengths), max(1, *lengths, 1)))]
        vectors[np.arange(vectors.shape[1]) >= np.minimum(counts, vectors.shape[1])[:, None]] = 0.0
        marks = None
        if model.settings.marked:
            marks = any_marks(model.settings, rng, vectors.shape[:2])
        made.append((np.ascontiguousarray(vectors), np.minimum(counts, length_max), marks))
    return made


def any_marks(settings: Settings, rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Marks that clicks can have, [*shape, 2]."""
    return rng.integers((GAPS, settings.actions + 1), size=(*shape, 2), dtype=np.int64)


def _each_alone(
    body: Body, vectors: NDArray[np.float32], lengths: NDArray[np.int64], marks: Tensor | None
) -> NDArray[np.float32]:
    """Every session by itself and without padding."""
    out = []
    for row, (own, length) in enumerate(zip(vectors, lengths.tolist(), strict=True)):
        longest = max(1, length)
        told = None if marks is None else marks[row : row + 1, :longest]
        with torch.no_grad():
            out.append(body(torch.from_numpy(own[None, :longest]), torch.tensor([length]), told).numpy()[0])
    return np.stack(out)


logging.getLogger("torch.onnx").setLevel(logging.ERROR)
