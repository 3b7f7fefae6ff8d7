"""Content model → ONNX, with the proof that both say the same.

The graph takes `tokens` int64 and `weights` float32 [items, longest] (`features/content.py`) and gives `vectors`
float32 [items, d]. It does not know what a bundle is.
"""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from rtp_monolith.errors import DataError
from rtp_monolith.features.content import Bags
from rtp_monolith.training.content import ContentModel, vectors_of
from rtp_monolith.training.export import TOLERANCE, session_options
from rtp_monolith.training.onnx_graph import Graph


def content_graph(model: ContentModel) -> bytes:
    """The model's file: equal models give equal bytes."""
    graph, weights = Graph(), {name: _array(value) for name, value in model.state_dict().items()}
    rows = graph.constant("table", weights["table"])
    last, middle = graph.constant("last", np.array([-1])), graph.constant("middle", np.array([1]))
    found = graph.add("Gather", [rows, "tokens"], "found")
    lined = graph.add("Unsqueeze", ["weights", middle], "lined")
    said = graph.add("Squeeze", [graph.add("MatMul", [lined, found], "summed"), middle], "said")
    wide = graph.add("MatMul", [said, graph.constant("wide", weights["wide.weight"].T)], "wide_product")
    wide = graph.add("Add", [wide, graph.constant("wide_bias", weights["wide.bias"])], "wide_sum")
    root = graph.constant("root", np.array(math.sqrt(0.5), np.float32))
    bent = graph.add("Erf", [graph.add("Mul", [wide, root], "scaled")], "erf")
    bent = graph.add("Add", [bent, graph.constant("one", np.array(1.0, np.float32))], "bent")
    half = graph.add("Mul", [wide, graph.constant("half", np.array(0.5, np.float32))], "halved")
    bent = graph.add("Mul", [half, bent], "gelu")
    back = graph.add("MatMul", [bent, graph.constant("back", weights["back.weight"].T)], "back_product")
    offset = graph.constant("offset", weights["offset"] + weights["back.bias"])
    whole = graph.add("Add", [said, graph.add("Add", [back, offset], "correction")], "whole")
    square = graph.add("ReduceSum", [graph.add("Mul", [whole, whole], "squares"), last], "square", keepdims=1)
    square = graph.add("Max", [square, graph.constant("least", np.array(1e-12, np.float32))], "square_above_zero")
    length = graph.add("Sqrt", [square], "length")
    bounds = [
        graph.constant(name, np.array(value, np.float32))
        for name, value in (("shortest", model.shortest), ("longest", model.longest))
    ]
    kept = graph.add("Clip", [length, *bounds], "kept")
    graph.add("Mul", [whole, graph.add("Div", [kept, length], "stretch")], "vectors")
    sizes = ["items", "longest"]
    return graph.serialized(
        "content",
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, sizes),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, sizes),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["items", int(model.offset.shape[0])])],
    )


def content_parity(graph: bytes, model: ContentModel, said: Bags) -> float:
    """The largest difference between ONNX Runtime and torch on these items. Raises DataError `parity`."""
    runtime = onnxruntime.InferenceSession(graph, session_options(), providers=["CPUExecutionProvider"])
    made = runtime.run(["vectors"], {"tokens": said.tokens, "weights": said.weights})[0]
    wanted = vectors_of(model, said)
    difference = float(np.abs(made - wanted).max(initial=0.0))
    if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max(initial=0.0))):
        raise DataError(f"the content graph differs from the model by {difference:.1e}", code="parity")
    return difference


def _array(value: torch.Tensor) -> NDArray[np.float32]:
    made: NDArray[np.float32] = value.detach().numpy()
    return made
