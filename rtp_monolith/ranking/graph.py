"""An ONNX graph as a function: opened for one thread, checked for its names, its weights looked through.

Invariant: a graph that opened has exactly the inputs and outputs it was asked for, and no weight of it is a NaN. It
does not know what it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from rtp_monolith.errors import BundleError

Shape = tuple[int | None, ...]
"""None is a size that may vary."""

# Field numbers of onnx.proto3: ModelProto.graph, GraphProto.node and .initializer, NodeProto.attribute,
# AttributeProto.t, .g, .tensors and .graphs, and of a TensorProto the data and its type.
_INSIDE: dict[str, dict[int, str]] = {
    "model": {7: "graph"},
    "graph": {1: "node", 5: "tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
_DATA_TYPE, _FLOAT_DATA, _RAW_DATA, _DOUBLE_DATA = 2, 4, 9, 10
_FLOATS: dict[int, type[np.floating[Any]]] = {1: np.float32, 10: np.float16, 11: np.float64}


def open_graph(
    data: bytes, what: str, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]
) -> ort.InferenceSession:
    """The graph, for one thread. Raises BundleError `bundle_format`, `bundle_shape` or `bundle_not_finite`."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each way in which a file can be bad
        raise BundleError("bundle_format", f"{what}: {str(error)[:300]}") from None
    _check(what, "inputs", session.get_inputs(), inputs)
    _check(what, "outputs", session.get_outputs(), outputs)
    if not weights_are_numbers(data):
        raise BundleError("bundle_not_finite", f"{what} has a weight that is no number")
    return session


def _check(what: str, side: str, found: Sequence[Any], wanted: Mapping[str, Shape]) -> None:
    if {each.name for each in found} != set(wanted):
        names = sorted(each.name for each in found)
        raise BundleError("bundle_shape", f"{what} has the {side} {names}, not {sorted(wanted)}")
    for each in found:
        shape = wanted[each.name]
        given = [size if isinstance(size, int) else None for size in each.shape]
        fits = len(given) == len(shape) and all(
            a is None or b is None or a == b for a, b in zip(given, shape, strict=True)
        )
        if not fits:
            raise BundleError("bundle_shape", f"{what}: {each.name} is {given}, not {list(shape)}")


def weights_are_numbers(data: bytes) -> bool:
    """False when a floating-point tensor of the file holds NaN or +inf; -inf is how masks are written."""
    return all(not (np.isnan(tensor) | np.isposinf(tensor)).any() for tensor in _tensors(memoryview(data), "model"))


def _tensors(message: memoryview, kind: str) -> Iterator[NDArray[Any]]:
    if kind == "tensor":
        yield from _numbers_of(message)
        return
    inside = _INSIDE[kind]
    for number, value in _fields(message):
        if number in inside and isinstance(value, memoryview):
            yield from _tensors(value, inside[number])


def _numbers_of(tensor: memoryview) -> Iterator[NDArray[Any]]:
    parts = list(_fields(tensor))
    data_type = next((value for number, value in parts if number == _DATA_TYPE), 0)
    for number, value in parts:
        if not isinstance(value, memoryview):
            continue
        if number == _RAW_DATA and data_type in _FLOATS:
            yield np.frombuffer(value, _FLOATS[data_type])
        elif number == _FLOAT_DATA and data_type == 1:
            yield np.frombuffer(value, np.float32)
        elif number == _DOUBLE_DATA and data_type == 11:
            yield np.frombuffer(value, np.float64)


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a protobuf message: integers, or bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield tag >> 3, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        else:
            size = 8 if wire == 1 else 4
        yield tag >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
