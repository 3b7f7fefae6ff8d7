"""Comparisons: the same cases for all, a difference where there is one and none where there is none."""

from __future__ import annotations

import pytest

from rtp_monolith.clock import WallClock
from rtp_monolith.training.compare import Compared, compare
from rtp_monolith.training.evaluate import Request, evaluate


@pytest.fixture(scope="module")
def found(chains: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Request, list[Compared]]:
    folder = tmp_path_factory.mktemp("compare")
    for name, own in (("train", chains[:400]), ("test", chains[400:])):
        (folder / name).write_text("".join(" ".join(map(str, session)) + "\n" for session in own))
    request = Request(
        train=folder / "train", test=folder / "test", model="", protocol="prefixes", attributes=None, refit=True, k=5,
        seed=0, until_s=1e12, detail=True,
    )  # fmt: skip
    return request, compare(request, ["popularity", "popularity-recent", "item-knn"], WallClock(), lambda _: None)


def test_every_report_is_what_evaluate_says(found: tuple[Request, list[Compared]]) -> None:
    import msgspec

    request, compared = found
    for each in compared:
        alone = evaluate(msgspec.structs.replace(request, model=each.report["model"]), WallClock(), lambda _: None)
        timed = ("train_s", "eval_s")
        assert {k: v for k, v in alone.items() if k not in timed} == {
            k: v for k, v in each.report.items() if k not in timed
        }


def test_intervals_hold_the_mean_and_differences_are_paired(found: tuple[Request, list[Compared]]) -> None:
    _, compared = found
    for each in compared:
        for name in ("hr", "mrr", "ndcg"):
            low, high = each.intervals[name]
            assert low <= each.report[name] <= high
            assert each.difference[name] == pytest.approx(each.report[name] - compared[0].report[name])
    first, _, knn = compared
    assert first.difference_intervals["ndcg"] == (0.0, 0.0)
    assert knn.verdict("ndcg") == "better" and knn.difference_intervals["ndcg"][0] > 0.1


def test_detail_adds_up(found: tuple[Request, list[Compared]]) -> None:
    for each in found[1]:
        report = each.report
        for kind in ("by_length", "by_popularity"):
            assert sum(part["n"] for part in report[kind]) == report["n"]
            assert sum(part["n"] * part["hr"] for part in report[kind]) / report["n"] == pytest.approx(report["hr"])
    popular, _, knn = (each.report for each in found[1])
    assert popular["popularity"] > knn["popularity"] > 0
