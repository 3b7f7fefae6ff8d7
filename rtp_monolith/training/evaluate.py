"""`rtp evaluate` without the command: train from scratch, rank the whole catalogue, say how good it was.

Invariant: every choice is made on validation before test cases exist. It does not know options or output.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from rtp_monolith.clock import Clock
from rtp_monolith.training import auto
from rtp_monolith.training.learner import Data, Learner
from rtp_monolith.training.metrics import Metrics
from rtp_monolith.training.models.popularity import Popularity
from rtp_monolith.training.protocols import Cases, Protocol, Split, seen_items, split
from rtp_monolith.training.scoring import Scorer, measure
from rtp_monolith.training.sessions import read, read_attributes

SCORING_S_PER_CELL = 2e-8
"""Seconds per case and item of an evaluation, generously, before one was measured."""


VALIDATION_CASES = 20_000
"""Of the validation slice that is reported; what was chosen was chosen on fewer."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked. `until_s` is on the clock."""

    train: Path
    test: Path
    model: str
    protocol: Protocol
    attributes: Path | None
    refit: bool
    k: int
    seed: int
    until_s: float


class Trained(msgspec.Struct, frozen=True):
    """A learner with its scorer and what was measured on validation; `train_s` is everything before the test."""

    learner: Learner
    scorer: Scorer
    data: Data
    validation: Metrics
    train_s: float


def evaluate(request: Request, clock: Clock, tell: Callable[[str], None]) -> dict[str, object]:
    """The report of the contract."""
    began_s = clock.monotonic_s()
    train = read(request.train, users=request.protocol == "leave-one-out")
    same = request.test == request.train
    test = train if same else read(request.test, users=request.protocol == "leave-one-out")
    described = read_attributes(request.attributes) if request.attributes is not None else {}
    parts = split(request.protocol, train, test, described)
    tell(
        f"read {len(train.sessions)} training sessions and {len(test.sessions)} of test, {len(parts.vocabulary)} items"
    )
    tell_of_users(request.protocol, train.names, tell)
    made = learn(request, parts, described, clock, tell)
    cases = parts.test(made.data.known)
    tell(f"testing {made.learner.name} on {len(cases)} lists")
    tested_s = clock.monotonic_s()
    metrics = _measure(made.scorer, cases, made.data)
    ended_s = clock.monotonic_s()
    validation = {"hr": made.validation.hr, "mrr": made.validation.mrr, "ndcg": made.validation.ndcg}
    return {
        "model": request.model,
        "protocol": request.protocol,
        "k": request.k,
        "refit": request.refit,
        **msgspec.structs.asdict(metrics),
        "validation": {**validation, "coverage": made.validation.coverage, "n": made.validation.n},
        "train_s": round(tested_s - began_s, 3),
        "epochs": _whole(made.learner.epochs),
        "eval_s": round(ended_s - tested_s, 3),
    }


def learn(
    request: Request,
    parts: Split,
    described: dict[str, list[str]],
    clock: Clock,
    tell: Callable[[str], None],
    checkpoints: Path | None = None,
) -> Trained:
    """Fits, validates and, if asked, fits again on training and validation together."""
    began_s = clock.monotonic_s()
    first = _data(parts, parts.fit, described, request.k)
    validation = parts.validation(first.known)
    seen = auto.profile(first.sessions, int(first.trained.sum()), validation.removes_seen)
    learner = auto.make(request.model, seen, request.seed, clock, tell, checkpoints)
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
    reserved_s = 1.3 * took_s * tests / max(1, measured.n)
    again = _data(parts, parts.refit, described, request.k)
    scorer = learner.learn(again, None, request.until_s - reserved_s, again=False)
    return Trained(learner, scorer, again, measured, clock.monotonic_s() - began_s)


def _measure(scorer: Scorer, cases: Cases, data: Data) -> Metrics:
    popular = Popularity.of(data.sessions, data.items)
    return measure(scorer, cases, popular, data.known, data.k, data.trained)


def _data(parts: Split, sessions: list[list[int]], described: dict[str, list[str]], k: int) -> Data:
    items = len(parts.vocabulary)
    trained = seen_items(sessions, items)
    known, attributes = trained, None
    if described:
        attributes = attribute_numbers(parts.vocabulary.ids(), described)
        known = trained | rankable(trained, attributes)
    return Data(sessions, items, known, trained, attributes, k)


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
