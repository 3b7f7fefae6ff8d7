"""`--model auto`: what it sees, what it plans for which data, and names that are models."""

from __future__ import annotations

import pytest

from rtp_monolith.clock import ManualClock
from rtp_monolith.training import auto
from rtp_monolith.training.counting import NearSessions, Popular
from rtp_monolith.training.learners import BestOf, Encoder, Mixture


def profile(**more: object) -> auto.Profile:
    usual: dict[str, object] = {
        "sessions": 100_000, "items": 40_000, "targets": 400_000, "length_mean": 5.0, "length_p90": 9,
        "repeats": 0.2, "density": 12.0, "removes_seen": False,
    }  # fmt: skip
    return auto.Profile(**{**usual, **more})  # type: ignore[arg-type]


def test_the_profile_by_hand() -> None:
    seen = auto.profile([[1, 2, 1, 1], [3], [2, 3]], 10, removes_seen=True)
    assert (seen.sessions, seen.items, seen.targets, seen.length_p90) == (3, 10, 4, 4)
    assert seen.length_mean == pytest.approx(7 / 3)
    assert seen.repeats == pytest.approx(2 / 4)
    assert seen.density == pytest.approx(0.7)


def names(seen: auto.Profile) -> tuple[list[str], list[str]]:
    said: list[str] = []
    learner = auto.choose(seen, 0, ManualClock(), said.append)
    if isinstance(learner, BestOf):
        return [each.name for each in learner.learners], said
    assert isinstance(learner, Mixture) and learner.knn is not None
    return [each.name for each in learner.encoders], said


def test_it_says_what_it_saw_and_why() -> None:
    chosen, said = names(profile())
    assert chosen == ["core", "sasrec-cosine"]
    assert "20%" in said[0] and "cosine" in said[1]
    chosen, said = names(profile(removes_seen=True))
    assert chosen == ["sasrec-dot", "core"]
    assert "dot products" in said[1]
    assert names(profile(repeats=0.001, length_mean=40.0))[0] == ["sasrec-dot", "core"]
    chosen, said = names(profile(targets=50))
    assert chosen == list(auto.COUNTING)
    assert "too few" in said[1]


def test_sizes_follow_the_data() -> None:
    beauty = auto.recipe("sasrec", profile(targets=131_000, items=12_000, removes_seen=True))
    assert (beauty.scoring, beauty.loss, beauty.epochs, beauty.width, beauty.batch_tokens) == (
        "dot",
        "full",
        18,
        128,
        1024,
    )
    shop = auto.recipe("sasrec", profile(targets=647_000, items=43_000))
    assert (shop.scoring, shop.loss, shop.epochs, shop.length_max) == ("cosine", "sampled", 8, 50)
    small = auto.recipe("gru4rec", profile(targets=3_000))
    assert (small.epochs, small.width, small.batch_tokens) == (60, 64, 128)
    huge = auto.recipe("core", profile(targets=50_000_000))
    assert huge.epochs == 3
    long = auto.recipe("sasrec", profile(length_p90=130, removes_seen=True, items=90_000))
    assert (long.length_max, long.loss) == (150, "sampled")


@pytest.mark.parametrize("name", [*auto.NAMES, "core+session-knn", "core+sasrec", "core+sasrec-dot+session-knn"])
def test_names_that_are_models(name: str) -> None:
    assert auto.is_name(name)
    learner = auto.make(name, profile(), 0, ManualClock(), lambda _: None)
    if name == "popularity":
        assert isinstance(learner, Popular)
    elif name in auto.NEURAL:
        assert isinstance(learner, Encoder) and learner.name == name
    elif name == "session-knn":
        assert isinstance(learner, NearSessions)
    elif "+" in name:
        assert isinstance(learner, Mixture) and learner.name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "+",
        "sasrek",
        "auto+core",
        "core+core",
        "session-knn+item-knn",
        "core+popularity",
        "core+sasrec+gru4rec+bst+two-tower",
    ],
)
def test_names_that_are_none(name: str) -> None:
    assert not auto.is_name(name)
