"""The bundle that `rtp bench rank` serves: the graphs of a shipped bundle, item vectors for the benchmark's catalogue.

Invariant: layer sizes, columns, heads and the light model are those of the shipped bundle, byte for byte; only items
and their vectors are made here, from a seed. It does not know how the shard is loaded.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.cli.bench_traffic import Catalogue
from rtp_monolith.ranking import bundle, bundle_files
from rtp_monolith.ranking.bundle_files import Embedding, FileEntry, Manifest

NAME, VERSION = "bench", "1"
NOISE = 0.7
"""Of a vector's length, how much is the item's own; the rest it shares with its shelf."""
RANKED = 200
RUNS = 100
SURFACES = """
[surfaces.home]
diversity = 0.2
explore = { slot = 4 }
[surfaces.home.sources]
ann = { quota = 1000, weight = 0.8 }
session_knn = { quota = 200, weight = 1.0 }
covis = { quota = 200, weight = 0.6 }
same_category = { quota = 200, weight = 0.5 }
popular_context = { quota = 100, weight = 0.3 }
trending = { quota = 100, weight = 0.2 }
popular = { quota = 200, weight = 0.1 }
new = { quota = 50, weight = 0.05 }
catalogue = { quota = 200, weight = 0.01 }
"""
"""A home page of 1,000 recalled candidates with every stage in use."""


def newest(models: Path) -> Path | None:
    """The folder of the newest bundle there, whether or not it fits."""
    found = bundle_files.list_bundles(models) if models.is_dir() else []
    return models / found[-1][0] / found[-1][1] if found else None


def make(shipped: Path, models: Path, catalogue: Catalogue) -> None:
    """Writes `models/bench/1` for the catalogue's items. Raises BundleError when the shipped one is not whole."""
    manifest = bundle_files.read_manifest(shipped)
    files = bundle_files.read_files(shipped, manifest)
    scale = float(np.linalg.norm(bundle_files.read_array(files["items.npy"], "items.npy"), axis=1).mean())
    stored = io.BytesIO()
    np.save(stored, vectors_of(catalogue, manifest.embedding.dimension, scale))
    parts = (manifest.encoder, manifest.ranker, manifest.prerank, manifest.probe, manifest.content, manifest.fusion)
    kept = {part.file for part in parts if part is not None}
    files = {name: data for name, data in files.items() if name in kept}
    files["items.npy"] = stored.getvalue()
    files["items.txt"] = b"".join(msgspec.json.encode(catalogue.id(n)) + b"\n" for n in range(catalogue.count))
    embedding = hashlib.sha256(files["items.npy"] + files["items.txt"]).hexdigest()[:16]
    made = msgspec.structs.replace(
        manifest,
        name=NAME,
        version=VERSION,
        files={name: FileEntry(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()},
        embedding=Embedding(embedding, manifest.embedding.dimension, catalogue.count),
        index=None,
    )
    _write(models / NAME / VERSION, made, files)


def _write(folder: Path, manifest: Manifest, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / bundle_files.MANIFEST).write_bytes(msgspec.json.encode(manifest))


def vectors_of(catalogue: Catalogue, dimension: int, scale: float) -> NDArray[np.float32]:
    """float32 [items, dimension]: items of a shelf stand together; the mean length is `scale`."""
    rng = np.random.default_rng(0)
    shelves = rng.normal(size=(catalogue.shelves, dimension))
    own = rng.normal(size=(catalogue.count, dimension))
    shelf = np.arange(catalogue.count) % catalogue.shelves
    points = (np.sqrt(1 - NOISE**2) * shelves[shelf] + NOISE * own).astype(np.float32)
    return np.ascontiguousarray(points * np.float32(scale / np.sqrt(dimension)))


def graphs_ms(models: Path) -> dict[str, float]:
    """What the two graphs cost on this core with nothing around them: the median ms of a run at their largest."""
    found = bundle.load(models / NAME / VERSION)
    rows = np.zeros((RANKED, len(found.plan)), np.float32)
    sequence = np.zeros((found.encoder.length, found.encoder.dimension), np.float32)
    marks = found.encoder.no_marks(len(sequence))
    times: dict[str, list[float]] = {"ranker_ms": [], "encoder_ms": []}
    for _ in range(RUNS):
        began_s = perf_counter()
        found.ranker.score(rows)
        middle_s = perf_counter()
        found.encoder.encode(sequence, marks)
        times["ranker_ms"].append((middle_s - began_s) * 1000)
        times["encoder_ms"].append((perf_counter() - middle_s) * 1000)
    return {name: round(float(np.median(each)), 4) for name, each in times.items()}
