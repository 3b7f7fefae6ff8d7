"""SASRec as an ONNX graph: item vectors of sessions in, session vectors out.

Scale and biases live in the weights: states are kept in units of the item vectors, the pooling's two projections are
one matrix (what is the same for all positions falls out of a softmax), and what depends on a length alone is a row of a
table. Invariant: equals `SasRec.forward` to rounding for every batch and every length up to the model's. It does not
know how the weights came about.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from rtp_monolith.training.models.encoder import FAR
from rtp_monolith.training.models.sasrec import SasRec
from rtp_monolith.training.onnx_graph import Graph

Weights = dict[str, NDArray[np.float64]]
LN_EPS = 1e-5
"""What `torch.nn.LayerNorm` adds to a variance."""


def sasrec_graph(body: SasRec) -> bytes:
    """The serialised graph: `vectors` f32 [b, l, d], `lengths` i64 [b] and, if the model reads them, `marks` i64
    [b, l, 2] → `session` f32 [b, d]."""
    return _Writer(body).written()


class _Writer:
    def __init__(self, body: SasRec) -> None:
        self.weights: Weights = {n: v.detach().numpy().astype(np.float64) for n, v in body.state_dict().items()}
        self.settings = body.settings
        self.scale = float(body.input_scale)
        self.pooled = body.pooling is not None
        self.graph = Graph()

    def written(self) -> bytes:
        graph, settings, layers = self.graph, self.settings, self.settings.layers
        self._tables(settings.length_max)
        state, normed = self._inputs()
        for layer in range(layers):
            final = layer == layers - 1
            if final and not self.pooled:
                # Nobody asks the last layer for the states before the last one.
                state, normed = self._block(layer, state, normed, "norm", last_only=True)
            else:
                following = "norm" if final else f"blocks.{layer + 1}.before_attention"
                state, normed = self._block(layer, state, normed, following)
        ended = self._pool(normed) if self.pooled else graph.add("Squeeze", [normed, "axis_1"], "ended")
        graph.add("Mul", [ended, graph.add("Gather", ["told", "lengths"], "has_items")], "session")
        d = settings.width
        ends = [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["b", "l", d]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"]),
            *([helper.make_tensor_value_info("marks", TensorProto.INT64, ["b", "l", 2])] if settings.marked else []),
            helper.make_tensor_value_info("session", TensorProto.FLOAT, ["b", d]),
        ]
        return graph.serialized("encoder", ends[:-1], ends[-1:])

    def _tables(self, longest: int) -> None:
        """By length: where the last item stands, and 1 where there is one. And the constants of slices."""
        counts = np.arange(longest + 1)
        self.graph.constant("last_of", np.maximum(counts - 1, 0)[:, None])
        self.graph.constant("told", np.minimum(counts, 1)[:, None].astype(np.float64))
        for name, value in (("nil", [0]), ("nils", [0, 0]), ("axis_0", [0]), ("axis_1", [1]), ("axis_2", [2])):
            self.graph.constant(name, np.array(value))
        self.graph.constant("axes_2_3", np.array([2, 3]))

    def _inputs(self) -> tuple[str, str]:
        """Items with their positions, and those normalised for the first block."""
        graph = self.graph
        graph.add("Shape", ["vectors"], "longest", start=1, end=2)
        graph.add("Concat", ["longest", "longest"], "square", axis=0)
        positions = graph.constant("position", self.weights["position"] / self.scale)
        graph.add("Slice", [positions, "nil", "longest", "axis_0"], "positions")
        graph.add("Add", [self._marked(), "positions"], "placed")
        gain, shift = self._norm("blocks.0.before_attention")
        graph.add("LayerNormalization", ["placed", gain, shift], "placed_normed", epsilon=self._eps, axis=-1)
        return "placed", "placed_normed"

    def _marked(self) -> str:
        """Items with what their marks add: one row of a table for each pair of a gap and an action."""
        graph, weights = self.graph, self.weights
        if not self.settings.marked:
            return "vectors"
        gaps, actions = (weights.get(name, np.zeros((1, self.settings.width))) for name in ("gap", "action"))
        table = (gaps[:, None] + actions[None, :]).reshape(-1, self.settings.width) / self.scale
        # What the model does not read counts for nothing in the number of the row.
        counts = np.array([len(actions) if self.settings.gaps else 0, 1 if self.settings.actions else 0])
        graph.add("MatMul", ["marks", graph.constant("mark_counts", counts)], "mark_rows")
        graph.add("Gather", [graph.constant("mark_table", table), "mark_rows"], "said")
        return graph.add("Add", ["vectors", "said"], "told_items")

    @property
    def _eps(self) -> float:
        return LN_EPS / self.scale**2

    def _norm(self, name: str) -> tuple[str, str]:
        return (
            self.graph.constant(f"{name}.gain", self.weights[f"{name}.weight"]),
            self.graph.constant(f"{name}.shift", self.weights[f"{name}.bias"]),
        )

    def _block(
        self, layer: int, state: str, normed: str, following: str, *, last_only: bool = False
    ) -> tuple[str, str]:
        """State after the block and the same normalised for what follows; `last_only`: [b, 1, d] of the last item."""
        graph, name = self.graph, f"blocks.{layer}"
        attended = self._attend(name, normed)
        if last_only:
            graph.add("Gather", ["last_of", "lengths"], "ends_at")
            attended, state = (
                graph.add("Unsqueeze", [self._last(each), "axis_1"], f"{each}_end") for each in (attended, state)
            )
        projected = self._project(attended, f"{name}.out")
        state, normed = self._join(projected, state, f"{name}.out", f"{name}.before_mixing")
        wide = graph.add("MatMul", [normed, self._matrix(f"{name}.mixing.0")], f"{name}.wide")
        bias = graph.constant(f"{name}.wide_bias", self.weights[f"{name}.mixing.0.bias"])
        mixed = graph.fused("BiasGelu", [wide, bias], f"{name}.mixed")
        return self._join(self._project(mixed, f"{name}.mixing.2"), state, f"{name}.mixing.2", following)

    def _attend(self, name: str, normed: str) -> str:
        graph, weights = self.graph, self.weights
        joined = np.concatenate([weights[f"{name}.query.weight"], weights[f"{name}.key_value.weight"]]).T
        matrix = graph.constant(f"{name}.qkv", joined)
        shifts = np.concatenate([weights[f"{name}.query.bias"], weights[f"{name}.key_value.bias"]])
        shift = graph.constant(f"{name}.qkv_bias", shifts)
        by_distance = weights[f"{name}.by_distance"]
        place = np.arange(by_distance.shape[1])
        distance = place[:, None] - place[None, :]
        causal = np.where(distance < 0, FAR, by_distance[:, np.maximum(distance, 0)])
        whole = graph.constant(f"{name}.bias", causal[None])
        bias = graph.add("Slice", [whole, "nils", "square", "axes_2_3"], f"{name}.bias_here")
        inputs = [normed, matrix, shift, "", "", bias]
        return graph.fused("Attention", inputs, f"{name}.attended", num_heads=self.settings.heads)

    def _matrix(self, name: str, scale: float = 1.0) -> str:
        return self.graph.constant(f"{name}.matrix", self.weights[f"{name}.weight"].T / scale)

    def _project(self, x: str, name: str) -> str:
        return self.graph.add("MatMul", [x, self._matrix(name, self.scale)], f"{name}.projected")

    def _join(self, projected: str, state: str, name: str, norm: str) -> tuple[str, str]:
        """The residual with the bias of the projection, and the sum normalised."""
        bias = self.graph.constant(f"{name}.bias", self.weights[f"{name}.bias"] / self.scale)
        gain, shift = self._norm(norm)
        normed, summed = f"{norm}.normed", f"{name}.summed"
        self.graph.fused(
            "SkipLayerNormalization", [projected, state, gain, shift, bias], normed, "", "", summed, epsilon=self._eps
        )
        return summed, normed

    def _last(self, states: str) -> str:
        """[b, l, d] → [b, d] of the last item."""
        return self.graph.add("GatherND", [states, "ends_at"], f"{states}_last", batch_dims=1)

    def _pool(self, states: str) -> str:
        """The items' weighted mean joined by the state of the last, as a unit vector [b, d]."""
        graph, weights = self.graph, self.weights
        d = self.settings.width
        graph.add("Gather", ["last_of", "lengths"], "ends_at")
        end = self._last(states)
        asked = weights["pooling.asked.weight"] * d**-0.5
        matrix = graph.constant("asking", weights["pooling.asking.weight"].T @ asked)
        shift = graph.constant("asking_bias", weights["pooling.asking.bias"] @ asked + weights["pooling.own.weight"][0])
        query = graph.add("Unsqueeze", [graph.add("Gemm", [end, matrix, shift], "asks"), "axis_1"], "query")
        logits = graph.fused("FusedMatMul", [query, states], "logits", transB=1)
        rows = graph.constant("by_length", self._by_length()[:, None])
        bias = graph.add("Slice", [graph.add("Gather", [rows, "lengths"], "row"), "nil", "longest", "axis_2"], "bias")
        share = graph.add("Softmax", [graph.add("Add", [logits, bias], "biased")], "share", axis=-1)
        mean = graph.add("Squeeze", [graph.add("MatMul", [share, "vectors"], "means"), "axis_1"], "mean")
        joins = graph.constant("joins", weights["share"] / self.scale)
        joined = graph.add("Add", [graph.add("Mul", [end, joins], "joining"), mean], "joined")
        return graph.add("LpNormalization", [joined], "unit", axis=-1, p=2)

    def _by_length(self) -> NDArray[np.float64]:
        """[L + 1, L]: the pooling's bias at each position of a session of a length; what is not there has none."""
        by_distance = self.weights["pooling.by_distance"]
        place = np.arange(len(by_distance))
        distance = np.arange(len(by_distance) + 1)[:, None] - 1 - place[None, :]
        return np.where(distance < 0, FAR, by_distance[np.maximum(distance, 0)])
