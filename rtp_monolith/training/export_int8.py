"""The exported encoder with weights of one byte, and what that costs in quality.

Weights are rounded per channel, activations per call (dynamic quantization of ONNX Runtime). Invariant: no int8 file is
left behind that loses more than the bound on the cases it was judged on. It does not know which cases those are.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import numpy as np
import onnxruntime
import torch
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor

from rtp_monolith.errors import DataError
from rtp_monolith.training.export import item_vectors, session_options
from rtp_monolith.training.learner import Data, judged
from rtp_monolith.training.models.encoder import SessionModel
from rtp_monolith.training.protocols import Cases

LOSS_MAX = 0.01


class Quantized(msgspec.Struct, frozen=True):
    """NDCG with float32 and with int8 weights, the share lost, and the sizes of both files in bytes."""

    ndcg: float
    ndcg_int8: float
    loss: float
    bytes: int
    bytes_int8: int


class Exported:
    """An encoder file as a scorer of the model's items."""

    def __init__(self, model: SessionModel, path: Path) -> None:
        self.model, self.table = model, item_vectors(model)
        self.runtime = onnxruntime.InferenceSession(str(path), session_options(), providers=["CPUExecutionProvider"])

    def scores(self, cases: Cases, start: int, stop: int) -> Tensor:
        padded, lengths = self.model.padded([cases.history(case) for case in range(start, stop)])
        inside = torch.arange(padded.shape[1]) < lengths.unsqueeze(1)
        given = {"vectors": self.table[padded.numpy()] * inside.unsqueeze(2).numpy(), "lengths": lengths.numpy()}
        marks = self.model.padded_marks(cases.marks_of(start, stop), padded.shape[1])
        if marks is not None:
            given["marks"] = marks.numpy()
        session = self.runtime.run(["session"], given)[0]
        return torch.from_numpy(np.asarray(session) @ self.table.T)


def quantize(
    model: SessionModel, path: Path, into: Path, validation: Cases, data: Data, loss_max: float = LOSS_MAX
) -> Quantized:
    """Writes the int8 form of the encoder file `path`. Raises DataError `int8_loses_too_much`, and leaves no file."""
    beside = into.with_name(into.name + ".part")
    logging.getLogger().setLevel(logging.ERROR)  # the quantizer logs advice to the root
    # Its form of the fused attention has no place for a bias by distance, so only plain products are quantized, whose
    # types it cannot see through a fused node.
    quantize_dynamic(
        str(path),
        str(beside),
        op_types_to_quantize=["MatMul", "Gemm"],
        weight_type=QuantType.QInt8,
        per_channel=True,
        extra_options={"DefaultTensorType": TensorProto.FLOAT},
    )
    whole, small = (judged(Exported(model, file), validation, data) for file in (path, beside))
    found = Quantized(whole, small, 1.0 - small / whole if whole else 0.0, path.stat().st_size, beside.stat().st_size)
    if not found.loss <= loss_max:
        beside.unlink()
        raise DataError(
            f"int8 loses {found.loss:.2%} of NDCG {whole:.4f}, more than {loss_max:.2%}", code="int8_loses_too_much"
        )
    beside.replace(into)
    return found
