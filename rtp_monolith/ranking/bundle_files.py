"""The folder of a bundle: its manifest, its files as they were written, the arrays in them.

Invariant: bytes that this module hands out have the length and the sha256 that the manifest says, and a path of a
manifest never leaves the folder. It does not know what the files mean.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from rtp_monolith.errors import BundleError
from rtp_monolith.features.context_words import ContextWords
from rtp_monolith.features.fusion import Form
from rtp_monolith.features.marks import Marks
from rtp_monolith.features.taste import TasteSettings

MANIFEST = "manifest.json"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Count = Annotated[int, Meta(ge=1)]
Word = Annotated[str, Meta(pattern=NAME)]
Words = Annotated[list[str], Meta(min_length=1, max_length=1024)]


class FileEntry(msgspec.Struct, frozen=True):
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    bytes: Annotated[int, Meta(ge=0)]


class Embedding(msgspec.Struct, frozen=True):
    version: str
    dimension: Annotated[int, Meta(ge=1, le=4096)]
    items: Count


class EncoderEntry(msgspec.Struct, frozen=True):
    file: Word
    length: Annotated[int, Meta(ge=1, le=1000)]
    marks: Marks | None = None


class ContextEntry(msgspec.Struct, frozen=True):
    """The values of contexts that have a vector; whether a context answers alone."""

    values: ContextWords
    alone: bool


class FusionEntry(msgspec.Struct, frozen=True):
    """`taste` is how a nightly job weighs the past of a user for it; `context` what it reads of one; beyond
    `clicks_max` clicks a session answers alone."""

    file: Word
    form: Form
    taste: TasteSettings
    context: ContextEntry | None = None
    clicks_max: Annotated[int, Meta(ge=0)] | None = None


class RankerEntry(msgspec.Struct, frozen=True):
    file: Word
    inputs: Words
    heads: Words


class FileName(msgspec.Struct, frozen=True):
    file: Word


class ContentEntry(msgspec.Struct, frozen=True):
    """The model of items that have no vector: `rows` of its table, `tokens` how items become tokens."""

    file: Word
    rows: Annotated[int, Meta(ge=2, le=1 << 20)]
    tokens: str


class IndexEntry(msgspec.Struct, frozen=True):
    file: Word
    kind: Literal["hnswlib"]
    m: Count
    ef_construction: Count


class Manifest(msgspec.Struct, frozen=True):
    """`manifest.json`. What else it says (metrics, report) is kept for people."""

    format: Literal[1]
    name: Word
    version: Word
    files: dict[Word, FileEntry]
    features: dict[str, str]
    embedding: Embedding
    encoder: EncoderEntry
    ranker: RankerEntry
    prerank: FileName
    probe: FileName
    index: IndexEntry | None = None
    content: ContentEntry | None = None
    fusion: FusionEntry | None = None
    seed: int = 0
    metrics: dict[str, Any] = {}

    def needed(self) -> list[str]:
        """The files that serving reads."""
        fixed = ["items.txt", "items.npy", self.encoder.file, self.ranker.file, self.prerank.file, self.probe.file]
        more = [each.file for each in (self.index, self.content, self.fusion) if each is not None]
        return [*fixed, *more]


class PrerankColumn(msgspec.Struct, frozen=True):
    name: str
    mean: float
    deviation: float
    weight: float


class PrerankModel(msgspec.Struct, frozen=True):
    """`prerank.json`, as the native side reads it."""

    bias: float
    columns: list[PrerankColumn]
    affinity: float = 0.0
    recall: float = 0.0
    sources: dict[str, float] = {}

    def numbers(self) -> Iterator[float]:
        yield from (self.bias, self.affinity, self.recall, *self.sources.values())
        for column in self.columns:
            yield from (column.mean, column.deviation, column.weight)


def refuse(code: str, message: str, field: str | None = None) -> BundleError:
    return BundleError(code, message, field=field)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a bundle's folder. Raises BundleError `bundle_missing` or `bundle_format`."""
    try:
        data = (folder / MANIFEST).read_bytes()
    except OSError:
        raise refuse("bundle_missing", f"there is no bundle {folder.parent.name}/{folder.name}") from None
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refuse("bundle_format", f"{MANIFEST}: {error}") from None
    if (manifest.name, manifest.version) != (folder.parent.name, folder.name):
        said = f"{manifest.name}/{manifest.version}"
        raise refuse("bundle_format", f"{MANIFEST} is of {said}, its folder is {folder.parent.name}/{folder.name}")
    absent = [name for name in manifest.needed() if name not in manifest.files]
    if absent:
        raise refuse("bundle_format", f"{MANIFEST}: files does not list {absent[0]!r}", "files")
    return manifest


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Every file of the manifest, checked. Raises BundleError `bundle_truncated` or `bundle_checksum`."""
    files: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        try:
            data = (folder / name).read_bytes()
        except OSError as error:
            raise refuse("bundle_truncated", f"{name} cannot be read: {error.strerror or error}", "files") from None
        if len(data) < entry.bytes:
            raise refuse("bundle_truncated", f"{name} has {len(data)} of {entry.bytes} bytes", "files")
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise refuse("bundle_checksum", f"{name} is not the file that was written", "files")
        files[name] = data
    return files


def read_array(data: bytes, name: str) -> NDArray[Any]:
    """A `.npy` file that holds plain numbers. Raises BundleError `bundle_format`."""
    try:
        array: NDArray[Any] = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise refuse("bundle_format", f"{name}: {error}") from None
    return array


def read_arrays(data: bytes, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Arrays of a `.npz` file. Raises BundleError `bundle_format`."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in names}
    except (ValueError, EOFError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise refuse("bundle_format", f"the probe: {error}") from None


def list_bundles(models: Path) -> list[tuple[str, str]]:
    """(name, version) of every folder that has a manifest, the newest version last."""
    found = [
        (folder.parent.name, folder.name)
        for folder in models.glob("*/*")
        if (folder / MANIFEST).is_file() and re.match(NAME, folder.name) and re.match(NAME, folder.parent.name)
    ]
    return sorted(found, key=lambda each: (_numbers(each[1]), each))


def _numbers(version: str) -> list[tuple[int, str]]:
    """`2` before `10`, `1.9` before `1.10`, and words by their letters."""
    parts = re.findall(r"\d+|[^\d._-]+", version)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def folder_of(models: Path, name: str, version: str) -> Path:
    """The folder of a bundle. Raises BundleError `bundle_missing` for names that are no names."""
    if not (re.match(NAME, name) and re.match(NAME, version)):
        raise refuse("bundle_missing", f"there is no bundle {name}/{version}")
    return models / name / version
