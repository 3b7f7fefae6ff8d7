"""A model bundle: read from its folder, verified, ready to answer.

Invariant: a `Bundle` that exists fits this shard: every file is whole and is the one that was written, every feature
means what it meant in training, every number is finite, and the graphs give here what they gave there. Anything else
is refused with a code, and nothing was changed. It does not know which bundle is served.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith._native import Core, Plan
from rtp_monolith.errors import BundleError, RtpError
from rtp_monolith.features.cascade import CASCADE
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.compile import compile_plan
from rtp_monolith.features.content import fingerprint
from rtp_monolith.features.fusion import Fusion
from rtp_monolith.features.spec import Feature
from rtp_monolith.features.taste import space_of
from rtp_monolith.ranking import bundle_files
from rtp_monolith.ranking.bundle_files import Manifest, PrerankModel, refuse
from rtp_monolith.ranking.bundle_fusion import read_fusion
from rtp_monolith.ranking.content import ContentGraph, Maker
from rtp_monolith.ranking.encoder import Encoder
from rtp_monolith.ranking.ranker import Ranker

PROBE_TOLERANCE = 1e-4
WARM_RUNS = 5
WARM_ROWS = 200
_CASCADE = {feature.name: feature for feature in CASCADE}


class Bundle(msgspec.Struct, frozen=True):
    """A verified bundle. `vectors` is float32 [items, dimension], row i of item `items[i]`."""

    manifest: Manifest
    folder: Path
    items: list[str]
    vectors: NDArray[np.float32]
    encoder: Encoder
    ranker: Ranker
    plan: Plan
    """The ranker's columns, in its order."""
    prerank: bytes
    prerank_plan: Plan
    maker: Maker
    """Of vectors for items that are not among `items`."""
    fusion: Fusion | None = None
    """Puts the past of a user and the session together; None in a bundle that knows sessions alone."""

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def space(self) -> float:
        """Which item vectors these are, as it is published with the static vectors of users."""
        return space_of(self.manifest.embedding.version)

    def warm(self) -> None:
        """Runs both graphs at their largest, so that the first list does not pay for what is done once."""
        rows = np.zeros((WARM_ROWS, len(self.plan)), np.float32)
        sequence = np.zeros((self.encoder.length, self.encoder.dimension), np.float32)
        for _ in range(WARM_RUNS):
            self.ranker.score(rows)
            self.encoder.encode(sequence, self.encoder.no_marks(len(sequence)))


def load(folder: Path, features: Sequence[Feature] = FEATURES) -> Bundle:
    """Reads and verifies `folder` against the features of a shard. Raises BundleError; slow (files are hashed, graphs
    are run), so not for the loop."""
    known = {feature.name: feature for feature in features}
    manifest = bundle_files.read_manifest(folder)
    files = bundle_files.read_files(folder, manifest)
    prerank = files[manifest.prerank.file]
    light = [column.name for column in _prerank(prerank).columns]
    _check_features(manifest, light, known)
    items = _items(files["items.txt"], manifest)
    vectors = _vectors(files["items.npy"], manifest, len(items))
    embedding = hashlib.sha256(files["items.npy"] + files["items.txt"]).hexdigest()[:16]
    if embedding != manifest.embedding.version:
        raise refuse("bundle_checksum", f"embedding {embedding}, the manifest says {manifest.embedding.version}")
    prerank_plan = _plan(light, "the pre-ranker", known)
    try:
        Core().set_prerank(prerank, prerank_plan)
    except RtpError as error:
        raise refuse("bundle_format", f"the pre-ranker: {error.message}") from None
    plan = _plan(manifest.ranker.inputs, "the ranker", known)
    said = manifest.encoder
    encoder = Encoder(files[said.file], said.length, manifest.embedding.dimension, said.marks)
    _check_marks(encoder)
    ranker = Ranker(files[manifest.ranker.file], manifest.ranker.inputs, manifest.ranker.heads)
    _check_probe(files[manifest.probe.file], encoder, ranker)
    _check_sizes(encoder, ranker, len(plan))
    maker, fusion = Maker(_content(files, manifest), vectors), read_fusion(files, manifest)
    return Bundle(manifest, folder, items, vectors, encoder, ranker, plan, prerank, prerank_plan, maker, fusion)


def _content(files: dict[str, bytes], manifest: Manifest) -> ContentGraph | None:
    """The content model, which reads what the shard's items become and gives what it gave; None without one."""
    said = manifest.content
    if said is None:
        return None
    if said.tokens != fingerprint():
        text = f"the content model was trained on tokens {said.tokens}, the shard makes {fingerprint()}"
        raise refuse("bundle_feature_differs", text, "content")
    graph = ContentGraph(files[said.file], said.rows, manifest.embedding.dimension)
    names = ("content_tokens", "content_weights", "content_vectors")
    tokens, weights, expected = bundle_files.read_arrays(files[manifest.probe.file], names).values()
    try:
        given = graph.run(tokens, weights)
        for n in (1, 2, 64):
            # The last row of the table is there, and a bag may have any length.
            graph.run(np.full((n, n), said.rows - 1, np.int64), np.ones((n, n), np.float32))
    except Exception as error:  # onnxruntime's refusals have no common class
        raise refuse("bundle_shape", f"the content model does not take every size: {str(error)[:300]}") from None
    _compare("the content model", expected, given)
    return graph


def _check_features(manifest: Manifest, light: Sequence[str], known: dict[str, Feature]) -> None:
    """The shard has every feature of the bundle, and each means what it did."""
    for name, trained in manifest.features.items():
        feature = known.get(name)
        if feature is None:
            raise refuse("bundle_feature_missing", f"the shard has no feature {name!r}", "features")
        if feature.fingerprint() != trained:
            text = f"{name}: trained as {trained}, the shard has {feature.fingerprint()}"
            raise refuse("bundle_feature_differs", text, "features")
    for name in (*manifest.ranker.inputs, *light):
        if name in known and name not in manifest.features:
            raise refuse("bundle_format", f"a model reads {name!r}, features says nothing of it", "features")


def _plan(names: list[str], whose: str, known: dict[str, Feature]) -> Plan:
    columns = known | _CASCADE
    unknown = [name for name in names if name not in columns]
    if unknown:
        raise refuse("bundle_feature_missing", f"{whose} reads {unknown[0]!r}, which no plan computes", "features")
    return compile_plan([columns[name] for name in names])


def _items(text: bytes, manifest: Manifest) -> list[str]:
    try:
        items = [msgspec.json.decode(line, type=str) for line in text.splitlines()]
    except msgspec.DecodeError as error:
        raise refuse("bundle_format", f"items.txt: {error}") from None
    if len(items) != manifest.embedding.items or len(set(items)) != len(items):
        said = f"{len(set(items))} different of {len(items)} ids, the manifest says {manifest.embedding.items}"
        raise refuse("bundle_shape", f"items.txt: {said}")
    return items


def _vectors(data: bytes, manifest: Manifest, items: int) -> NDArray[np.float32]:
    vectors = bundle_files.read_array(data, "items.npy")
    expected = (items, manifest.embedding.dimension)
    if vectors.shape != expected or vectors.dtype != np.float32:
        raise refuse("bundle_shape", f"items.npy is {vectors.dtype}{list(vectors.shape)}, not float32{list(expected)}")
    if not np.isfinite(vectors).all():
        raise refuse("bundle_not_finite", "items.npy holds numbers that are not finite")
    return np.ascontiguousarray(vectors)


def _prerank(data: bytes) -> PrerankModel:
    try:
        model = msgspec.json.decode(data, type=PrerankModel)
    except msgspec.DecodeError as error:
        raise refuse("bundle_format", f"the pre-ranker: {error}") from None
    if not all(np.isfinite(number) for number in model.numbers()):
        raise refuse("bundle_not_finite", "the pre-ranker holds numbers that are not finite")
    if any(column.deviation <= 0 for column in model.columns):
        raise refuse("bundle_format", "the pre-ranker has a column whose deviation is not above 0")
    return model


def _check_marks(encoder: Encoder) -> None:
    """The actions are event types, and the graph has a place for every number of a gap and an action, and no more."""
    if encoder.marking is None:
        return
    marks = encoder.marking.marks
    unknown = set(marks.actions) - set(Core.event_types())
    if unknown:
        raise refuse("bundle_format", f"the encoder reads {sorted(unknown)[0]!r}, which is no event type", "encoder")
    gap, action = marks.gaps - 1, len(marks.actions)
    if not encoder.takes(gap, action):
        raise refuse("bundle_shape", "the encoder does not take all the marks that the manifest says", "encoder")
    if (marks.gap_edges_s and encoder.takes(gap + 1, action)) or (action and encoder.takes(gap, action + 1)):
        raise refuse("bundle_shape", "the encoder takes more marks than the manifest says", "encoder")


def _check_sizes(encoder: Encoder, ranker: Ranker, columns: int) -> None:
    """The graphs take every size that a list may have: an export can freeze one without saying so."""
    try:
        for n in (1, 2, encoder.length):
            made = encoder.encode(np.ones((n, encoder.dimension), np.float32), encoder.no_marks(n))
            if not np.isfinite(made).all():
                raise refuse("bundle_not_finite", f"the encoder gives no numbers for a session of {n} items")
        for n in (1, WARM_ROWS):
            if len(ranker.score(np.zeros((n, columns), np.float32))) != n:
                raise refuse("bundle_shape", f"the ranker does not answer {n} rows with {n}")
    except BundleError:
        raise
    except ArithmeticError as error:
        raise refuse("bundle_not_finite", str(error)) from None
    except Exception as error:  # as above
        raise refuse("bundle_shape", f"the graphs do not take every size: {str(error)[:300]}") from None


def _check_probe(data: bytes, encoder: Encoder, ranker: Ranker) -> None:
    """The graphs give here what they gave where the bundle was made."""
    beside = () if encoder.marking is None else ("marks",)
    arrays = bundle_files.read_arrays(data, ("vectors", "lengths", *beside, "session", "rows", "probabilities"))
    try:
        session = encoder.run(arrays["vectors"], arrays["lengths"], arrays.get("marks"))
        probabilities = ranker.score(arrays["rows"])
    except Exception as error:  # onnxruntime's refusals have no common class
        raise refuse("bundle_shape", f"the graphs do not take the probe: {str(error)[:300]}") from None
    _compare("the encoder", arrays["session"], session)
    _compare("the ranker", arrays["probabilities"], probabilities)


def _compare(graph: str, expected: NDArray[np.generic], given: NDArray[np.float32]) -> None:
    if given.shape != expected.shape:
        raise refuse("bundle_shape", f"{graph} gives {list(given.shape)}, the probe has {list(expected.shape)}")
    if not np.isfinite(given).all():
        raise refuse("bundle_not_finite", f"{graph} gives numbers that are not finite")
    off = float(np.abs(given - expected.astype(np.float32)).max(initial=0.0))
    if not off <= PROBE_TOLERANCE:
        raise refuse("bundle_probe", f"{graph} is off by {off:.2g}, at most {PROBE_TOLERANCE:g} is allowed")
