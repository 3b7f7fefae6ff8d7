"""Small valid bundles, and ways to spoil them: graphs of a few numbers, items in clusters by category.

The encoder is the mean of the session's vectors; the ranker a logistic regression whose weights a test can read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.content import Described, bags, fingerprint
from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import Fusion
from rtp_monolith.features.marks import Marks

FINGERPRINTS = {feature.name: feature.fingerprint() for feature in FEATURES}
DIMENSION = 8
LENGTH = 20
HEADS = ("click", "cart", "purchase")
WEIGHTS: dict[str, tuple[float, float, float]] = {
    "cascade_affinity": (4.0, 2.0, 1.0),
    "cross_session_category_share": (0.5, 0.2, 0.1),
    "item_ctr_1d": (2.0, 1.0, 0.5),
    "session_clicks": (0.0, 0.0, 0.0),
}
BIAS = (-2.0, -3.0, -4.0)


def item_ids(count: int = 60) -> list[str]:
    return [f"i{n}" for n in range(count)]


def clustered(count: int = 60, clusters: int = 6, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors; item n stands near the centre of cluster n mod `clusters`."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(clusters, DIMENSION))
    points = centres[np.arange(count) % clusters] + 0.2 * rng.normal(size=(count, DIMENSION))
    return (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)


def encoder_graph(dimension: int = DIMENSION, *, frozen: bool = False, marks: tuple[int, int] | None = None) -> bytes:
    """`session` = the mean of the first `lengths` vectors; padding is 0 and does not count.

    A frozen one says that it takes any length and takes only `LENGTH`, as exports by tracing do. With `marks`, so many
    gaps and actions, a hundredth of each click's two numbers is added to its vector.
    """
    read = "vectors"
    nodes, tables = [], {}
    for place, size in enumerate(marks or ()):
        kind = ("gap", "action")[place]
        steps = np.arange(size, dtype=np.float32)[:, None] / 100
        tables |= {f"{kind}_place": np.array(place, np.int64), f"{kind}s": np.repeat(steps, dimension, axis=1)}
        nodes += [
            helper.make_node("Gather", ["marks", f"{kind}_place"], [f"{kind}_number"], axis=2),
            helper.make_node("Gather", [f"{kind}s", f"{kind}_number"], [f"{kind}_said"]),
            helper.make_node("Add", [read, f"{kind}_said"], [f"{kind}_read"]),
        ]
        read = f"{kind}_read"
    nodes += [
        *([helper.make_node("Add", ["vectors", "zeros"], ["added"])] if frozen else []),
        helper.make_node("ReduceSum", ["added" if frozen else read, "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["lengths"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["count", "axis"], ["column"]),
        helper.make_node("Div", ["sum", "column"], ["session"]),
    ]
    return _model(
        nodes,
        [
            helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["b", "l", dimension]),
            helper.make_tensor_value_info("lengths", TensorProto.INT64, ["b"]),
            *([helper.make_tensor_value_info("marks", TensorProto.INT64, ["b", "l", 2])] if marks else []),
        ],
        [helper.make_tensor_value_info("session", TensorProto.FLOAT, ["b", dimension])],
        {"axis": np.array([1], np.int64), **tables} | ({"zeros": np.zeros((LENGTH, 1), np.float32)} if frozen else {}),
    )


def halves(d: int = DIMENSION, scale: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """A gated fusion that is half past and half session."""
    zeros = {"gate": np.zeros((d, 2 * d + 1)), "bias": np.zeros(d)}
    made = {"project": np.eye(d), "scale": np.array([scale]), **zeros}
    return {name: value.astype(np.float32) for name, value in made.items()}


def placed(rows: NDArray[np.floating], d: int = DIMENSION) -> dict[str, NDArray[np.float32]]:
    """`halves` to which a context adds the sum of its values' rows."""
    more = {"context": rows, "context_gate": np.zeros((d, 2 * d + 1)), "context_bias": np.full(d, 30.0)}
    more["context_scale"] = np.ones(1)
    return halves(d) | {name: value.astype(np.float32) for name, value in more.items()}


def ranker_graph(weights: Mapping[str, Sequence[float]], bias: Sequence[float]) -> bytes:
    """`probabilities` = sigmoid(rows · weights + bias)."""
    matrix = np.array(list(weights.values()), np.float32)
    nodes = [
        helper.make_node("Gemm", ["rows", "weights", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
    ]
    return _model(
        nodes,
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", matrix.shape[0]])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", matrix.shape[1]])],
        {"weights": matrix, "bias": np.array(bias, np.float32)},
    )


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, NDArray[Any]]) -> bytes:
    initial = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initial)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def content_graph(table: NDArray[np.float32]) -> bytes:
    """`vectors` = the weighted sum of the table's rows."""
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["found"]),
        helper.make_node("Unsqueeze", ["weights", "middle"], ["lined"]),
        helper.make_node("MatMul", ["lined", "found"], ["summed"]),
        helper.make_node("Squeeze", ["summed", "middle"], ["vectors"]),
    ]
    return _model(
        nodes,
        [
            helper.make_tensor_value_info("tokens", TensorProto.INT64, ["n", "l"]),
            helper.make_tensor_value_info("weights", TensorProto.FLOAT, ["n", "l"]),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", table.shape[1]])],
        {"table": table, "middle": np.array([1], np.int64)},
    )


def prerank_json(weights: Mapping[str, float] | None = None) -> bytes:
    columns = [
        {"name": name, "mean": 0.0, "deviation": 1.0, "weight": weight}
        for name, weight in (weights or {"item_ctr_1d": 1.0, "cross_session_category_share": 1.0}).items()
    ]
    return json.dumps(
        {"bias": 0.0, "columns": columns, "affinity": 2.0, "recall": 1.0, "sources": {"covis": 0.1}}
    ).encode()


class Recipe:
    """The files of a bundle before they are sealed; a test changes what it likes and writes."""

    def __init__(
        self,
        *,
        items: Sequence[str] | None = None,
        vectors: NDArray[np.float32] | None = None,
        weights: Mapping[str, Sequence[float]] = WEIGHTS,
        bias: Sequence[float] = BIAS,
        heads: Sequence[str] = HEADS,
        marks: Marks | None = None,
        content: NDArray[np.float32] | None = None,
        fusion: Mapping[str, NDArray[np.float32]] | None = None,
        words: ContextWords | None = None,
        alone: bool = True,
    ) -> None:
        """`content` is the table of a content model."""
        sizes = None if marks is None else (marks.gaps, len(marks.actions) + 1)
        self.items = list(items or item_ids())
        self.vectors = clustered(len(self.items)) if vectors is None else vectors
        self.heads = list(heads)
        self.inputs = list(weights)
        read = [*weights, "item_ctr_1d", "cross_session_category_share"]
        self.features = {name: FINGERPRINTS[name] for name in read if name in FINGERPRINTS}
        self.files: dict[str, bytes] = {
            "items.txt": b"".join(json.dumps(each).encode() + b"\n" for each in self.items),
            "items.npy": npy(self.vectors),
            "encoder.onnx": encoder_graph(self.vectors.shape[1], marks=sizes),
            "ranker.onnx": ranker_graph(weights, bias),
            "prerank.json": prerank_json(),
        }
        rng = np.random.default_rng(1)
        self.probe = {
            "vectors": rng.normal(size=(3, LENGTH, self.vectors.shape[1])).astype(np.float32),
            "lengths": np.array([1, 4, LENGTH], np.int64),
            "rows": rng.normal(size=(5, len(weights))).astype(np.float32),
        }
        for n, length in enumerate(self.probe["lengths"]):
            self.probe["vectors"][n, length:] = 0.0
        lengths = self.probe["lengths"][:, None].astype(np.float32)
        self.probe["session"] = self.probe["vectors"].sum(1) / lengths
        self.encoder: dict[str, Any] = {"file": "encoder.onnx", "length": LENGTH}
        if marks is not None and sizes is not None:
            self.encoder["marks"] = {"gap_edges_s": list(marks.gap_edges_s), "actions": list(marks.actions)}
            self.probe["marks"] = rng.integers(sizes, size=(3, LENGTH, 2))
            self.probe["session"] += (self.probe["marks"].sum((1, 2))[:, None] / 100 / lengths).astype(np.float32)
        logits = self.probe["rows"] @ np.array(list(weights.values()), np.float32) + np.array(bias, np.float32)
        self.probe["probabilities"] = (1 / (1 + np.exp(-logits))).astype(np.float32)
        self.manifest: dict[str, Any] = {}
        if content is not None:
            self.files["content.onnx"] = content_graph(content)
            said = bags([Described(title="a b", categories=["hats"]), Described()], len(content))
            self.probe |= {"content_tokens": said.tokens, "content_weights": said.weights}
            self.probe["content_vectors"] = (content[said.tokens] * said.weights[:, :, None]).sum(1)
            self.manifest["content"] = {"file": "content.onnx", "rows": len(content), "tokens": fingerprint()}
        if fusion is not None:
            self.fuse(fusion, words, alone)

    def fuse(self, weights: Mapping[str, NDArray[np.float32]], words: ContextWords | None, alone: bool) -> None:
        """A gated fusion, with the probe of one case of each kind."""
        d, rng = self.vectors.shape[1], np.random.default_rng(2)
        numbers = np.full((4, 4), -1, np.int64)
        if words is not None:
            numbers[1:, 1] = 0
        statics, sessions = rng.normal(size=(2, 4, d)).astype(np.float32)
        statics[2:], sessions[1], sessions[3] = 0, 0, 0
        clicks, own = np.array([3, 0, 2, 0]), Fusion("gated", weights, words, alone=alone)
        made = [
            own.fuse(s if s.any() else None, v if v.any() else None, int(n), own.summed(said.tolist()))
            for s, v, n, said in zip(statics, sessions, clicks, numbers, strict=True)
        ]
        fused = np.array([np.zeros(d) if each is None else each for each in made], np.float32)
        probe = {"static": statics, "session": sessions, "clicks": clicks, "fused": fused, "context": numbers}
        stored = io.BytesIO()
        np.savez(stored, **weights, **{f"probe_{name}": value for name, value in probe.items()})
        self.files["fusion.npz"] = stored.getvalue()
        self.manifest["fusion"] = {
            "file": "fusion.npz",
            "form": "gated",
            "taste": {"half_life_days": 30.0, "weights": {}},
        }
        if words is not None:
            self.manifest["fusion"]["context"] = {"values": msgspec.to_builtins(words), "alone": alone}

    def write(self, models: Path, name: str = "tiny", version: str = "1") -> Path:
        """Seals the files with their checksums; returns the bundle's folder."""
        stored = io.BytesIO()
        np.savez(stored, **self.probe)
        self.files.setdefault("probe.npz", stored.getvalue())
        embedding = hashlib.sha256(self.files["items.npy"] + self.files["items.txt"]).hexdigest()[:16]
        manifest = {
            "format": 1,
            "name": name,
            "version": version,
            "seed": 0,
            "files": {
                each: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
                for each, data in self.files.items()
            },
            "metrics": {"ndcg": 0.5},
            "features": self.features,
            "embedding": {"version": embedding, "dimension": int(self.vectors.shape[1]), "items": len(self.items)},
            "encoder": self.encoder,
            "ranker": {"file": "ranker.onnx", "inputs": self.inputs, "heads": self.heads},
            "prerank": {"file": "prerank.json"},
            "index": None,
            "probe": {"file": "probe.npz"},
        }
        folder = models / name / version
        folder.mkdir(parents=True)
        for each, data in self.files.items():
            (folder / each).write_bytes(data)
        (folder / "manifest.json").write_text(json.dumps(manifest | self.manifest))
        return folder


def npy(array: NDArray[Any]) -> bytes:
    stored = io.BytesIO()
    np.save(stored, array)
    return stored.getvalue()


def make_bundle(models: Path, name: str = "tiny", version: str = "1", **recipe: Any) -> Path:
    """A valid bundle in `models/name/version`."""
    return Recipe(**recipe).write(models, name, version)


def flipped(path: Path) -> None:
    """One bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def shortened(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def edited(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """The manifest after `change`."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
