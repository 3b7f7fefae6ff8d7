"""The measurements of session models at a small size: every figure is there, and adds up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtp_monolith.cli import bench_knn
from tests.bench.test_bench import run


def test_training_against_a_bare_loop() -> None:
    report = run("train", "--items", "50", "--sessions", "64", "--rounds", "1", "--threads", "1", "--json")
    assert (report["rounds"], report["items"], report["positions_per_round"]) == (1, 50, 3200)
    assert report["ratio"] == pytest.approx(report["positions_per_s"] / report["bare_positions_per_s"], rel=1e-6)
    assert report["ratio"] > 0.05


def test_knn_of_generated_clicks() -> None:
    report = run("knn", "--clicks", "5000", "--items", "300", "--queries", "50", "--json")
    assert report["sessions"] == 1000 and report["queries"] == 50
    assert 4000 < report["clicks"] < 6000 and 0 < report["named_mean"] <= bench_knn.NAMED
    assert 0 < report["p50_us"] <= report["p99_us"]
    assert report["bytes_per_click"] == pytest.approx(report["memory_bytes"] / report["clicks"], abs=0.1)
    again = bench_knn.of_clicks(5000, 300, 50, 0, lambda _: None)
    assert (again["clicks"], again["named_mean"]) == (report["clicks"], report["named_mean"])


def test_knn_of_a_file_asks_every_prefix(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a b c\nb c d\na c\n")
    (tmp_path / "test.txt").write_text("a b x c\nx a\n")
    report = run("knn", "--train", str(tmp_path / "train.txt"), "--test", str(tmp_path / "test.txt"), "--json")
    assert (report["clicks"], report["sessions"], report["queries"]) == (8, 3, 2)


def test_popularity_of_generated_clicks_falls_with_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []

    class Index:
        def touch_many(self, keys: np.ndarray, flat: np.ndarray, times: np.ndarray) -> None:
            assert len(keys) == len(flat) == len(times)
            seen.append(flat)

        def memory_bytes(self) -> int:
            return 1

        def query(self, *_: object, **__: object) -> list[tuple[int, float]]:
            return []

        def __len__(self) -> int:
            return 0

    monkeypatch.setattr(bench_knn, "SessionKnn", lambda **_: Index())
    bench_knn.of_clicks(50_000, 100, 1, 0, lambda _: None)
    counts = np.bincount(np.concatenate(seen), minlength=100)
    assert counts[0] / counts[9] == pytest.approx(10, rel=0.25)
