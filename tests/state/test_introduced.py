"""A version of a team's feature means one thing for the life of a data directory."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtp_monolith.errors import DataError, FeatureError
from rtp_monolith.features.spec import Feature
from rtp_monolith.state.introduced import NAME, introduce, read

ONE = Feature(name="item_views", op="item_count", event="view", window="1d", meaning="views")
TWO = msgspec.structs.replace(ONE, window="7d", version=2)


def test_what_was_known_stays_known(tmp_path: Path) -> None:
    assert introduce(tmp_path, []) == {} and not (tmp_path / NAME).exists()
    introduce(tmp_path, [ONE])
    introduce(tmp_path, [])
    introduce(tmp_path, [TWO])
    both = {"item_views": {"1": ONE.fingerprint(), "2": TWO.fingerprint()}}
    assert introduce(tmp_path, [msgspec.structs.replace(ONE, meaning="other words")]) == both == read(tmp_path)


def test_another_meaning_under_a_known_version_is_refused(tmp_path: Path) -> None:
    introduce(tmp_path, [ONE])
    introduce(tmp_path, [TWO])
    before = (tmp_path / NAME).read_bytes()
    with pytest.raises(FeatureError, match="make it version = 3") as refused:
        introduce(tmp_path, [msgspec.structs.replace(ONE, window="5m")])
    assert (refused.value.code, refused.value.field) == ("feature_changed", "features.item.views")
    assert (tmp_path / NAME).read_bytes() == before


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    with pytest.raises(DataError, match=r"features\.json"):
        introduce(tmp_path, [ONE])
