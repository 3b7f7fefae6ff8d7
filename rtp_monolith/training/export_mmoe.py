"""The ranker as an ONNX graph: raw feature rows in, calibrated probabilities out.

Written node by node instead of traced: the request's columns are read from the first row and go through the first
layer once a list, the shared bias of both being the C of a Gemm; the neutral position and a straight calibration are
folded into the last layer, a bent one is a small layer of its own. Invariant: for rows of one request the graph equals
`TrainedRanker.probabilities` to rounding. It does not know how the weights came about.
"""

from __future__ import annotations

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from rtp_monolith.training.calibration import Curve
from rtp_monolith.training.models.mmoe import GATE_LOGIT_MAX
from rtp_monolith.training.onnx_graph import Graph
from rtp_monolith.training.ranker import TrainedRanker

PARITY_MAX = 1e-5


def ranker_graph(trained: TrainedRanker) -> bytes:
    """The serialised graph: `rows` f32 [n, F] → `probabilities` f32 [n, heads]."""
    model = trained.model
    columns = model.columns
    weights = {name: value.detach().numpy().astype(np.float64) for name, value in model.state_dict().items()}
    f, e, heads = len(columns.names), model.settings.experts, model.heads
    request, plain = columns.request, columns.plain
    graph = Graph()
    own = _inputs(graph, weights, request, plain, f)
    # Standardising is affine and follows the clip, so it lives in the weights of the first layer.
    scale = 1.0 / weights["deviation"]
    for name, weight, bias in (("expert", "expert_in", "expert_in_bias"), ("gate", "gate", "gate_bias")):
        scaled = weights[weight] * scale[:, None]
        shift = graph.constant(f"{name}_bias", weights[bias] - weights["mean"] @ scaled)
        if request:
            kept = graph.constant(f"{name}_request", scaled[:request])
            shift = graph.add("Gemm", ["request", kept, shift], f"{name}_of_request")
        graph.add("Gemm", [own, graph.constant(f"{name}_own", scaled[request:]), shift], f"{name}_sum")
    _mix(graph, weights, e, heads)
    _heads(graph, weights, trained)
    ends = [
        helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", f]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", heads]),
    ]
    return graph.serialized("ranker", ends[:1], ends[1:])


def _inputs(graph: Graph, weights: dict[str, NDArray[np.float64]], request: int, plain: int, f: int) -> str:
    """Splits, logarithm and clip; `request` f32 [1, r] and what it returns, f32 [n, F - r]."""
    graph.constant("one", np.ones(1))
    groups = [
        (name, size) for name, size in (("head", request), ("plain", plain), ("tail", f - request - plain)) if size
    ]
    graph.constant("groups", np.array([size for _, size in groups]))
    graph.add("Split", ["rows", "groups"], *(name for name, _ in groups), axis=1)
    names = [name for name, _ in groups]
    if "head" in names:
        bounds = [graph.constant(name, np.array([at])) for name, at in (("from", 0), ("to", 1), ("axis", 0))]
        graph.add("Slice", ["head", *bounds], "first")
        _clip(graph, _logarithm(graph, "first"), weights, slice(0, request), "request")
    if "tail" in names:
        tail = _logarithm(graph, "tail")
        joined = graph.add("Concat", ["plain", tail], "joined", axis=1) if "plain" in names else tail
    else:
        joined = "plain"
    return _clip(graph, joined, weights, slice(request, f), "own")


def _logarithm(graph: Graph, name: str) -> str:
    graph.add("Relu", [name], f"{name}_positive")
    graph.add("Add", [f"{name}_positive", "one"], f"{name}_plus")
    return graph.add("Log", [f"{name}_plus"], f"{name}_log")


def _clip(graph: Graph, name: str, weights: dict[str, NDArray[np.float64]], where: slice, out: str) -> str:
    graph.add("Max", [name, graph.constant(f"{out}_low", weights["low"][where])], f"{out}_floored")
    return graph.add("Min", [f"{out}_floored", graph.constant(f"{out}_high", weights["high"][where])], out)


def _mix(graph: Graph, weights: dict[str, NDArray[np.float64]], e: int, heads: int) -> None:
    """Experts and gates: `expert_sum` f32 [n, e * hidden] and `gate_sum` f32 [n, heads * e] → `mixed` f32
    [n, heads * out]. The softmax is spelled out: with four entries a row, the operator costs more than its parts."""
    out = weights["expert_out"].shape[2]
    graph.add("Relu", ["expert_sum"], "hidden")
    graph.add(
        "Reshape", ["hidden", graph.constant("by_expert", np.array([-1, e, weights["expert_out"].shape[1]]))], "cut"
    )
    graph.add("Transpose", ["cut"], "turned", perm=[1, 0, 2])
    graph.add("MatMul", ["turned", graph.constant("expert_out", weights["expert_out"])], "second")
    graph.add("Relu", ["second"], "expert")
    graph.add("Transpose", ["expert"], "experts", perm=[1, 0, 2])
    low, high = (
        graph.constant(n, np.array(v)) for n, v in (("gate_low", -GATE_LOGIT_MAX), ("gate_high", GATE_LOGIT_MAX))
    )
    graph.add("Clip", ["gate_sum", low, high], "gate_bounded")
    graph.add("Exp", ["gate_bounded"], "gate_exp")
    total = np.kron(np.eye(heads), np.ones((e, e)))
    graph.add("MatMul", ["gate_exp", graph.constant("gate_ones", total)], "gate_total")
    graph.add("Div", ["gate_exp", "gate_total"], "gate_share")
    graph.add("Reshape", ["gate_share", graph.constant("by_head", np.array([-1, heads, e]))], "gates")
    graph.add("MatMul", ["gates", "experts"], "mixture")
    graph.add("Reshape", ["mixture", graph.constant("flat", np.array([-1, heads * out]))], "mixed")


def _heads(graph: Graph, weights: dict[str, NDArray[np.float64]], trained: TrainedRanker) -> None:
    """Towers of all heads as two Gemms with block-diagonal weights; calibration is in the second where it is a line."""
    towers = weights["tower_in"]
    heads, out, width = towers.shape
    curves = [each.curve for each in trained.calibration]
    straight = not any(curve.bends for curve in curves)
    first = np.zeros((heads * out, heads * width))
    last = np.zeros((heads * width, heads))
    shift = np.zeros(heads)
    for head, (curve, neutral) in enumerate(zip(curves, trained.neutral, strict=True)):
        slope, up = (curve.slope, curve.shift) if straight else (1.0, 0.0)
        first[head * out : (head + 1) * out, head * width : (head + 1) * width] = towers[head]
        last[head * width : (head + 1) * width, head] = slope * weights["tower_out"][head]
        shift[head] = slope * (weights["tower_out_bias"][head] + neutral) + up
    biases = graph.constant("tower_bias", weights["tower_in_bias"].reshape(-1))
    graph.add("Gemm", ["mixed", graph.constant("tower", first), biases], "tower_sum")
    graph.add("Relu", ["tower_sum"], "tower_out")
    graph.add("Gemm", ["tower_out", graph.constant("last", last), graph.constant("last_bias", shift)], "logits")
    graph.add("Sigmoid", ["logits" if straight else _bent(graph, curves)], "probabilities")


def _bent(graph: Graph, curves: list[Curve]) -> str:
    """Each head's `logits` through its curve: all bends of all heads are the hidden units of one small layer."""
    bends = [(head, at, more) for head, curve in enumerate(curves) for at, more in curve.bends]
    spread, folded = np.zeros((len(curves), len(bends))), np.zeros((len(bends), len(curves)))
    for unit, (head, _, more) in enumerate(bends):
        spread[head, unit], folded[unit, head] = 1.0, more
    from_ = graph.constant("bend_from", np.array([-at for _, at, _ in bends]))
    graph.add("Gemm", ["logits", graph.constant("bend_spread", spread), from_], "bend_sum")
    graph.add("Relu", ["bend_sum"], "bend")
    slope = graph.constant("curve_slope", np.diag([curve.slope for curve in curves]))
    shift = graph.constant("curve_shift", np.array([curve.shift for curve in curves]))
    graph.add("Gemm", ["logits", slope, shift], "curve_line")
    return graph.add("Gemm", ["bend", graph.constant("bend_more", folded), "curve_line"], "curve")


def run_ranker(graph: bytes, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities of one request's rows as ONNX Runtime computes them on one thread."""
    return _run(graph, {"rows": rows})


def run_encoder(
    graph: bytes, vectors: NDArray[np.float32], lengths: NDArray[np.int64], marks: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Session vectors [b, d] of the encoder's graph as ONNX Runtime computes them on one thread."""
    given: dict[str, NDArray[np.generic]] = {"vectors": vectors, "lengths": lengths}
    return _run(graph, given if marks is None else {**given, "marks": marks})


def _run(graph: bytes, inputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    made: NDArray[np.float32] = session.run(None, inputs)[0]
    return made


def parity(graph: bytes, trained: TrainedRanker, rows: NDArray[np.float32]) -> float:
    """Greatest difference from torch over one request's rows (columns in the graph's order)."""
    whole = np.zeros((len(rows), max(trained.used) + 1), np.float32)
    whole[:, trained.used] = rows
    return float(np.abs(run_ranker(graph, rows) - trained.probabilities(whole)).max(initial=0.0))
