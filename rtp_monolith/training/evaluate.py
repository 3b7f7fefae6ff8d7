"""`rtp evaluate` without the command: train from scratch, rank the whole catalogue, say how good it was.

Invariant: every choice is made on validation before test cases exist. It does not know options or output.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.training import auto
from rtp_monolith.training.blend import Blend
from rtp_monolith.training.learner import Data, Learner
from rtp_monolith.training.learners import Encoder
from rtp_monolith.training.metrics import Metrics
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases, Protocol, Split, seen_items, split
from rtp_monolith.training.scoring import Scorer, measure, tallied
from rtp_monolith.training.sessions import read, read_attributes
from rtp_monolith.training.slices import by_length, by_popularity
from rtp_monolith.training.stamps import Ints, Wanted, found_marks
from rtp_monolith.training.teach import Taught

SCORING_S_PER_CELL = 2e-8
"""Seconds per case and item of an evaluation, generously, before one was measured."""


VALIDATION_CASES = 20_000
"""Of the validation slice that is reported; what was chosen was chosen on fewer."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `until_s` is on the clock. `detail` adds slices, popularity, what was chosen, what a blend's
    parts do alone, and what the first learning does where there are two; `marks` says whether what is known of clicks
    beside their items is read; `changes` are settings of neural models that differ from those of the data's profile;
    `teacher` is a model that the model, one neural one, learns from as well."""

    train: Path
    test: Path
    model: str
    protocol: Protocol
    attributes: Path | None
    refit: bool
    k: int
    seed: int
    until_s: float
    detail: bool = False
    marks: Wanted = "auto"
    changes: dict[str, Any] = {}
    teacher: str | None = None


class Trained(msgspec.Struct, frozen=True):
    """A learner with its scorer and what was measured on validation; `train_s` is everything before the test."""

    learner: Learner
    scorer: Scorer
    data: Data
    validation: Metrics
    train_s: float


class Prepared(msgspec.Struct, frozen=True):
    """What the files of a request hold, split by its protocol; `described` are the attributes by item."""

    parts: Split
    described: dict[str, list[str]]


class Tested(msgspec.Struct, frozen=True):
    """The report, and the ranks [n] of the targets of `cases` behind it."""

    report: dict[str, object]
    cases: Cases
    ranks: NDArray[np.int64]


def evaluate(request: Request, clock: Clock, tell: Callable[[str], None]) -> dict[str, object]:
    """The report of the contract."""
    began_s = clock.monotonic_s()
    return trial(request, prepare(request, tell), began_s, clock, tell).report


def prepare(request: Request, tell: Callable[[str], None]) -> Prepared:
    """Reads the files. Raises DataError."""
    train = read(request.train, users=request.protocol == "leave-one-out")
    same = request.test == request.train
    asked = train if same else read(request.test, users=request.protocol == "leave-one-out")
    described = read_attributes(request.attributes) if request.attributes is not None else {}
    wanted = "off" if request.model in auto.COUNTING else request.marks
    parts = split(request.protocol, train, asked, described, found_marks(train, asked, wanted, tell))
    tell(
        f"read {len(train.sessions)} training sessions and {len(asked.sessions)} of test, {len(parts.vocabulary)} items"
    )
    tell_of_users(request.protocol, train.names, tell)
    return Prepared(parts, described)


def trial(request: Request, prepared: Prepared, began_s: float, clock: Clock, tell: Callable[[str], None]) -> Tested:
    """Learns, then asks the test cases once."""
    parts = prepared.parts
    before: dict[str, object] = {}

    def ask_before(scorer: Scorer, data: Data) -> None:
        tell("testing what was learned without validation")
        asked = parts.test(data.known)
        before.update(_figures(_measure(scorer, asked, data)) | _alone(scorer, asked, data))

    asked_before = ask_before if request.detail else None
    made = learn(request, parts, prepared.described, clock, tell, before_refit=asked_before)
    cases = parts.test(made.data.known)
    tell(f"testing {made.learner.name} on {len(cases)} lists")
    tested_s = clock.monotonic_s()
    data, popular = made.data, Popularity.of(made.data.sessions, made.data.items)
    tally = tallied(made.scorer, cases, popular, data.known, data.k, data.trained)
    ended_s = clock.monotonic_s()
    report = {
        "model": request.model,
        "protocol": request.protocol,
        "k": request.k,
        "refit": request.refit,
        **msgspec.structs.asdict(tally.metrics()),
        "validation": _figures(made.validation),
        "train_s": round(tested_s - began_s, 3),
        "epochs": _whole(made.learner.epochs),
        "eval_s": round(ended_s - tested_s, 3),
    }
    ranks = tally.ranks()
    if request.detail:
        clicks = popular.counts.numpy()
        report["popularity"] = round(tally.popularity(), 3)
        report["by_length"] = msgspec.to_builtins(by_length(ranks, cases.upto, request.k))
        report["by_popularity"] = msgspec.to_builtins(by_popularity(ranks, cases.targets, clicks, request.k))
        report["chosen"] = made.learner.document()
        if before:
            report["without_refit"] = before
        report |= _alone(made.scorer, cases, data)
    return Tested(report, cases, ranks)


def learn(
    request: Request,
    parts: Split,
    described: dict[str, list[str]],
    clock: Clock,
    tell: Callable[[str], None],
    checkpoints: Path | None = None,
    before_refit: Callable[[Scorer, Data], None] | None = None,
) -> Trained:
    """Fits, validates and, if asked, fits again on training and validation together; `before_refit` is shown what was
    learned the first time."""
    began_s = clock.monotonic_s()
    first = _data(parts, parts.fit, described, request.k, parts.fit_marks)
    validation = parts.validation(first.known)
    seen = auto.profile(first.sessions, int(first.trained.sum()), validation.removes_seen, parts.marks)
    weigh = request.marks == "auto"
    learner = auto.make(request.model, seen, request.seed, clock, tell, checkpoints, request.changes, weigh)
    if request.teacher is not None:
        assert isinstance(learner, Encoder)
        teacher = auto.make(request.teacher, seen, request.seed, clock, tell, weigh=weigh)
        learner = Taught(teacher, learner, clock, tell)
    tests, measured_cases = len(parts.test(first.known)), validation.sample(VALIDATION_CASES)
    reserved_s = (len(measured_cases) + tests) * len(parts.vocabulary) * SCORING_S_PER_CELL
    first = msgspec.structs.replace(first, lists=len(measured_cases) + tests)
    scorer = learner.learn(first, validation, request.until_s - reserved_s, again=request.refit)
    judging_s = clock.monotonic_s()
    measured = _measure(scorer, measured_cases, first)
    took_s = clock.monotonic_s() - judging_s
    tell(f"validation at {request.k}: HR {measured.hr:.4f}, MRR {measured.mrr:.4f}, NDCG {measured.ndcg:.4f}")
    if not request.refit:
        return Trained(learner, scorer, first, measured, clock.monotonic_s() - began_s)
    if before_refit is not None:
        before_refit(scorer, first)
    reserved_s = 1.3 * took_s * tests / max(1, measured.n)
    again = _data(parts, parts.refit, described, request.k, parts.refit_marks)
    scorer = learner.learn(again, None, request.until_s - reserved_s, again=False)
    return Trained(learner, scorer, again, measured, clock.monotonic_s() - began_s)


def fit_data(prepared: Prepared, k: int) -> Data:
    """What is learned from before validation."""
    return _data(prepared.parts, prepared.parts.fit, prepared.described, k, prepared.parts.fit_marks)


def _measure(scorer: Scorer, cases: Cases, data: Data) -> Metrics:
    popular = Popularity.of(data.sessions, data.items)
    return measure(scorer, cases, popular, data.known, data.k, data.trained)


def _alone(scorer: Scorer, cases: Cases, data: Data) -> dict[str, object]:
    """What the parts of a blend do by themselves, in the order of the blend's name; nothing for another scorer."""
    parts = scorer.alone() if isinstance(scorer, Blend) else []
    return {"parts": [_figures(_measure(part, cases, data)) for part in parts]} if len(parts) > 1 else {}


def _figures(metrics: Metrics) -> dict[str, object]:
    return {
        "hr": metrics.hr, "mrr": metrics.mrr, "ndcg": metrics.ndcg, "coverage": metrics.coverage, "n": metrics.n,
    }  # fmt: skip


def _data(
    parts: Split, sessions: list[list[int]], described: dict[str, list[str]], k: int, marks: list[Ints] | None
) -> Data:
    items = len(parts.vocabulary)
    trained = seen_items(sessions, items)
    known, attributes = trained, None
    if described:
        attributes = attribute_numbers(parts.vocabulary.ids(), described)
        known = trained | rankable(trained, attributes)
    return Data(sessions, items, known, trained, attributes, k, marks=marks)


def attribute_numbers(ids: list[str], described: dict[str, list[str]]) -> list[list[int]]:
    """The attributes of each item as numbers, in the order of first use."""
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(each, len(numbers)) for each in described.get(item, ())] for item in ids]


def rankable(trained: NDArray[np.bool_], attributes: list[list[int]]) -> NDArray[np.bool_]:
    """Items with an attribute that some trained item has, too: something is known about them without a click."""
    learned = {each for item in np.flatnonzero(trained).tolist() for each in attributes[item]}
    return np.array([any(each in learned for each in own) for own in attributes], dtype=bool)


def tell_of_users(protocol: Protocol, names: list[str], tell: Callable[[str], None]) -> None:
    """Says that a user has more than one line: each line is then a history of its own."""
    if protocol == "leave-one-out" and len(set(names)) < len(names):
        repeated = next(name for place, name in enumerate(names) if name in names[:place])
        tell(f"{len(names) - len(set(names))} lines repeat a user (as {repeated}): each line is asked by itself")


def _whole(epochs: float) -> int | float:
    return int(epochs) if epochs == int(epochs) else round(epochs, 2)
