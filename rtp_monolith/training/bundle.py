"""A bundle's folder: written whole beside its place and moved there in one step.

Invariant: a folder under its final name holds every file that its manifest lists, with their sizes and sha256, and
nothing of a bundle ever changes. It does not know what the files mean to a shard: the reader has its own checks.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import zipfile
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.errors import DataError
from rtp_monolith.features.catalog import FEATURES
from rtp_monolith.features.content import fingerprint
from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import Form
from rtp_monolith.features.marks import Marks
from rtp_monolith.features.spec import Feature
from rtp_monolith.features.taste import TasteSettings

FORMAT = 1
CONTENT_FILE = "content.onnx"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


class ContextParts(msgspec.Struct, frozen=True):
    """The values of contexts that have a vector, and whether a context that is all there is answers."""

    values: ContextWords
    alone: bool


class FusionParts(msgspec.Struct, frozen=True):
    """How past, session and context of a user are put together: the form, its weights with the probe's arrays, how a
    nightly job weighs the past, what is read of a context, and beyond how many clicks the session answers alone."""

    form: Form
    arrays: dict[str, NDArray[np.generic]]
    taste: TasteSettings
    context: ContextParts | None = None
    clicks_max: int | None = None


class Parts(msgspec.Struct, frozen=True):
    """What a bundle is made of. `vectors` is float32 [items, d]; graphs and the pre-rank are the bytes of their files;
    `marks` is what the encoder reads beside items; `content` is the model of items without a vector, with so many rows
    in its table; `probe` are inputs and outputs of the graphs by name; `metrics` and `report` are for people;
    `features` are the shard's, a team's own among them."""

    items: list[str]
    vectors: NDArray[np.float32]
    encoder: bytes
    length: int
    ranker: bytes
    inputs: list[str]
    heads: list[str]
    prerank: bytes
    probe: dict[str, NDArray[np.generic]]
    metrics: dict[str, object]
    report: dict[str, object]
    seed: int
    marks: Marks | None = None
    content: bytes | None = None
    content_rows: int = 0
    features: tuple[Feature, ...] = FEATURES
    fusion: FusionParts | None = None


def check_name(word: str, what: str) -> str:
    """A name or version that is safe as a folder's. Raises DataError `bad_name`."""
    if not NAME.fullmatch(word):
        raise DataError(f"{what} {word!r} is not 1 to 64 letters, digits, dots, dashes or underlines", code="bad_name")
    return word


def write_bundle(out: Path, name: str, version: str, parts: Parts) -> Path:
    """Writes `out/name/version`. Raises DataError `bundle_exists` when it is there already: a version never changes."""
    final = out / check_name(name, "name") / check_name(version, "version")
    if final.exists():
        raise DataError(f"{final} exists: a version of a bundle never changes, name another", code="bundle_exists")
    draft = final.parent / f".{version}.draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    files = _files(parts)
    for file, content in files.items():
        _write(draft / file, content)
    manifest = _manifest(name, version, parts, files)
    _write(draft / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
    _sync(draft)
    draft.rename(final)
    _sync(final.parent)
    return final


def next_version(out: Path, name: str) -> str:
    """One above the highest whole number among the versions that are there; `1` without any."""
    folder = out / check_name(name, "name")
    taken = [int(each.name) for each in folder.glob("[0-9]*") if each.name.isdecimal()] if folder.is_dir() else []
    return str(max(taken, default=0) + 1)


def _files(parts: Parts) -> dict[str, bytes]:
    report = msgspec.json.format(msgspec.json.encode(parts.report), indent=1) + b"\n"
    return {
        "items.txt": b"".join(msgspec.json.encode(item) + b"\n" for item in parts.items),
        "items.npy": _array(np.ascontiguousarray(parts.vectors, dtype="<f4")),
        "encoder.onnx": parts.encoder,
        "ranker.onnx": parts.ranker,
        "prerank.json": parts.prerank,
        "probe.npz": _archive(parts.probe),
        **({} if parts.fusion is None else {"fusion.npz": _archive(parts.fusion.arrays)}),
        "report.json": report,
        **({} if parts.content is None else {CONTENT_FILE: parts.content}),
    }


def _manifest(name: str, version: str, parts: Parts, files: dict[str, bytes]) -> dict[str, object]:
    known = {feature.name: feature for feature in parts.features}
    prerank = msgspec.json.decode(parts.prerank)
    read = dict.fromkeys([*parts.inputs, *(column["name"] for column in prerank["columns"])])
    embedding = hashlib.sha256(files["items.npy"] + files["items.txt"]).hexdigest()[:16]
    return {
        "format": FORMAT,
        "name": name,
        "version": version,
        "seed": parts.seed,
        "files": {
            file: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for file, content in files.items()
        },
        "metrics": parts.metrics,
        "features": {each: known[each].fingerprint() for each in read if each in known},
        "embedding": {"version": embedding, "dimension": parts.vectors.shape[1], "items": len(parts.items)},
        "encoder": {
            "file": "encoder.onnx",
            "length": parts.length,
            **({} if parts.marks is None else {"marks": parts.marks}),
        },
        "ranker": {"file": "ranker.onnx", "inputs": parts.inputs, "heads": parts.heads},
        "prerank": {"file": "prerank.json"},
        "index": None,
        **({} if parts.content is None else {"content": _content(parts)}),
        "probe": {"file": "probe.npz"},
        **({} if parts.fusion is None else {"fusion": _fusion(parts.fusion)}),
    }


def _fusion(own: FusionParts) -> dict[str, object]:
    return {
        "file": "fusion.npz",
        "form": own.form,
        "taste": own.taste,
        **({} if own.context is None else {"context": own.context}),
        **({} if own.clicks_max is None else {"clicks_max": own.clicks_max}),
    }


def _content(parts: Parts) -> dict[str, object]:
    return {"file": CONTENT_FILE, "rows": parts.content_rows, "tokens": fingerprint()}


def _array(values: NDArray[np.generic]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def _archive(arrays: dict[str, NDArray[np.generic]]) -> bytes:
    """An .npz whose bytes depend on the arrays alone."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", ZIP_EPOCH), _array(np.ascontiguousarray(values)))
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
