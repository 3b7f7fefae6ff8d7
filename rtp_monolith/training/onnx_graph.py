"""An ONNX graph written node by node, for what a tracer would write with four times the nodes: on one thread a small
model costs what its nodes cost to start.

Invariant: the same calls give the same bytes. It does not know models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 18
IR_VERSION = 9
FUSED = "com.microsoft"
"""ONNX Runtime's own operators."""


class Graph:
    """Nodes and constants in the making; constants are float32 or int64."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        kept = value.astype(np.int64 if value.dtype.kind == "i" else np.float32)
        self._constants.append(numpy_helper.from_array(kept, name))
        return name

    def add(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        """The name of the first output; an output that is not wanted is called ''."""
        self._nodes.append(helper.make_node(kind, list(inputs), list(outputs), **attributes))
        return outputs[0]

    def fused(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        """`add` for an operator of `FUSED`."""
        return self.add(kind, inputs, *outputs, domain=FUSED, **attributes)

    def serialized(
        self, name: str, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[onnx.ValueInfoProto]
    ) -> bytes:
        made = helper.make_graph(self._nodes, name, list(inputs), list(outputs), self._constants)
        domains = [helper.make_opsetid("", OPSET)]
        if any(node.domain == FUSED for node in self._nodes):
            domains.append(helper.make_opsetid(FUSED, 1))
        model = helper.make_model(made, opset_imports=domains, ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content
