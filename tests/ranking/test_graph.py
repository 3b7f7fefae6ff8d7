from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from rtp_monolith.errors import BundleError
from rtp_monolith.ranking.graph import open_graph, weights_are_numbers
from tests.ranking.bundles import encoder_graph, ranker_graph

Shapes = dict[str, tuple[int | None, ...]]
WEIGHTS = {"a": (1.0, 2.0), "b": (3.0, 4.0)}
INPUTS, OUTPUTS = {"rows": (None, 2)}, {"probabilities": (None, 2)}


def model_with(*tensors: object) -> bytes:
    """A model that holds the tensors as initial values and, in a node's attribute, once more."""
    nodes = [helper.make_node("Constant", [], [f"c{n}"], value=tensor) for n, tensor in enumerate(tensors)]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("c0", TensorProto.FLOAT, None)])
    return bytes(helper.make_model(graph).SerializeToString())


def test_a_graph_of_the_names_and_sizes_wanted_opens() -> None:
    session = open_graph(ranker_graph(WEIGHTS, (0, 0)), "the ranker", INPUTS, OUTPUTS)
    made = session.run(["probabilities"], {"rows": np.array([[1, -1]], np.float32)})[0]
    assert made[0].tolist() == pytest.approx((1 / (1 + np.exp([2.0, 2.0]))).tolist())


@pytest.mark.parametrize(
    ("inputs", "outputs", "said"),
    [
        ({"rows": (None, 3)}, OUTPUTS, r"rows is \[None, 2\], not \[None, 3\]"),
        ({"rows": (None, 2, 2)}, OUTPUTS, "rows is"),
        ({"columns": (None, 2)}, OUTPUTS, r"has the inputs \['rows'\], not \['columns'\]"),
        (INPUTS, {"probabilities": (None, 3)}, "probabilities is"),
        (INPUTS, {"logits": (None, 2)}, "has the outputs"),
    ],
)
def test_any_other_is_refused(inputs: Shapes, outputs: Shapes, said: str) -> None:
    with pytest.raises(BundleError, match=said) as refused:
        open_graph(ranker_graph(WEIGHTS, (0, 0)), "the ranker", inputs, outputs)
    assert refused.value.code == "bundle_shape"


@pytest.mark.parametrize("data", [b"", b"no graph", ranker_graph(WEIGHTS, (0, 0))[:-40]])
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError) as refused:
        open_graph(data, "the ranker", INPUTS, OUTPUTS)
    assert refused.value.code == "bundle_format"


def test_a_weight_that_is_no_number_is_refused() -> None:
    with pytest.raises(BundleError) as refused:
        open_graph(ranker_graph(WEIGHTS, (0, float("nan"))), "the ranker", INPUTS, OUTPUTS)
    assert refused.value.code == "bundle_not_finite"


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(("number", "fine"), [(1.5, True), (-np.inf, True), (np.inf, False), (np.nan, False)])
def test_every_place_of_a_weight_is_looked_at(kind: type, number: float, fine: bool) -> None:
    array = np.array([1.0, number, 2.0], kind)
    assert weights_are_numbers(model_with(numpy_helper.from_array(array))) is fine


def test_weights_written_as_plain_numbers_are_looked_at() -> None:
    good = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, 2.0])
    bad = helper.make_tensor("w", TensorProto.FLOAT, [2], [1.0, float("nan")])
    assert weights_are_numbers(model_with(good))
    assert not weights_are_numbers(model_with(good, bad))
    assert not weights_are_numbers(model_with(helper.make_tensor("w", TensorProto.DOUBLE, [1], [float("nan")])))


def test_whole_numbers_are_no_floats() -> None:
    assert weights_are_numbers(model_with(numpy_helper.from_array(np.array([-1, 0x7FC00000], np.int32))))
    assert weights_are_numbers(encoder_graph())
