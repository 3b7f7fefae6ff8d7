"""Faults of a file, each with its line; and the configuration with its features in a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.config import Config, load, parse
from rtp_monolith.errors import ConfigError, FeatureError
from rtp_monolith.features import lint as linting
from rtp_monolith.features.lint import line_of, lint

GOOD = """\
[events.props]
stars = "number"

[features.user.likes_7d]
meaning = "likes of a week"
aggregate = "count"
where = "event_type == 'like'"
window = "7d"

[features.item.stars]
meaning = "mean of the stars"
aggregate = "mean"
of = "props.stars"
window = "7d"
"""


def write(tmp_path: Path, text: str, name: str = "features.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_that_fits_has_no_faults(tmp_path: Path) -> None:
    found = lint(write(tmp_path, GOOD))
    assert found.faults == [] and found.config is not None
    assert list(found.config.features) == ["user", "item"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("'like'", "'lkie'", 7, "did you mean `like`?"),
        ('aggregate = "count"', 'aggregate = "coutn"', 6, "did you mean `count`?"),
        ('window = "7d"\n\n', 'window = "9d"\n\n', 8, "unknown `9d`"),
        ("where =", "wher =", 7, "did you mean `where`?"),
        ("[features.user.", "[features.users.", 4, "did you mean `user`?"),
        ('of = "props.stars"', 'of = "props.star"', 13, "did you mean `props.stars`?"),
        ('window = "7d"\n\n', "window = 7\n\n", 8, "Expected `str"),
        ('meaning = "likes of a week"\n', "", 4, "required field `meaning`"),
        ('stars = "number"', 'stars = "numbr"', 1, "numbr"),
        ("[features.item.stars]", "[features.item.stars", 10, "not TOML"),
    ],
)
def test_a_fault_names_its_line(old: str, new: str, line: int, words: str, tmp_path: Path) -> None:
    assert GOOD.count(old) >= 1
    (fault,) = lint(write(tmp_path, GOOD.replace(old, new, 1))).faults
    assert words in fault.message
    assert (fault.line, fault.code in ("bad_definition", "bad_config")) == (line, True)
    assert str(fault).startswith(f"{tmp_path / 'features.toml'}:{line}: ")


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("'like'", "'lkie'").replace('"mean"', '"maen"')
    assert [fault.line for fault in lint(write(tmp_path, text)).faults] == [7, 12]


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("[features.user]\na.meaning = 'm'\na.where = 'w'\n", "features.user.a.where", 3),
        ("[features.user]\na = {meaning = 'm', where = 'w'}\n", "features.user.a.where", 2),
        ("[ features . user . 'a' ] # x\n\nwhere='w'", "features.user.a.where", 3),
        ("features.user.a.where = 'w'", "features.user.a.where", 1),
        ("[features.user.a]\n[features.user.b]\nwhere='w'", "features.user.a.where", 1),
        ("[limits]\n", "features.user.a.where", 1),
    ],
)
def test_a_place_is_found_however_it_is_written(text: str, place: str, line: int) -> None:
    assert line_of(text, place) == line


def test_features_may_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    split = load(write(tmp_path, "features_file = 'features.toml'\n[limits]\nk_max = 7\n", "shard.toml"))
    whole = parse("[limits]\nk_max = 7\n" + GOOD)
    assert split == whole and split.digest() == whole.digest() != parse("[limits]\nk_max = 7").digest()
    bad = write(tmp_path, GOOD.replace("'like'", "'lkie'"))
    with pytest.raises(FeatureError, match=r"features\.toml:7: .*did you mean `like`"):
        linting.load(tmp_path / "shard.toml")
    bad.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "shard.toml")
    with pytest.raises(ConfigError, match="in the configuration already"):
        parse("features_file = 'features.toml'\n" + GOOD)


def test_a_file_may_rely_on_what_the_configuration_declares(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.split("\n\n", 1)[1])
    assert [fault.line for fault in lint(path).faults] == [10]
    assert lint(path, parse("[events.props]\nstars = 'number'")).faults == []
    clash = lint(write(tmp_path, GOOD), parse("[events.props]\nstars = 'text'")).faults
    assert "declared twice" in clash[0].message


def test_a_configuration_is_checked_whole(tmp_path: Path) -> None:
    text = "[limits]\nk_max = 7\n" + GOOD.replace("'like'", "'lkie'")
    assert [fault.line for fault in lint(write(tmp_path, text)).faults] == [9]
    assert linting.load(write(tmp_path, "[limits]\nk_max = 7\n" + GOOD)).limits.k_max == 7
    assert linting.load(None) == Config()
