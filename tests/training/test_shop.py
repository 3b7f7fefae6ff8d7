"""On the generated shop, which was not made for any of them: each model is clearly better than popularity."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtp_monolith.clock import WallClock
from rtp_monolith.demo import clicked, shop, traffic
from rtp_monolith.training import auto
from rtp_monolith.training.evaluate import Request, evaluate
from rtp_monolith.training.settings import Settings

MODELS = ("item-knn", "session-knn", "gru4rec", "sasrec", "core", "session-graph", "two-tower", "bst")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Visits of the shop as clicked items, the test of people and times that training has not."""
    items = shop.generate_items(150, seed=5)
    log, sessions = traffic.traffic_of(items, 60_000, seed=5), clicked.ClickedSessions()
    for part in log.parts():
        sessions.add(part)
    folder = tmp_path_factory.mktemp("shop")
    for name, visits in zip(("train.txt", "test.txt"), sessions.split(), strict=True):
        (folder / name).write_bytes(clicked.lines(visits, log.population.market.ids))
    return folder / "train.txt", folder / "test.txt"


def test_every_model_beats_popularity(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sized = auto.recipe

    def recipe(name: str, seen: auto.Profile) -> Settings:
        return msgspec.structs.replace(sized(name, seen), width=32, layers=1, negatives=32, patience=4)

    monkeypatch.setattr(auto, "recipe", recipe)
    found = {}
    for model in ("popularity", *MODELS):
        request = Request(
            train=files[0], test=files[1], model=model, protocol="prefixes", attributes=None, refit=False, k=10, seed=0,
            until_s=1e9,
        )  # fmt: skip
        report = evaluate(request, WallClock(), lambda _: None)
        found[model] = report["ndcg"]
        print(model, report["ndcg"], report["epochs"], report["train_s"], flush=True)
    assert all(found[model] > 5 * found["popularity"] for model in MODELS), found
