"""What sources cost is measured for every source there is."""

from __future__ import annotations

from rtp_monolith.cli.bench_sources import SOURCES, sources


def test_every_source_is_timed() -> None:
    said: list[str] = []
    report = sources(300, 200, 40, 50, said.append)
    assert set(report["sources"]) == set(SOURCES) and report["lists"] == 40
    for name, timed in report["sources"].items():
        assert 0 < timed["us"] <= timed["p99_us"], name
        assert 0 <= timed["candidates"] <= 50
    found = {name: timed["candidates"] for name, timed in report["sources"].items()}
    assert min(found[name] for name in ("ann", "session_knn", "covis", "same_category", "text", "popular", "new")) > 0
    assert report["all"]["candidates"] >= max(found.values()) and report["all"]["us"] > 0
    assert len(said) == 2
