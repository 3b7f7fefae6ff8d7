"""On the generated shop, which was not made for any of them: each model is better than popularity."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtp_monolith.cli.main import run
from rtp_monolith.clock import WallClock
from rtp_monolith.training import auto
from rtp_monolith.training.evaluate import Request, evaluate
from rtp_monolith.training.settings import Settings

MODELS = ("item-knn", "session-knn", "gru4rec", "sasrec", "core")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Opened items by visit, training and held-out visits."""
    folder = tmp_path_factory.mktemp("shop")
    sizes = ["--items", "150", "--events", "250000", "--seed", "5"]
    assert run(["generate", "shop", "--out", str(folder), "--sessions-out", str(folder / "all.txt"), *sizes]) == 0
    return folder / "all.train.txt", folder / "all.test.txt"


def test_every_model_beats_popularity(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sized = auto.recipe

    def recipe(name: str, seen: auto.Profile) -> Settings:
        return msgspec.structs.replace(sized(name, seen), width=32, layers=1, epochs=16)

    monkeypatch.setattr(auto, "recipe", recipe)
    found = {}
    for model in ("popularity", *MODELS):
        request = Request(
            train=files[0], test=files[1], model=model, protocol="prefixes", attributes=None, refit=False, k=10, seed=0,
            until_s=1e9,
        )  # fmt: skip
        report = evaluate(request, WallClock(), lambda _: None)
        found[model] = report["ndcg"]
    print(found)
    assert all(found[model] > 1.2 * found["popularity"] for model in MODELS), found
