"""`rtp init`: the file that is written is one that a shard takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from rtp_monolith.cli.init import NAMES, preset_text
from rtp_monolith.cli.main import run
from rtp_monolith.config import load
from rtp_monolith.ranking.surfaces import compile_surfaces


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_can_be_served(name: str, tmp_path: Path) -> None:
    out = tmp_path / "rtp.toml"
    assert run(["init", "--preset", name, "--out", str(out)]) == 0
    assert out.read_text() == preset_text(name)
    surfaces = compile_surfaces(load(out))
    assert len(surfaces) >= 5
    assert surfaces["notification"].sending is not None
    assert all("catalogue" in each.declared.sources or "history" in each.declared.sources for each in surfaces.values())


def test_a_file_that_exists_stays_unless_it_is_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "rtp.toml"
    out.write_text("mine")
    assert run(["init", "--preset", "news", "--out", str(out)]) == 1
    assert "file_exists" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert run(["init", "--preset", "news", "--out", str(out), "--force"]) == 0
    assert out.read_text() == preset_text("news")


def test_another_word_is_wrong_use(tmp_path: Path) -> None:
    assert run(["init", "--preset", "bank", "--out", str(tmp_path / "rtp.toml")]) == 2
