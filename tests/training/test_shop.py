"""On the generated shop, which was not made for any of them: each model is better than popularity."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from rtp_monolith.clock import WallClock
from rtp_monolith.demo import shop, traffic
from rtp_monolith.training import auto
from rtp_monolith.training.evaluate import Request, evaluate
from rtp_monolith.training.settings import Settings

MODELS = ("item-knn", "session-knn", "gru4rec", "sasrec", "core")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Clicks of the shop by session; the last tenth of the sessions is the test."""
    folder = tmp_path_factory.mktemp("shop")
    sessions: dict[str, list[str]] = {}
    for event in traffic.generate_events(shop.generate_items(150, seed=5), 25_000, seed=5):
        if event["event_type"] == "click":
            sessions.setdefault(event["session_id"], []).append(event["item_id"])
    lines = [" ".join(items) for items in sessions.values() if len(items) > 1]
    cut = len(lines) * 9 // 10
    (folder / "train.txt").write_text("\n".join(lines[:cut]))
    (folder / "test.txt").write_text("\n".join(lines[cut:]))
    return folder / "train.txt", folder / "test.txt"


def test_every_model_beats_popularity(files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    sized = auto.recipe

    def recipe(name: str, seen: auto.Profile) -> Settings:
        return msgspec.structs.replace(sized(name, seen), width=32, layers=1, negatives=64)

    monkeypatch.setattr(auto, "recipe", recipe)
    found = {}
    for model in ("popularity", *MODELS):
        request = Request(
            train=files[0], test=files[1], model=model, protocol="prefixes", attributes=None, refit=True, k=10, seed=0,
            until_s=1e9,
        )  # fmt: skip
        report = evaluate(request, WallClock(), lambda _: None)
        found[model] = report["ndcg"]
    print(found)
    assert all(found[model] > 1.2 * found["popularity"] for model in MODELS), found
