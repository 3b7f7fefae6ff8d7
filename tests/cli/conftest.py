"""Fixtures of the command tests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rtp_monolith.cli.main import run

from .fake_shard import FakeShard
from .fake_state import Shards


@pytest.fixture
def shard() -> Iterator[FakeShard]:
    fake = FakeShard()
    yield fake
    fake.close()


@pytest.fixture
def rtp(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, Any]]:
    """Runs a command; gives its exit code and, with --json, the document on the last line, else its whole output."""

    def call(*args: object) -> tuple[int, Any]:
        code = run([str(arg) for arg in args])
        said = capsys.readouterr()
        if "--json" in args:
            assert len(said.out.splitlines()) <= 1, "more than JSON on stdout"
            return code, json.loads(said.out) if said.out else said.err
        return code, said.out + said.err

    return call


@pytest.fixture
def shards(shard: FakeShard, monkeypatch: pytest.MonkeyPatch) -> Shards:
    made = Shards(shard)
    made.install(monkeypatch)
    return made


@pytest.fixture
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Session models of a second, whatever recipe a command chooses."""
    import msgspec

    from rtp_monolith.training import auto
    from rtp_monolith.training.settings import Settings

    sized = auto.recipe

    def recipe(name: str, seen: auto.Profile) -> Settings:
        return msgspec.structs.replace(sized(name, seen), width=8, heads=1, layers=1, epochs=3, learning_rate=0.01)

    monkeypatch.setattr(auto, "recipe", recipe)
