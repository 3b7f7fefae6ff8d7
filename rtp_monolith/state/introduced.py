"""Which features of a team a data directory has ever known, by name and version: `features.json` beside the manifest.

Invariant: a version of a feature means one thing for the life of the directory; another meaning under it is refused
before anything is opened. It does not know what is counted, nor from when.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from rtp_monolith.errors import DataError, FeatureError
from rtp_monolith.features.spec import Feature
from rtp_monolith.manifest import write_durably

NAME = "features.json"

Introduced = dict[str, dict[str, str]]
"""By name: the fingerprint of every version."""


def read(data: Path) -> Introduced:
    """What a directory has known; nothing without the file. Raises DataError."""
    path = data / NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Introduced) if path.exists() else {}
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path}: {error}", code="data_unreadable") from None


def introduce(data: Path, features: Sequence[Feature]) -> Introduced:
    """Notes a team's features; what was known stays known. Raises FeatureError `feature_changed`."""
    known = read(data)
    refuse_changed(known, features)
    added = {name: dict(versions) for name, versions in known.items()}
    for feature in features:
        added.setdefault(feature.name, {})[str(feature.version)] = feature.fingerprint()
    if added != known:
        write_durably(data / NAME, msgspec.json.encode(added, order="sorted"))
    return added


def refuse_changed(known: Mapping[str, Mapping[str, str]], features: Sequence[Feature]) -> None:
    """Raises FeatureError `feature_changed` for a version that meant something else."""
    for feature in features:
        before = known.get(feature.name, {}).get(str(feature.version))
        if before is not None and before != feature.fingerprint():
            newest = max(map(int, known[feature.name]))
            text = f"`{feature.name}` means something else than its version {feature.version} did; make it"
            place = f"features.{feature.scope}.{feature.name.removeprefix(feature.scope + '_')}"
            raise FeatureError(f"{text} version = {newest + 1}", code="feature_changed", field=place)
